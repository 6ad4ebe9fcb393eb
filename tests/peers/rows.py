"""Rows and one training step, the same for every framework that is measured."""

import itertools
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

MAX_ITER = 10


def train(folder: Path, name: str, coefficients: np.ndarray) -> tuple[np.ndarray, int]:
    """Fit a client's rows from given coefficients ``(n_features + 1,)``; note when it was asked.

    Returns the new coefficients, and how many rows are behind them.
    """
    with (folder / f"{name}.asked").open("a") as log:
        log.write(f"{time.time()}\n")
    with np.load(folder / f"{name}.npz") as rows:
        features, labels = rows["features"], rows["labels"]
    model = LogisticRegression(max_iter=MAX_ITER, warm_start=True)
    model.classes_ = np.array([0, 1])
    model.coef_, model.intercept_ = coefficients[None, :-1].copy(), coefficients[-1:].copy()
    model.fit(features, labels)
    return np.append(model.coef_[0], model.intercept_), len(labels)


def rounds(folder: Path) -> list[float]:
    """Return the seconds from each round's first question to the next one's."""
    asked = [[float(line) for line in path.read_text().split()] for path in sorted(folder.glob("*.asked"))]
    begun = [min(times) for times in zip(*asked, strict=True)]
    return [after - before for before, after in itertools.pairwise(begun)]

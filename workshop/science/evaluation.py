"""Evaluation of models: on real rows, at a threshold chosen elsewhere, always beside the base rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

from client_code.problem import Words


@dataclass(frozen=True)
class Scores:
    """How good a model is on one test table; every number lies between 0 and 1."""

    roc_auc: float  # chance that a random row of label 1 ranks above a random one of label 0
    average_precision: float  # area under the precision-recall curve; the base rate is what chance gives
    balanced_accuracy: float  # mean of the shares found in both classes, at the threshold
    brier: float  # mean squared error of the probability: lower is better
    precision_at_k: float  # share of label 1 among the k rows that rank highest
    base_rate: float  # share of label 1 in the table


def score(labels: np.ndarray, probabilities: np.ndarray, *, threshold: float, k: int = 50) -> Scores:
    """Score probabilities of label 1 ``(n_rows,)`` against labels 0 and 1 ``(n_rows,)``.

    Parameters
    ----------
    threshold : float
        From which probability on a row is flagged; chosen on other rows than these.
    k : int
        How many rows somebody has time to look at.
    """
    top = np.argsort(-probabilities, kind="stable")[:k]
    return Scores(
        roc_auc=float(roc_auc_score(labels, probabilities)),
        average_precision=float(average_precision_score(labels, probabilities)),
        balanced_accuracy=float(balanced_accuracy_score(labels, probabilities >= threshold)),
        brier=float(brier_score_loss(labels, probabilities)),
        precision_at_k=float(labels[top].mean()),
        base_rate=float(labels.mean()),
    )


def nobody(labels: np.ndarray) -> Scores:
    """Score the model that gives every row the base rate and flags nobody."""
    base_rate = float(labels.mean())
    return Scores(0.5, base_rate, 0.5, base_rate * (1 - base_rate), base_rate, base_rate)


def comparison(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Return one line per model."""
    return pd.DataFrame({name: asdict(entry) for name, entry in scores.items()}).T.rename_axis("model")


def confusion(labels: np.ndarray, probabilities: np.ndarray, words: Words, *, threshold: float) -> pd.DataFrame:
    """Count rows by what they are and what the model says at the threshold."""
    flagged = probabilities >= threshold
    counts = [[int((flagged[labels == kind] == said).sum()) for said in (False, True)] for kind in (0, 1)]
    return pd.DataFrame(counts, index=list(words.classes), columns=["passed", "flagged"]).rename_axis(words.subject)


def recalibrate(probabilities: np.ndarray, *, real_rate: float, trained_rate: float) -> np.ndarray:
    """Undo what balanced training does to probabilities: shift the log-odds by the difference of the priors.

    Parameters
    ----------
    probabilities : ndarray, shape (n_rows,)
        As the model gives them.
    real_rate, trained_rate : float
        Share of label 1 among the clients' real rows, and among the rows the model was fitted on.

    Source: King and Zeng 2001, Logistic regression in rare events data, prior correction.

    >>> recalibrate(np.array([0.5]), real_rate=0.1, trained_rate=0.5).round(3).tolist()
    [0.1]
    """
    odds = probabilities / (1 - probabilities)
    odds *= real_rate / (1 - real_rate) * (1 - trained_rate) / trained_rate
    return odds / (1 + odds)


def record(scores: Mapping[str, Scores]) -> dict:
    """Put all scores into JSON values, the clients' own models under ``local``, for ``build/summary.json``."""
    lines = {name: asdict(entry) for name, entry in scores.items()}
    local = {name.removesuffix(" alone"): lines.pop(name) for name in list(lines) if name.endswith(" alone")}
    return {"metrics": {name.replace(" ", "_"): line for name, line in lines.items()} | {"local": local}}

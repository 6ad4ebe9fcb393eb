"""Who gets which rows: deduplicate, hold out the test table, give every row one owner, split off validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from client_code import schema
from client_code.task import MINIMUM_ROWS

HOW = ("iid", "similar_providers", "label_skew")
VALIDATION_SHARE = 0.2
MINIMUM_POSITIVES = 5  # with a fifth for validation: four to train on, one to validate with
DIRICHLET_ALPHA = 0.5  # the lower, the more the clients' shares of fraud differ
DRAWS = 100  # after so many draws without a fair one there is none


class SplitError(ValueError):
    """The rows cannot be divided as asked."""


def deduplicate(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the first of rows that are equal in every column.

    A provider with two exclusions stands in the curated table twice; a copy on each side of a split would let the
    test know the training rows.
    """
    return frame.drop_duplicates(ignore_index=True)


def hold_out(frame: pd.DataFrame, share: float = 0.2, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two with the same share of fraud; return (rest, held out).

    Raises
    ------
    SplitError
        If a class has too few rows to stand on both sides.
    """
    if frame[schema.LABEL].value_counts().min() < 2 or len(frame) * share < 2:
        raise SplitError(f"{len(frame)} rows cannot be split with both classes on either side; add rows")
    rest, held = train_test_split(frame, test_size=share, stratify=frame[schema.LABEL], random_state=seed)
    return rest.reset_index(drop=True), held.reset_index(drop=True)


def train_validation(frame: pd.DataFrame, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split one client's rows in training and validation rows; both stay real."""
    return hold_out(frame, VALIDATION_SHARE, seed=seed)


def assign(frame: pd.DataFrame, n_clients: int, *, how: str, seed: int) -> list[pd.DataFrame]:
    """Give every row to exactly one client.

    Parameters
    ----------
    frame : DataFrame
        Rows with their label, shape ``(n_rows, 50)``.
    n_clients : int
        At least 1.
    how : {"iid", "similar_providers", "label_skew"}
        Dealt like cards, class by class; by k-means clusters of similar providers; or each class shared out by a
        Dirichlet draw, so that shares of fraud differ.

    Returns
    -------
    list of DataFrame
        One per client, each with enough rows and enough fraud to train and to validate.

    Raises
    ------
    SplitError
        If ``how`` is unknown, or no division leaves every client enough rows of both classes.

    Source: the label skew is that of Hsu, Qi and Brown 2019, Measuring the effects of non-identical data distribution.
    """
    if how not in HOW:
        raise SplitError(f"PARTITION {how!r} is unknown; choose one of {', '.join(HOW)}")
    if n_clients < 1:
        raise SplitError(f"CLIENTS is {n_clients}; at least one client is needed")
    draws: dict[str, tuple[Callable, int]] = {
        "iid": (_deal, 1),
        "similar_providers": (_cluster, 10),
        "label_skew": (_skew, DRAWS),
    }
    draw, attempts = draws[how]
    for attempt in range(attempts):
        owners = draw(frame, n_clients, np.random.default_rng([seed, attempt]))
        parts = [frame[owners == client].reset_index(drop=True) for client in range(n_clients)]
        if all(_viable(part) for part in parts):
            return parts
    raise SplitError(
        f"{len(frame)} rows with {int(frame[schema.LABEL].sum())} fraudulent ones cannot be divided among {n_clients} "
        f"clients by {how}: each needs {_needed_rows()} rows and {MINIMUM_POSITIVES} fraudulent ones; "
        "lower CLIENTS, or choose PARTITION iid"
    )


def _needed_rows() -> int:
    return int(np.ceil(MINIMUM_ROWS / (1 - VALIDATION_SHARE))) + 1


def _viable(part: pd.DataFrame) -> bool:
    positives = int(part[schema.LABEL].sum())
    return len(part) >= _needed_rows() and min(positives, len(part) - positives) >= MINIMUM_POSITIVES


def _deal(frame: pd.DataFrame, n_clients: int, rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    dealt = 0
    for kind in (0, 1):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        owners[places] = (np.arange(len(places)) + dealt) % n_clients  # the next class goes on where this one ended
        dealt += len(places)
    return owners


def _cluster(frame: pd.DataFrame, n_clients: int, rng: np.random.Generator) -> np.ndarray:
    features, _ = schema.to_arrays(frame)
    scaled = StandardScaler().fit_transform(np.log1p(features))
    return KMeans(n_clients, n_init=3, random_state=int(rng.integers(2**31))).fit_predict(scaled)


def _skew(frame: pd.DataFrame, n_clients: int, rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    for kind in (0, 1):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        shares = rng.dirichlet(np.full(n_clients, DIRICHLET_ALPHA))
        cuts = np.round(np.cumsum(shares)[:-1] * len(places)).astype(int)
        for client, part in enumerate(np.split(places, cuts)):
            owners[part] = client
    return owners

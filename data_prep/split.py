"""Who gets which rows: deduplicate, hold out the test table, give every row one owner, split off validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from client_code import schema
from client_code.task import MINIMUM_ROWS
from data_prep.errors import DataError

HOW = ("iid", "similar_providers", "label_skew")
VALIDATION_SHARE = 0.2
MINIMUM_POSITIVES = 5  # with a fifth for validation: four to train on, one to validate with
DIRICHLET_ALPHA = 0.5  # the lower, the more the clients' shares of fraud differ


class SplitError(DataError):
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
        fraud = int(frame[schema.LABEL].sum())
        raise SplitError(
            f"{len(frame)} rows, {fraud} of them fraudulent, cannot be split with both classes on either side: "
            "add rows (duplicates count once)"
        )
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
        Dirichlet draw, so that shares of fraud differ. Every client first gets the least that it needs of each class.

    Returns
    -------
    list of DataFrame
        One per client, each with enough rows and enough fraud to train and to validate.

    Raises
    ------
    SplitError
        If ``how`` is unknown, or there are too few rows of a class for so many clients.

    Source: the label skew is that of Hsu, Qi and Brown 2019, Measuring the effects of non-identical data distribution.
    """
    if how not in HOW:
        raise SplitError(f"PARTITION {how!r} is unknown; choose one of {', '.join(HOW)}")
    if n_clients < 1:
        raise SplitError(f"CLIENTS is {n_clients}; at least one client is needed")
    floors = (_needed_rows() - MINIMUM_POSITIVES, MINIMUM_POSITIVES)
    for kind, floor in enumerate(floors):
        there = int((frame[schema.LABEL] == kind).sum())
        if there < floor * n_clients:
            raise SplitError(
                f"{there} {'fraudulent' if kind else 'honest'} rows cannot be divided among {n_clients} clients: each "
                f"needs {floor}; lower CLIENTS or give a larger table"
            )
    draw = {"iid": _deal, "similar_providers": _cluster, "label_skew": _skew}[how]
    owners = draw(frame, n_clients, floors, np.random.default_rng(seed))
    return [frame[owners == client].reset_index(drop=True) for client in range(n_clients)]


def _needed_rows() -> int:
    """Return how many rows leave enough to train on when a fifth is split off."""
    return int(np.ceil(MINIMUM_ROWS / (1 - VALIDATION_SHARE))) + 1


def _deal(frame: pd.DataFrame, n_clients: int, floors: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    dealt = 0
    for kind in (0, 1):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        owners[places] = (np.arange(len(places)) + dealt) % n_clients  # the next class goes on where this one ended
        dealt += len(places)
    return owners


def _cluster(frame: pd.DataFrame, n_clients: int, floors: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    features, labels = schema.to_arrays(frame)
    scaled = StandardScaler().fit_transform(np.log1p(features))
    clusters = KMeans(n_clients, n_init=3, random_state=int(rng.integers(2**31))).fit(scaled)
    owners = clusters.labels_.copy()
    distances = clusters.transform(scaled)
    for kind, floor in enumerate(floors):
        for client in range(n_clients):
            # A cluster with too few rows of a class takes the nearest ones from clusters that can spare them.
            for place in np.argsort(distances[:, client], kind="stable"):
                counts = np.bincount(owners[labels == kind], minlength=n_clients)
                if counts[client] >= floor:
                    break
                if labels[place] == kind and owners[place] != client and counts[owners[place]] > floor:
                    owners[place] = client
    return owners


def _skew(frame: pd.DataFrame, n_clients: int, floors: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    for kind, floor in enumerate(floors):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        shares = rng.dirichlet(np.full(n_clients, DIRICHLET_ALPHA))
        counts = floor + rng.multinomial(len(places) - floor * n_clients, shares)
        owners[places] = np.repeat(np.arange(n_clients), counts)
    return owners

"""Who gets which rows: deduplicate, hold out the test table, give every row one owner, split off validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from client_code import schema
from client_code.task import MINIMUM_ROWS
from data_prep import streams
from data_prep.errors import DataError

HOW = ("iid", "similar_providers", "label_skew")
VALIDATION_SHARE = 0.2
# The least rows of each class that the later steps need of a part.
EACH_CLASS = {
    "training": 2,  # SMOTE puts new rows on a line between two
    "validation": 1,  # a threshold needs a row on either side; the clients' thresholds are averaged
    "test": 5,  # every score stands on it: with four fraudulent rows a single one moves ROC AUC by a quarter
}
ROWS = {"training": MINIMUM_ROWS}  # a client's job refuses less
RARE_ROWS = 5  # of the rarer class for each client: four to train on and, of a fifth, one to validate with
_REMEDY = "Add such rows to its table (duplicates count once), or leave out a client that has no more"
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
    """Split rows in two with the same share of fraud; return (rest, held out), the second to test with.

    Raises
    ------
    SplitError
        If the part to test with would have too few rows of a class.
    """
    rest, held = _divide(frame, share, random_state=streams.random_state(seed, streams.HOLD_OUT), owner="server")
    require({"test": held}, owner="server")
    return rest, held


def train_validation(frame: pd.DataFrame, *, seed: int, owner: str = "client") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split one client's rows in training and validation rows; both stay real.

    Parameters
    ----------
    owner : str
        The client's name: it draws from a stream of its own, and messages name it.

    Raises
    ------
    SplitError
        If a part would have too few rows, or too few of a class. Names client, part and counts.
    """
    stream = streams.random_state(seed, streams.SPLIT, owner)
    train, validation = _divide(frame, VALIDATION_SHARE, random_state=stream, owner=owner)
    require({"training": train, "validation": validation}, owner=owner)
    return train, validation


def require(parts: Mapping[str, pd.DataFrame], *, owner: str) -> None:
    """Compare the parts of an owner's rows with the least that the later steps need.

    Raises
    ------
    SplitError
        Names the owner, every part that falls short, its counts and what to do.
    """
    short = [complaint for part, frame in parts.items() for complaint in _short(part, frame)]
    if short:
        raise SplitError(f"{owner}: {'; '.join(short)}. {_REMEDY}")


def _short(part: str, frame: pd.DataFrame) -> list[str]:
    """Return what a part has too little of."""
    short = []
    if len(frame) < (needed := ROWS.get(part, 0)):
        short.append(f"{len(frame)} {part} rows, and {needed} are needed")
    for kind, word in enumerate(("honest", "fraudulent")):
        rows, needed = int((frame[schema.LABEL] == kind).sum()), EACH_CLASS[part]
        if rows < needed:
            verb = "are" if needed > 1 else "is"
            short.append(f"{rows} of {len(frame)} {part} rows would be {word}, and {needed} {verb} needed")
    return short


def _divide(frame: pd.DataFrame, share: float, *, random_state: int, owner: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two, class by class; return (rest, held out)."""
    counts = frame[schema.LABEL].value_counts()
    if len(counts) < 2 or counts.min() < 2 or len(frame) * share < 2:
        fraud = int(frame[schema.LABEL].sum())
        raise SplitError(
            f"{owner}: {len(frame)} rows, {fraud} of them fraudulent, cannot be split with both classes on either "
            f"side. {_REMEDY}"
        )
    rest, held = train_test_split(frame, test_size=share, stratify=frame[schema.LABEL], random_state=random_state)
    return rest.reset_index(drop=True), held.reset_index(drop=True)


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
    counts = np.bincount(frame[schema.LABEL], minlength=2)
    rare = int(np.argmin(counts))
    floors = [RARE_ROWS, RARE_ROWS]
    floors[1 - rare] = _needed_rows() - RARE_ROWS
    for kind, floor in enumerate(floors):
        if counts[kind] < floor * n_clients:
            raise SplitError(
                f"{counts[kind]} {'fraudulent' if kind else 'honest'} rows cannot be divided among {n_clients} "
                f"clients: each needs {floor}; lower CLIENTS or give a larger table"
            )
    draw = {"iid": _deal, "similar_providers": _cluster, "label_skew": _skew}[how]
    owners = draw(frame, n_clients, floors, streams.generator(seed, streams.DEAL))
    return [frame[owners == client].reset_index(drop=True) for client in range(n_clients)]


def _needed_rows() -> int:
    """Return how many rows leave enough to train on when a fifth is split off."""
    return int(np.ceil(MINIMUM_ROWS / (1 - VALIDATION_SHARE))) + 1


def _deal(frame: pd.DataFrame, n_clients: int, floors: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    dealt = 0
    for kind in (0, 1):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        owners[places] = (np.arange(len(places)) + dealt) % n_clients  # the next class goes on where this one ended
        dealt += len(places)
    return owners


def _cluster(frame: pd.DataFrame, n_clients: int, floors: Sequence[int], rng: np.random.Generator) -> np.ndarray:
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


def _skew(frame: pd.DataFrame, n_clients: int, floors: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(frame), dtype=int)
    for kind, floor in enumerate(floors):
        places = rng.permutation(np.flatnonzero(frame[schema.LABEL] == kind))
        shares = rng.dirichlet(np.full(n_clients, DIRICHLET_ALPHA))
        counts = floor + rng.multinomial(len(places) - floor * n_clients, shares)
        owners[places] = np.repeat(np.arange(n_clients), counts)
    return owners

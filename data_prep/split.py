"""Train, validation and test split: deduplicate, hold out the test table, give every row one owner."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from client_code import schema, task
from client_code.problem import Problem
from data_prep import streams
from data_prep.errors import DataError

HOW = ("iid", "similar_providers", "label_skew")
GIVEN = "given"  # by the problem's owner column
GROUPED = ("npi", "state", "specialty")  # by who or where a provider is, where a table says so
VALIDATION_SHARE = 0.2
_REMEDY = "Add such rows to its table (duplicates count once), or leave out a client that has no more"
DIRICHLET_ALPHA = 0.5  # the lower, the more the clients' shares of a class differ


class SplitError(DataError):
    """The rows cannot be divided as asked."""


def deduplicate(frame: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Keep the first of rows that are equal in every column, those of two owners too.

    What is listed twice stands in a table twice; a copy on each side of a split would let the
    test know the training rows.
    """
    names = [name for name in frame.columns if name not in problem.left_out]
    return frame.drop_duplicates(subset=names, ignore_index=True)


def hold_out(
    frame: pd.DataFrame, problem: Problem, share: float = 0.2, *, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two with the same share of label 1; return (rest, held out), the second to test with.

    Of a table of several owners every owner's rows are split, so that all of them are tested.

    Raises
    ------
    SplitError
        If the part to test with would have too few rows of a class.
    """
    parts = []
    for owner, rows in frame.groupby(problem.owner, sort=False) if problem.owner else [("", frame)]:
        stream = streams.random_state(seed, streams.HOLD_OUT, str(owner))
        parts.append(_divide(rows, problem, share, random_state=stream, owner=str(owner) or "server"))
    rest, held = (pd.concat(side, ignore_index=True) for side in zip(*parts, strict=True))
    require({"test": held}, problem, owner="server")
    return rest, held


def train_validation(
    frame: pd.DataFrame, problem: Problem, *, seed: int, owner: str = "client"
) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    train, validation = _divide(frame, problem, VALIDATION_SHARE, random_state=stream, owner=owner)
    require({"training": train, "validation": validation}, problem, owner=owner)
    return train, validation


def require(parts: Mapping[str, pd.DataFrame], problem: Problem, *, owner: str) -> None:
    """Compare the parts of an owner's rows with the least that the later steps need.

    Parameters
    ----------
    parts : mapping
        Rows by ``"training"``, ``"validation"`` or ``"test"``, as the problem's floors are called.

    Raises
    ------
    SplitError
        Names the owner, every part that falls short, its counts and what to do.
    """
    short = [complaint for part, frame in parts.items() for complaint in _short(part, frame, problem)]
    if short:
        raise SplitError(f"{owner}: {'; '.join(short)}. {_REMEDY}")


def _short(part: str, frame: pd.DataFrame, problem: Problem) -> list[str]:
    """Return what a part has too little of."""
    short, floors = [], problem.floors
    if part == "training" and len(frame) < floors.shared:
        short.append(f"{len(frame)} {part} rows, and {floors.shared} are needed")
    for kind, word in enumerate(problem.words.classes):
        rows, needed = int((frame[problem.label.name] == kind).sum()), getattr(floors, part)
        if rows < needed:
            verb = "are" if needed > 1 else "is"
            short.append(f"{rows} of {len(frame)} {part} rows would be {word}, and {needed} {verb} needed")
    return short


def _divide(
    frame: pd.DataFrame, problem: Problem, share: float, *, random_state: int, owner: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two, class by class; return (rest, held out)."""
    labels = frame[problem.label.name]
    counts = labels.value_counts()
    if len(counts) < 2 or counts.min() < 2 or len(frame) * share < 2:
        raise SplitError(
            f"{owner}: {len(frame)} rows, {int(labels.sum())} of them {problem.words.positive}, cannot be split with "
            f"both classes on either side. {_REMEDY}"
        )
    rest, held = train_test_split(frame, test_size=share, stratify=labels, random_state=random_state)
    return rest.reset_index(drop=True), held.reset_index(drop=True)


def assign(frame: pd.DataFrame, problem: Problem, n_clients: int, *, how: str, seed: int) -> list[pd.DataFrame]:
    """Give every row to exactly one client.

    Parameters
    ----------
    frame : DataFrame
        Rows with their label, shape ``(n_rows, 1 + n_features)``.
    n_clients : int
        At least 1.
    how : {"iid", "similar_providers", "label_skew", "given", "npi", "state", "specialty"}
        Dealt like cards, class by class; by k-means clusters of similar rows; each class shared out by a Dirichlet
        draw, so that shares of label 1 differ; or to whom they belong, by the problem's owner column, in the order of
        the table. Of what is dealt every client first gets the least that it needs of each class. Or by a column of
        the table: a state, a specialty, a provider is one client's, whole.

    Returns
    -------
    list of DataFrame
        One per client, each with enough rows of both classes to train and to validate.

    Raises
    ------
    SplitError
        If ``how`` is unknown, or there are too few rows of a class for so many clients.

    Source: the label skew is that of Hsu, Qi and Brown 2019, Measuring the effects of non-identical data distribution.
    """
    known = (*HOW, *([GIVEN] if problem.owner else []), *(name for name in GROUPED if name in frame.columns))
    if how not in known:
        raise SplitError(f"PARTITION {how!r} is unknown; choose one of {', '.join(known)}")
    if n_clients < 1:
        raise SplitError(f"CLIENTS is {n_clients}; at least one client is needed")
    if how == GIVEN:
        parts = [part.reset_index(drop=True) for _, part in frame.groupby(problem.owner, sort=False)]
        if len(parts) != n_clients:
            raise SplitError(
                f"CLIENTS is {n_clients}, and the table has the rows of {len(parts)} ({problem.owner}): "
                f"CLIENTS={len(parts)} gives each its own, another PARTITION deals the rows"
            )
        return parts
    if how in GROUPED:
        return _grouped(frame, how, n_clients)
    counts = np.bincount(frame[problem.label.name], minlength=2)
    rare = int(np.argmin(counts))
    floors = [problem.floors.rare] * 2
    floors[1 - rare] = _needed_rows(problem.floors.shared) - problem.floors.rare
    for kind, floor in enumerate(floors):
        if counts[kind] < floor * n_clients:
            raise SplitError(
                f"{counts[kind]} {problem.words.classes[kind]} rows cannot be divided among {n_clients} "
                f"clients: each needs {floor}; lower CLIENTS or give a larger table"
            )
    draw = {"iid": _deal, "similar_providers": _cluster, "label_skew": _skew}[how]
    features, labels = schema.to_arrays(frame, problem)
    inputs = problem.transform(features)
    if not problem.plain:
        inputs = problem.filled(inputs, task.moments(inputs)[2])
    rows = _Rows(labels, inputs, n_clients, floors)
    owners = draw(rows, streams.generator(seed, streams.DEAL))
    return [frame[owners == client].reset_index(drop=True) for client in range(n_clients)]


def _grouped(frame: pd.DataFrame, column: str, n_clients: int) -> list[pd.DataFrame]:
    """Give whole groups to clients, the largest first, each to whom has the fewest rows; of numbers by their hash."""
    words = frame[column].fillna("").astype(str)
    if column == "npi":  # too many groups to weigh
        owners = words.map(lambda npi: int(hashlib.sha256(npi.encode()).hexdigest(), 16) % n_clients)
    else:
        sizes = words.value_counts()
        if len(sizes) < n_clients:
            raise SplitError(f"CLIENTS is {n_clients}, and there are {len(sizes)} kinds of {column}; lower CLIENTS")
        rows, whose = [0] * n_clients, {}
        for word in sorted(sizes.index, key=lambda word: (-sizes[word], word)):
            whose[word] = min(range(n_clients), key=lambda client: (rows[client], client))
            rows[whose[word]] += sizes[word]
        owners = words.map(whose)
    return [frame[owners == client].reset_index(drop=True) for client in range(n_clients)]


class _Rows(NamedTuple):
    """What rows are dealt by: labels, features as the problem transforms them, and the least that each client gets."""

    labels: np.ndarray
    features: np.ndarray
    n_clients: int
    floors: Sequence[int]  # of each class

    def places(self, kind: int, rng: np.random.Generator) -> np.ndarray:
        """Return where the rows of a class stand, shuffled."""
        return rng.permutation(np.flatnonzero(self.labels == kind))


def _needed_rows(least: int) -> int:
    """Return how many rows leave enough to train on when a fifth is split off."""
    return int(np.ceil(least / (1 - VALIDATION_SHARE))) + 1


def _deal(rows: _Rows, rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(rows.labels), dtype=int)
    dealt = 0
    for kind in (0, 1):
        places = rows.places(kind, rng)
        owners[places] = (np.arange(len(places)) + dealt) % rows.n_clients  # goes on where the last class ended
        dealt += len(places)
    return owners


def _cluster(rows: _Rows, rng: np.random.Generator) -> np.ndarray:
    scaled = StandardScaler().fit_transform(rows.features)
    clusters = KMeans(rows.n_clients, n_init=3, random_state=int(rng.integers(2**31))).fit(scaled)
    owners = clusters.labels_.copy()
    distances = clusters.transform(scaled)
    for kind, floor in enumerate(rows.floors):
        for client in range(rows.n_clients):
            # A cluster with too few rows of a class takes the nearest ones from clusters that can spare them.
            for place in np.argsort(distances[:, client], kind="stable"):
                counts = np.bincount(owners[rows.labels == kind], minlength=rows.n_clients)
                if counts[client] >= floor:
                    break
                if rows.labels[place] == kind and owners[place] != client and counts[owners[place]] > floor:
                    owners[place] = client
    return owners


def _skew(rows: _Rows, rng: np.random.Generator) -> np.ndarray:
    owners = np.empty(len(rows.labels), dtype=int)
    for kind, floor in enumerate(rows.floors):
        places = rows.places(kind, rng)
        shares = rng.dirichlet(np.full(rows.n_clients, DIRICHLET_ALPHA))
        counts = floor + rng.multinomial(len(places) - floor * rows.n_clients, shares)
        owners[places] = np.repeat(np.arange(rows.n_clients), counts)
    return owners

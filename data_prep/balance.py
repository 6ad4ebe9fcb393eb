"""SMOTE and random under-sampling of one client's training rows: new rows of label 1 between neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.preprocessing import StandardScaler

from client_code import schema, task
from client_code.problem import Problem
from data_prep import stored, streams
from data_prep.errors import DataError

NEIGHBOURS = 5
_LIGHT = 1e-6  # of a standard deviation


class BalanceError(DataError):
    """There are too few rows of label 1 to put anything between."""


def smote(
    frame: pd.DataFrame, problem: Problem, *, ratio: float, seed: int, owner: str = "client", undersample: bool = False
) -> pd.DataFrame:
    """Add synthetic rows of label 1 until there are ``ratio`` of them per row of label 0.

    Neighbours are sought, and new rows placed, among standardised features as the problem transforms them: in dollars
    the largest amount would choose the neighbours alone. Counts are rounded back to whole numbers. A flag (0 or 1) is
    that of the nearer of the two rows it lies between, so that flags of which one is set in every row stay so.
    (SMOTENC's vote would give nearly all new rows the more frequent value.)

    Parameters
    ----------
    frame : DataFrame
        Training rows of one client, shape ``(n_rows, 1 + n_features)``.
    ratio : float
        Rows of label 1 per row of label 0, above 0 and at most 1. If no whole row is missing, the rows come back
        unchanged.
    seed, owner
        The streams ``smote`` and ``under-sample`` of this owner follow from them.
    undersample : bool
        Then drop rows of label 0 at random until both classes are equal, as the published recipe does.

    Returns
    -------
    DataFrame
        The rows of ``frame``, as they were but for columns that reach no model, and the new ones below them; with
        ``undersample`` fewer of label 0.

    Raises
    ------
    BalanceError
        If a row must be made of fewer than two: there is no line between them.

    Source: Chawla, Bowyer, Hall and Kegelmeyer 2002, SMOTE.
    """
    frame = frame[[name for name in frame.columns if name not in problem.left_out]]
    positives = int(frame[problem.label.name].sum())
    missing = int(ratio * (len(frame) - positives) + 1e-9) - positives  # 0.29 of 100 are 29
    if missing > 0:
        if positives < 2:
            what = f"{owner}: {positives} {problem.words.positive} training rows"
            raise BalanceError(f"{what}: SMOTE needs at least 2; choose BALANCE none")
        random_state = streams.random_state(seed, streams.SMOTE, owner)
        frame = pd.concat([frame, _made(frame, problem, missing, random_state)], ignore_index=True)
    if undersample:
        frame = _undersampled(frame, problem.label.name, streams.generator(seed, streams.UNDER_SAMPLE, owner))
    return frame.reset_index(drop=True)


def _undersampled(frame: pd.DataFrame, label: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows without as many of label 0, chosen at random, as there are more of them than of label 1."""
    negatives = np.flatnonzero(frame[label] == 0)
    surplus = max(2 * len(negatives) - len(frame), 0)
    return frame.drop(index=frame.index[rng.choice(negatives, size=surplus, replace=False)])


def _made(frame: pd.DataFrame, problem: Problem, missing: int, random_state: int) -> pd.DataFrame:
    """Return the rows that SMOTE adds, in the units and types of the table."""
    label = problem.label.name
    positives = int(frame[label].sum())
    scaler = StandardScaler()
    inputs = problem.transform(schema.to_features(frame, problem))
    n_inputs, empty = inputs.shape[1], np.isnan(inputs)
    if empty.any():
        inputs = problem.filled(inputs, task.moments(inputs)[2])
    space = scaler.fit_transform(inputs)
    if empty.any():
        # Where a cell is missing goes along, too lightly to choose neighbours by: a new row has the gaps of the nearer.
        space = np.hstack([space, _LIGHT * empty])
    neighbours = min(NEIGHBOURS, positives - 1)
    sampler = SMOTE(sampling_strategy={1: positives + missing}, k_neighbors=neighbours, random_state=random_state)
    resampled, labels = sampler.fit_resample(space, frame[label].to_numpy())
    placed = scaler.inverse_transform(resampled[len(frame) :, :n_inputs])
    gaps = resampled[len(frame) :, n_inputs:] >= _LIGHT / 2 if empty.any() else np.zeros_like(placed, dtype=bool)
    values = np.clip(problem.inverse(placed), *problem.limits)
    for number, (column, place) in enumerate(zip(problem.features, problem.places, strict=True)):
        if column.kind == "flag":
            # Half-way between what 0 and 1 are transformed to: nearer is nearer on that line.
            values[:, number] = placed[:, place.start] >= problem.halfway(number)
        values[gaps[:, place.start], number] = np.nan
    rows = schema.of_features(values, problem)
    rows[label] = labels[len(frame) :]
    whole = stored.whole(frame, problem)
    counts = [column.name for column in problem.features if column.dtype == "int64" and column.missing]
    rows[whole] = rows[whole].round()
    rows[counts] = rows[counts].round()
    rest = [column.name for column in problem.features if column.name not in whole and not column.categories]
    rows[rest] = rows[rest].round(6)  # so that another machine writes the same file
    return rows[list(frame.columns)].astype(frame.dtypes)

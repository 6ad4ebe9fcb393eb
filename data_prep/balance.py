"""SMOTE for one client's training rows: new fraudulent rows between fraudulent neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from sklearn.preprocessing import StandardScaler

from client_code import schema
from data_prep.errors import DataError

NEIGHBOURS = 5


class BalanceError(DataError):
    """There are too few fraudulent rows to put anything between."""


def smote(frame: pd.DataFrame, *, ratio: float, seed: int, undersample: bool = False) -> pd.DataFrame:
    """Add synthetic fraudulent rows until there are ``ratio`` of them per honest row.

    Neighbours are sought, and new rows placed, among standardised logarithms: in dollars the drug cost would choose
    the neighbours alone. Counts are rounded back to whole numbers, and ``female`` to 0 or 1: a row takes it from the
    nearer of the two it lies between. (SMOTENC's vote would give nearly all new rows the more frequent value.)

    Parameters
    ----------
    frame : DataFrame
        Training rows of one client, shape ``(n_rows, 50)``.
    ratio : float
        Fraudulent per honest row, above 0 and at most 1. Rows that have as many already come back unchanged.
    undersample : bool
        Then drop honest rows at random until both classes are equal, as the published recipe does.

    Returns
    -------
    DataFrame
        The rows of ``frame``, as they were, and the new ones below them; with ``undersample`` fewer honest ones.

    Raises
    ------
    BalanceError
        With fewer than two fraudulent rows: there is no line between them.

    Source: Chawla, Bowyer, Hall and Kegelmeyer 2002, SMOTE.
    """
    labels = frame[schema.LABEL]
    positives = int(labels.sum())
    if positives < 2:
        raise BalanceError(f"{positives} fraudulent training rows: SMOTE needs at least 2; choose BALANCE none")
    if positives < ratio * (len(frame) - positives):
        frame = pd.concat([frame, _made(frame, ratio, positives, seed)], ignore_index=True)
    if undersample:
        sampler = RandomUnderSampler(sampling_strategy=1.0, random_state=seed)
        frame, _ = sampler.fit_resample(frame, frame[schema.LABEL])
    return frame.reset_index(drop=True)


def _made(frame: pd.DataFrame, ratio: float, positives: int, seed: int) -> pd.DataFrame:
    """Return the rows that SMOTE adds, in the units and types of the table."""
    names = list(schema.FEATURES)
    scaler = StandardScaler()
    space = scaler.fit_transform(np.log1p(frame[names].to_numpy(float)))
    sampler = SMOTE(sampling_strategy=ratio, k_neighbors=min(NEIGHBOURS, positives - 1), random_state=seed)
    resampled, labels = sampler.fit_resample(space, frame[schema.LABEL].to_numpy())
    values = np.expm1(scaler.inverse_transform(resampled[len(frame) :]))
    rows = pd.DataFrame(np.maximum(values, 0), columns=names)
    rows[schema.LABEL] = labels[len(frame) :]
    whole = [c.name for c in schema.COLUMNS if c.dtype == "int64" and (frame[c.name] % 1 == 0).all()]
    rows[whole] = rows[whole].round()
    rest = [name for name in names if name not in whole]
    rows[rest] = rows[rest].round(6)  # so that another machine writes the same file
    return rows[list(frame.columns)].astype(frame.dtypes)

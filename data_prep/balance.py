"""SMOTE and random under-sampling of one client's training rows: new fraudulent rows between fraudulent neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.preprocessing import StandardScaler

from client_code import schema
from data_prep import stored, streams
from data_prep.errors import DataError

NEIGHBOURS = 5


class BalanceError(DataError):
    """There are too few fraudulent rows to put anything between."""


def smote(
    frame: pd.DataFrame, *, ratio: float, seed: int, owner: str = "client", undersample: bool = False
) -> pd.DataFrame:
    """Add synthetic fraudulent rows until there are ``ratio`` of them per honest row.

    Neighbours are sought, and new rows placed, among standardised logarithms: in dollars the drug cost would choose
    the neighbours alone. Counts are rounded back to whole numbers. A flag (0 or 1, such as ``female``) is that of the
    nearer of the two rows it lies between, so that flags of which one is set in every row stay so. (SMOTENC's vote
    would give nearly all new rows the more frequent value.)

    Parameters
    ----------
    frame : DataFrame
        Training rows of one client, shape ``(n_rows, 50)``.
    ratio : float
        Fraudulent per honest row, above 0 and at most 1. Rows that lack no whole row of it come back unchanged.
    seed, owner
        The streams ``smote`` and ``under-sample`` of this owner follow from them.
    undersample : bool
        Then drop honest rows at random until both classes are equal, as the published recipe does.

    Returns
    -------
    DataFrame
        The rows of ``frame``, as they were, and the new ones below them; with ``undersample`` fewer honest ones.

    Raises
    ------
    BalanceError
        If a row must be made of fewer than two fraudulent rows: there is no line between them.

    Source: Chawla, Bowyer, Hall and Kegelmeyer 2002, SMOTE.
    """
    positives = int(frame[schema.LABEL].sum())
    missing = int(ratio * (len(frame) - positives) + 1e-9) - positives  # 0.29 of 100 are 29
    if missing > 0:
        if positives < 2:
            raise BalanceError(
                f"{owner}: {positives} fraudulent training rows: SMOTE needs at least 2; choose BALANCE none"
            )
        random_state = streams.random_state(seed, streams.SMOTE, owner)
        frame = pd.concat([frame, _made(frame, positives, missing, random_state)], ignore_index=True)
    if undersample:
        frame = _undersampled(frame, streams.generator(seed, streams.UNDER_SAMPLE, owner))
    return frame.reset_index(drop=True)


def _undersampled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows without as many honest ones, chosen at random, as there are more of them than fraudulent ones."""
    honest = np.flatnonzero(frame[schema.LABEL] == 0)
    surplus = max(2 * len(honest) - len(frame), 0)
    return frame.drop(index=frame.index[rng.choice(honest, size=surplus, replace=False)])


def _made(frame: pd.DataFrame, positives: int, missing: int, random_state: int) -> pd.DataFrame:
    """Return the rows that SMOTE adds, in the units and types of the table."""
    names = list(schema.FEATURES)
    scaler = StandardScaler()
    space = scaler.fit_transform(np.log1p(frame[names].to_numpy(float)))
    neighbours = min(NEIGHBOURS, positives - 1)
    sampler = SMOTE(sampling_strategy={1: positives + missing}, k_neighbors=neighbours, random_state=random_state)
    resampled, labels = sampler.fit_resample(space, frame[schema.LABEL].to_numpy())
    logs = scaler.inverse_transform(resampled[len(frame) :])
    rows = pd.DataFrame(np.maximum(np.expm1(logs), 0), columns=names)
    for name in schema.BINARY:  # half-way between the logarithms of 0 and 1, not half-way between 0 and 1
        rows[name] = (logs[:, names.index(name)] >= np.log1p(1) / 2).astype(float)
    rows[schema.LABEL] = labels[len(frame) :]
    whole = stored.whole(frame)
    rows[whole] = rows[whole].round()
    rest = [name for name in names if name not in whole]
    rows[rest] = rows[rest].round(6)  # so that another machine writes the same file
    return rows[list(frame.columns)].astype(frame.dtypes)

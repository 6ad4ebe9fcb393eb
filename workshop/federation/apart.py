"""Outlier check on the clients' units of measurement: whose moments stand apart, and what that looks like.

A client whose table is in another unit (logarithms, thousands) breaks no rule and spoils the model. The moments that
every client sends for the scaler are enough to see it: nothing more is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client_code import task
from client_code.problem import Problem
from workshop.federation.events import StandsApart

# A client's score is the median over columns of |its mean - the others'| in standard deviations of the others' rows.
# Measured on the synthetic and the curated table, 2 to 20 clients: honest ones, clustered by k-means, reach 1.3, dealt
# or label-skewed ones 0.3; with all amounts as log10, in thousands or in cents the score is at least 1.6, mostly 3.
LIMIT = 1.5
CLOSE = 0.5  # a guess at the unit must explain the means to within so many standard deviations
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)

# What a client may have done to its numbers, and how that is said after "client-2's values look like the others'".
GUESSES: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("as log10(1 + value)", lambda values: np.log10(1 + values)),
    ("as ln(1 + value)", np.log1p),
    ("as square roots", np.sqrt),
    ("in tenths (10 times as large)", lambda values: values * 10),
    ("in hundredths (100 times as large, such as cents for dollars)", lambda values: values * 100),
    ("in thousandths (1,000 times as large)", lambda values: values * 1e3),
    ("in millionths (1,000,000 times as large)", lambda values: values * 1e6),
    ("in tens", lambda values: values / 10),
    ("in hundreds", lambda values: values / 100),
    ("in thousands", lambda values: values / 1e3),
    ("in millions, or scaled to lie between 0 and 1", lambda values: values / 1e6),
)


def compare(moments: Mapping[str, task.Parameters], problem: Problem) -> list[StandsApart]:
    """Return the clients that stand apart from the others in most columns; of two clients, the pair as one.

    The others' centre is the median of their means and every client counts alike, however many rows it has: neither
    the largest client nor two of five that share a mistake decide what is usual. Who stands apart farthest is found
    first and is no longer among the others then.

    Parameters
    ----------
    moments : mapping
        By client, ``[n_rows (1,), values, mean, sum of squared deviations (n_inputs,)]`` of the model's inputs.
    """
    # A column without a value says nothing: NaN, which every median below leaves out.
    counts = {name: np.where(arrays[1] > 0, arrays[1], np.nan) for name, arrays in moments.items()}
    means = {name: np.where(arrays[1] > 0, arrays[2], np.nan) for name, arrays in moments.items()}
    variances = {name: arrays[3] / counts[name] for name, arrays in moments.items()}
    rows = _Rows(means, variances, problem)
    left, outliers = sorted(moments), []
    if len(left) == 2:
        return _pair(left[0], left[1], rows)
    while len(left) > 2:
        distances = {name: rows.distances(name, _without(left, name)) for name in left}
        farthest = max(left, key=lambda name: _median(distances[name]))
        if _median(distances[farthest]) < LIMIT:
            break
        left.remove(farthest)
        outliers.append(rows.describe(farthest, left))
    return outliers


def _without(names: Sequence[str], name: str) -> list[str]:
    return [other for other in names if other != name]


def _pair(client: str, other: str, rows: _Rows) -> list[StandsApart]:
    """Compare two clients with each other; the one of which the other's unit can be guessed is named first."""
    both = [rows.describe(client, [other]), rows.describe(other, [client])]
    if min(event.score for event in both) < LIMIT:
        return []
    return [next((event for event in both if event.guess), both[0])]


@dataclass(frozen=True)
class _Rows:
    """Mean and variance of every client's rows, per column, as the problem transforms them."""

    means: Mapping[str, np.ndarray]
    variances: Mapping[str, np.ndarray]
    problem: Problem

    def usual(self, others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return centre and spread of the others' rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column of which nobody has a value
            centre = np.nanmedian([self.means[name] for name in others], axis=0)
            squares = [self.variances[name] + (self.means[name] - centre) ** 2 for name in others]
            return centre, np.sqrt(np.nanmean(squares, axis=0))

    def distances(self, name: str, others: Sequence[str]) -> np.ndarray:
        """Return how far a client's means lie from the others', per column, in standard deviations of their rows."""
        centre, spread = self.usual(others)
        return _standardised(self.means[name] - centre, spread)

    def describe(self, name: str, others: Sequence[str]) -> StandsApart:
        """Say how far a client stands apart, and what that looks like."""
        distances = self.distances(name, others)
        score = _median(distances)
        guess = self._guess(self.means[name], *self.usual(others), limit=min(score / 3, CLOSE))
        return StandsApart(name, tuple(others), int((distances >= 1).sum()), len(distances), score, guess)

    def _guess(self, mean: np.ndarray, centre: np.ndarray, spread: np.ndarray, *, limit: float) -> str:
        """Return what the others' rows would have to go through to have this mean, if one guess fits most columns.

        As they are transformed they are taken for normally distributed; a mean over that is a Gauss-Hermite sum.
        """
        units = ~self.problem.flags  # a flag has no unit
        low, high = self.problem.limits
        values = np.clip(self.problem.inverse(np.nan_to_num(centre + _NODES[:, None] * spread)), low, high)
        fits = []
        for text, change in GUESSES:
            with np.errstate(invalid="ignore"):  # a negative number has no logarithm
                changed = self.problem.transform(change(values))
            expected = (_WEIGHTS[:, None] * changed).sum(axis=0) / _WEIGHTS.sum()
            away = _standardised(mean - expected, spread)[units]
            fits.append((_median(np.where(np.isnan(away) & ~np.isnan(mean[units]), np.inf, away)), text))
        error, text = min(fits)
        return text if error < limit else ""


def _median(distances: np.ndarray) -> float:
    """Return the median of those columns that can be compared; 0 where none can."""
    known = distances[~np.isnan(distances)]
    return float(np.median(known)) if len(known) else 0.0


def _standardised(away: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Divide; where the others never change, any difference beyond rounding is far."""
    constant = spread <= 1e-9
    return np.where(constant, np.where(np.abs(away) > 1e-6, 10.0, 0.0), np.abs(away) / np.where(constant, 1.0, spread))

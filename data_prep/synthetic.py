"""Synthetic providers: a seeded generator that knows the published table's shape, and nobody's row.

A Gaussian copula in ``log1p`` space: a factor model, shared by both classes, says which columns rise together; per class
and column a table of quantiles says how far, and how many providers sit at the column's floor (a single billing line has
standard deviation 0, CMS publishes no count below 11). Beyond the outermost quantiles, 1 % and 99 %, the tails go on as
log-normal ones, so no single provider's amount is among the parameters.

``python -m data_prep.synthetic TABLE.csv`` derives the parameters from the published table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from client_code import schema
from data_prep.errors import DataError

PARAMETERS = Path(__file__).with_name("synthetic_parameters.json")
SOURCE = "synthetic"
QUANTITIES = tuple(name.removesuffix("_mean") for name in schema.FEATURES if name.endswith("_mean"))
AMOUNTS = tuple(name for name in schema.FEATURES if name not in schema.BINARY)
WHOLE = {column.name for column in schema.COLUMNS if column.dtype == "int64"}
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
N_FACTORS = 15
_z = NormalDist().inv_cdf


def generate(n_rows: int = 5500, positive_rate: float = 1 / 11, *, seed: int) -> pd.DataFrame:
    """Draw a table with the columns, the shape and the flaws of the published one.

    Parameters
    ----------
    n_rows : int
        Rows in all, duplicates included.
    positive_rate : float
        Share of fraudulent rows. 1/11 as published; among all providers it is about 0.0006.
    seed : int
        Same seed, same table, to the byte of its CSV file: amounts are rounded to 2-4 decimals, far above what
        another machine's arithmetic could change.

    Returns
    -------
    DataFrame
        Shape ``(n_rows, 50)``, ``attrs["source"] == "synthetic"``. As in the published table the honest rows come
        first, and 38 of 500 fraudulent rows are copies of others: who cuts it in slices or forgets to deduplicate
        learns the same lesson as there.

    Raises
    ------
    DataError
        If either class would have no row.
    """
    n_positives = round(n_rows * positive_rate)
    if not 0 < n_positives < n_rows:
        raise DataError(
            f"{n_rows} rows with a share of {positive_rate:g} fraudulent ones leave a class empty; raise either"
        )
    parameters = json.loads(PARAMETERS.read_text(encoding="utf-8"))
    random = np.random.default_rng(seed)
    n_copies = round(n_positives * parameters["copies"])
    honest = _draw(parameters, "0", n_rows - n_positives, random)
    fraud = _draw(parameters, "1", n_positives - n_copies, random)
    # The exclusion list names some providers three times.
    thrice = random.choice(len(fraud), size=-(-n_copies // 2), replace=False)
    order = random.permutation(np.r_[np.arange(len(fraud)), np.resize(thrice, n_copies)])
    frame = pd.concat([honest, fraud.iloc[order]], ignore_index=True)
    frame.attrs["source"] = SOURCE
    return frame


def derive_parameters(frame: pd.DataFrame) -> dict:
    """Derive the generator's parameters from the published table.

    Parameters
    ----------
    frame : DataFrame
        Shape ``(n_rows, 50)``, both classes.

    Returns
    -------
    dict
        ``copies`` (share of fraudulent rows that repeat another), ``loadings`` ``(49, N_FACTORS)``, ``shift`` (means of
        the factors per class, in standard deviations), ``female`` (share per class); per column ``floors``,
        ``at_floor`` (share of rows), ``quantiles`` (of ``log1p`` above the floor, at ``SHARES``) and ``tails`` (slope
        of ``log1p`` per standard deviation, above 99 %).

    Raises
    ------
    schema.TableError
        If the table breaks the schema.
    """
    schema.check_table(frame, file="table")
    rows = frame.drop_duplicates()
    floors = {name: float(rows[name].min()) for name in AMOUNTS}
    above = {name: np.log1p(rows.loc[rows[name] > floor, name].to_numpy()) for name, floor in floors.items()}
    loadings, shift = _factors(rows)
    return {
        "copies": round((len(frame) - len(rows)) / int(frame[schema.LABEL].sum()), 3),
        "loadings": loadings.round(3).tolist(),
        "shift": {label: means.round(3).tolist() for label, means in shift.items()},
        "female": {str(label): round(float(part["female"].mean()), 3) for label, part in rows.groupby(schema.LABEL)},
        "floors": {name: round(floor, 2) for name, floor in floors.items()},
        "at_floor": {name: round(1 - len(logs) / len(rows), 4) for name, logs in above.items()},
        "quantiles": {name: np.quantile(logs, SHARES).round(3).tolist() for name, logs in above.items()},
        "tails": {name: _tail(logs, len(rows)) for name, logs in above.items()},
    }


def _tail(logs: np.ndarray, n_rows: int) -> float:
    """Return the slope of the highest percent."""
    inner, outer = (_z(1 - len(logs) / n_rows * share) for share in (0.01, 0.001))
    low, high = np.quantile(logs, (0.99, 0.999))
    return round(float((high - low) / (outer - inner)), 3)


def _factors(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Fit loadings to correlations within classes, by iterated principal axes, and the factors' means per class."""
    scores = rows[list(schema.FEATURES)].rank().div(len(rows) + 1).map(_z)
    # Ties (the floors, the gender) hide a part of the correlation: the spread of the scores says which part.
    scores /= scores.std()
    means = scores.groupby(rows[schema.LABEL]).mean()
    within = scores - means.loc[rows[schema.LABEL]].to_numpy()
    spread = (rows[list(schema.FEATURES)].rank().div(len(rows) + 1).map(_z)).std().to_numpy()
    correlation = np.clip(within.corr().to_numpy() / np.outer(spread, spread), -0.99, 0.99)
    communality = np.ones(len(correlation))
    for _ in range(50):
        np.fill_diagonal(correlation, communality)
        values, vectors = np.linalg.eigh(correlation)
        loadings = vectors[:, -N_FACTORS:] * np.sqrt(np.maximum(values[-N_FACTORS:], 0))
        length = (loadings**2).sum(axis=1)
        communality = np.minimum(length, 0.99)
    loadings *= np.sqrt(communality / length)[:, None]
    import os
    K=float(os.environ.get("K","0.5"))
    amounts = np.array([name in AMOUNTS for name in schema.FEATURES])
    w = 1/(1-communality[amounts])**K
    A = loadings[amounts]
    shift = {str(l): np.linalg.solve(A.T@(A*w[:,None]), A.T@(w*(m.to_numpy()/spread)[amounts])) for l,m in means.iterrows()}
    return loadings, shift


def _draw(parameters: dict, label: str, n_rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Draw distinct providers of one class."""
    loadings = np.array(parameters["loadings"])
    unique = np.sqrt(1 - (loadings**2).sum(axis=1))
    factors = random.standard_normal((n_rows, loadings.shape[1])) 
    female = (factors @ loadings[0] + random.standard_normal(n_rows) * unique[0]) > _z(1 - parameters["female"][label])
    factors += parameters["shift"][label]
    scores = factors @ loadings.T + random.standard_normal((n_rows, len(loadings))) * unique
    latent = dict(zip(schema.FEATURES, scores.T, strict=True))
    columns = {name: _amounts(latent[name], name, parameters) for name in AMOUNTS}
    for quantity in QUANTITIES:  # no line is negative, so their sum is not below their mean
        columns[f"{quantity}_sum"] = np.maximum(columns[f"{quantity}_sum"], columns[f"{quantity}_mean"])
    columns["female"] = female
    columns[schema.LABEL] = np.full(n_rows, int(label))
    frame = pd.DataFrame({name: columns[name] for name in schema.NAMES})
    return frame.astype({column.name: column.dtype for column in schema.COLUMNS})


def _amounts(z: np.ndarray, name: str, parameters: dict) -> np.ndarray:
    """Map normal scores ``(n_rows,)`` to one column: its floor, its table of quantiles, log-normal tails beyond it."""
    floor, at_floor, logs = (parameters[key][name] for key in ("floors", "at_floor", "quantiles"))
    knots = np.array([_z(at_floor + (1 - at_floor) * share) for share in SHARES])
    found = np.interp(z, knots, logs)
    first = (logs[1] - logs[0]) / (knots[1] - knots[0])
    found += first * np.minimum(z - knots[0], 0) + parameters["tails"][name] * np.maximum(z - knots[-1], 0)
    amounts = np.round(np.maximum(np.expm1(found), floor), 0 if name in WHOLE else 2 if name.endswith("_sum") else 4)
    return np.where(z < _z(at_floor), floor, amounts) if at_floor else amounts


def main(argv: Sequence[str] | None = None) -> None:
    """Derive the parameters from a table and write them beside this module."""
    parser = argparse.ArgumentParser(description=derive_parameters.__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="the published table, a CSV file")
    parameters = derive_parameters(schema.read_table(parser.parse_args(argv).table))
    PARAMETERS.write_text(json.dumps(parameters, sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

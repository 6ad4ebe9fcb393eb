"""Synthetic provider rows that look like the curated table and belong to nobody: the default source.

A class-conditional Gaussian copula in log1p space. Every column has, per class, a share of rows at its floor (no
spread for a provider with one line, CMS's stand-in for hidden counts) and a curve of quantiles above it; a factor
model with one correlation matrix for both classes ties the columns together. The parameters are statistics of the
curated table, in ``synthetic_parameters.json``; ``python -m data_prep.synthetic PROBLEM.toml TABLE.csv`` derives them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from client_code import schema
from client_code.problem import Column, Problem, load
from data_prep import streams
from data_prep.errors import DataError

SOURCE = "synthetic"
PARAMETERS = Path(__file__).with_name("synthetic_parameters.json")
POSITIVE_RATE = 500 / 5500  # of the curated table, its duplicates included
DUPLICATE_RATE = 38 / 500  # share of its fraudulent rows that are copies of another one
N_FACTORS = 14
LEVELS = np.array([0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99])
FLOOR_SHARE = 0.01  # from this share on, rows at the smallest value count as a floor


def generate(problem: Problem, n_rows: int = 5500, positive_rate: float = POSITIVE_RATE, *, seed: int) -> pd.DataFrame:
    """Draw a table with the problem's columns, rows of label 0 first as in the curated table.

    Parameters
    ----------
    n_rows : int
        Rows in all, at least 20.
    positive_rate : float
        Share of rows of label 1. One in thirteen of them is a copy, as in the curated table.
    seed : int
        The same seed gives the same bytes.

    Returns
    -------
    DataFrame
        Shape ``(n_rows, 1 + n_features)``, stamped ``attrs["source"] == "synthetic"``.

    Raises
    ------
    DataError
        If there would be fewer than two rows of a class, or nothing is known of the problem's columns.
    """
    n_positive = round(n_rows * positive_rate)
    if min(n_positive, n_rows - n_positive) < 2:
        raise DataError(f"{n_rows} rows at a rate of {positive_rate} leave fewer than two rows of a class")
    parameters = json.loads(PARAMETERS.read_text())
    if set(parameters["columns"]) != set(problem.feature_names):
        raise DataError(
            f"there are no synthetic rows of problem {problem.name}: give the path of a table as DATA, or derive "
            "statistics beside the problem's file (`fl table statistics`)"
        )
    rng = streams.generator(seed, streams.GENERATE)
    n_copies = round(n_positive * DUPLICATE_RATE)
    negative = _draw(parameters, problem, 0, n_rows - n_positive, rng)
    positive = _draw(parameters, problem, 1, n_positive - n_copies, rng)
    copies = positive.iloc[rng.choice(len(positive), size=n_copies, replace=False)]
    frame = pd.concat([negative, positive, copies], ignore_index=True)
    frame.attrs["source"] = SOURCE
    return frame


def derive_parameters(frame: pd.DataFrame, problem: Problem) -> dict:
    """Derive the generator's parameters from the curated table.

    Parameters
    ----------
    frame : DataFrame
        With the problem's columns; duplicates are left out.

    Returns
    -------
    dict
        Per feature and class the floor, its share and the quantiles above it in log1p; factor loadings
        ``(n_features, k)``.
    """
    frame = frame.drop_duplicates()
    by_class = [frame[frame[problem.label.name] == kind] for kind in (0, 1)]
    columns = {
        column.name: [
            _marginal(rows[column.name].to_numpy(float), column) | _tail(frame[column.name]) for rows in by_class
        ]
        for column in problem.features
    }
    # Normal scores within each class: the classes differ in their curves, not in how columns move together.
    ranks = pd.concat([rows[list(problem.feature_names)].rank(pct=True) - 0.5 / len(rows) for rows in by_class])
    correlation = np.corrcoef(ndtri(ranks.to_numpy()), rowvar=False)
    values, vectors = np.linalg.eigh(correlation)
    top = np.argsort(values)[::-1][:N_FACTORS]
    loadings = vectors[:, top] * np.sqrt(values[top])
    return {"columns": columns, "loadings": np.round(loadings, 3).tolist()}


def _marginal(values: np.ndarray, column: Column) -> dict:
    """Describe one column of one class: ``floor``, ``share`` of rows at it, log1p ``quantiles`` above it."""
    if column.kind == "flag":
        share = round(float((values == 0).mean()), 3)
        return {"floor": 0.0, "share": share, "quantiles": [float(np.log(2))] * len(LEVELS)}
    smallest = float(values.min())
    share = float((values == smallest).mean())
    if share < FLOOR_SHARE:  # one provider's amount is not a floor: round it down
        return {"floor": float(np.floor(smallest)), "share": 0.0, "quantiles": _quantiles(values)}
    return {"floor": smallest, "share": round(share, 3), "quantiles": _quantiles(values[values > smallest])}


def _quantiles(values: np.ndarray) -> list[float]:
    return np.quantile(np.log1p(values), LEVELS).round(3).tolist()


def _tail(values: pd.Series) -> dict:
    """Describe the upper tail of both classes together: log1p per normal score, and where it ends."""
    low, high = np.log1p(values.quantile([0.99, 0.999]))
    slope = (high - low) / (ndtri(0.999) - ndtri(0.99))
    return {"slope": round(float(slope), 3), "end": round(float(high + np.log(3)), 3)}


def _draw(parameters: dict, problem: Problem, kind: int, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw rows of one class."""
    loadings = np.array(parameters["loadings"])
    unique = np.sqrt(np.maximum(1 - (loadings**2).sum(axis=1), 0))
    scores = rng.standard_normal((n_rows, loadings.shape[1])) @ loadings.T
    scores += rng.standard_normal((n_rows, len(loadings))) * unique
    ranks = ndtr(scores / np.sqrt((loadings**2).sum(axis=1) + unique**2))
    data = {problem.label.name: np.full(n_rows, kind)}
    for number, column in enumerate(problem.features):
        values = _values(ranks[:, number], parameters["columns"][column.name][kind])
        data[column.name] = values.round().astype(np.int64) if column.dtype == "int64" else values.round(2)
    frame = pd.DataFrame(data)
    for name in problem.feature_names:  # a sum of amounts is never below their mean
        if name.endswith("_sum"):
            frame[name] = frame[[name, name.removesuffix("_sum") + "_mean"]].max(axis=1)
    return frame


def _values(ranks: np.ndarray, marginal: dict) -> np.ndarray:
    """Turn ranks within the class into amounts; beyond the outer quantiles the curve goes on straight in log1p."""
    share, knots, curve = marginal["share"], ndtri(LEVELS), np.array(marginal["quantiles"])
    scores = ndtri(np.clip((ranks - share) / (1 - share), 1e-9, 1 - 1e-9))
    logs = np.interp(scores, knots, curve)
    below = (curve[1] - curve[0]) / (knots[1] - knots[0]) * np.minimum(scores - knots[0], 0)
    above = marginal["slope"] * np.maximum(scores - knots[-1], 0)
    amounts = np.expm1(np.minimum(logs + below + above, marginal["end"]))
    return np.where(ranks <= share, marginal["floor"], np.maximum(amounts, marginal["floor"]))


if __name__ == "__main__":
    described = load(Path(sys.argv[1]))
    derived = derive_parameters(schema.read_table(sys.argv[2], described), described)
    PARAMETERS.write_text(json.dumps(derived, separators=(",", ":")) + "\n")

"""Synthetic rows of any problem: drawn from statistics of a table, marginals and correlations, and of nobody.

Per owner and class: how often each column is missing, the share of each word, the quantiles of each number; and one
factor model of how the columns move together (a Gaussian copula). ``fl table statistics`` derives them; the curated
provider table has a generator of its own (``synthetic.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from client_code.problem import Column, Problem
from data_prep import streams
from data_prep.errors import DataError

SOURCE = "synthetic"
LEVELS = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
N_FACTORS = 10
STAMP = "statistics of a table, derived by data_prep.marginals: no row of it is in here"


def derive(frame: pd.DataFrame, problem: Problem) -> dict[str, Any]:
    """Derive the statistics that :func:`generate` draws from.

    Parameters
    ----------
    frame : DataFrame
        With the problem's columns, and its owner column where it names one.

    Returns
    -------
    dict
        JSON values: a stamp; per owner and class the rows and each column's marginal; factor loadings.

    Raises
    ------
    DataError
        If an owner has fewer rows of a class than a quantile can stand for.
    """
    owners = frame.groupby(problem.owner, sort=False) if problem.owner else [("", frame)]
    parts = []
    for owner, rows in owners:
        by_class = [rows[rows[problem.label.name] == kind] for kind in (0, 1)]
        for kind, part in enumerate(by_class):
            if len(part) < problem.floors.rare:
                word = problem.words.classes[kind]
                raise DataError(f"{owner or 'the table'}: {len(part)} {word} rows are too few for statistics of them")
        classes = [{"rows": len(part), "columns": _columns(part, problem)} for part in by_class]
        parts.append({"owner": str(owner), "classes": classes})
    return {"stamp": STAMP, "problem": problem.name, "owners": parts, "loadings": _loadings(frame, problem)}


def generate(statistics: dict[str, Any], problem: Problem, *, seed: int) -> pd.DataFrame:
    """Draw a table: as many rows of each owner and class as the statistics say.

    Returns
    -------
    DataFrame
        With the problem's columns, and its owner column, stamped ``attrs["source"] == "synthetic"``.

    Raises
    ------
    DataError
        If the statistics are of another problem.
    """
    known = [set(entry["columns"]) for part in statistics["owners"] for entry in part["classes"]]
    if any(names != set(problem.feature_names) for names in known):
        raise DataError(
            f"the statistics are of problem {statistics['problem']}, whose columns are others than those of "
            f"{problem.name}: derive them again, with `python -m workshop table statistics`"
        )
    rng, drawn = streams.generator(seed, streams.GENERATE), []
    loadings = np.array(statistics["loadings"])
    for part in statistics["owners"]:
        for kind, entry in enumerate(part["classes"]):
            rows = _draw(entry, loadings, problem, rng)
            rows.insert(0, problem.label.name, kind)
            if problem.owner:
                rows[problem.owner] = part["owner"]
            drawn.append(rows)
    frame = pd.concat(drawn, ignore_index=True)
    for column in problem.features:
        if column.categories:
            frame[column.name] = pd.Categorical(frame[column.name], categories=list(column.categories))
    frame.attrs["source"] = SOURCE
    return frame


def _columns(rows: pd.DataFrame, problem: Problem) -> dict[str, dict[str, Any]]:
    return {column.name: _marginal(rows[column.name], column) for column in problem.features}


def _marginal(cells: pd.Series, column: Column) -> dict[str, Any]:
    """Describe one column of one class: the share that is missing; shares of words, or quantiles of numbers."""
    known = cells.dropna()
    marginal: dict[str, Any] = {"missing": round(float(cells.isna().mean()), 3)}
    if words := _words(column):
        counts = known.value_counts()
        shares = [counts.get(word, 0) / max(len(known), 1) for word in words]
        return marginal | {"shares": np.round(shares, 3).tolist()}
    if not len(known):
        return marginal | {"quantiles": []}
    quantiles = np.quantile(known.to_numpy(dtype=float), LEVELS)
    return marginal | {"quantiles": [float(f"{value:.4g}") for value in quantiles]}


def _words(column: Column) -> Sequence[Any]:
    """Return what a cell may be, of a category or a flag; of a number nothing."""
    return (0, 1) if column.kind == "flag" else column.categories


def _loadings(frame: pd.DataFrame, problem: Problem) -> list[list[float]]:
    """Return factor loadings ``(n_features, k)`` of normal scores within each class; a gap is in the middle."""
    scores = []
    for _, rows in frame.groupby(problem.label.name):
        codes = rows[list(problem.feature_names)].apply(
            lambda cells: cells.cat.codes.where(cells.notna()) if cells.dtype == "category" else cells
        )
        ranks = codes.rank(pct=True) - 0.5 / max(len(rows), 1)
        scores.append(ndtri(ranks.fillna(0.5).to_numpy(dtype=float)))
    together = np.concatenate(scores)
    spread = together.std(axis=0)
    correlation = np.corrcoef(together[:, spread > 0], rowvar=False).reshape((spread > 0).sum(), -1)
    values, vectors = np.linalg.eigh(correlation)
    top = np.argsort(values)[::-1][:N_FACTORS]
    loadings = np.zeros((len(spread), len(top)))
    loadings[spread > 0] = vectors[:, top] * np.sqrt(np.maximum(values[top], 0))
    return np.round(loadings, 3).tolist()


def _draw(entry: dict[str, Any], loadings: np.ndarray, problem: Problem, rng: np.random.Generator) -> pd.DataFrame:
    """Draw rows of one owner and class."""
    n_rows = entry["rows"]
    unique = np.sqrt(np.maximum(1 - (loadings**2).sum(axis=1), 0))
    scores = rng.standard_normal((n_rows, loadings.shape[1])) @ loadings.T
    scores += rng.standard_normal((n_rows, len(loadings))) * unique
    ranks = ndtr(scores / np.sqrt((loadings**2).sum(axis=1) + unique**2))
    empty = rng.random((n_rows, len(loadings)))
    data = {}
    for number, column in enumerate(problem.features):
        marginal = entry["columns"][column.name]
        cells = _cells(ranks[:, number], marginal, column, problem)
        gaps = empty[:, number] < marginal["missing"]
        data[column.name] = pd.Series(cells).mask(gaps) if gaps.any() else cells
    return pd.DataFrame(data)


def _cells(ranks: np.ndarray, marginal: dict[str, Any], column: Column, problem: Problem) -> np.ndarray:
    """Turn ranks within the class into words, or into numbers between the outer quantiles and a little beyond."""
    if words := _words(column):
        ends = np.cumsum(marginal["shares"])
        places = np.minimum(np.searchsorted(ends, ranks * ends[-1]), len(ends) - 1)
        return np.array(words, dtype=object if column.categories else float if column.missing else int)[places]
    if not marginal["quantiles"]:
        return np.full(len(ranks), np.nan)
    curve, knots = np.array(marginal["quantiles"]), ndtri(LEVELS)
    scores = ndtri(np.clip(ranks, 1e-6, 1 - 1e-6))
    values = np.interp(scores, knots, curve)
    values += (curve[1] - curve[0]) / (knots[1] - knots[0]) * np.minimum(scores - knots[0], 0)
    values += (curve[-1] - curve[-2]) / (knots[-1] - knots[-2]) * np.maximum(scores - knots[-1], 0)
    values = np.clip(values, *problem.limits_of(column))
    if column.dtype == "int64":
        return values.round() if column.missing else values.round().astype(np.int64)
    return values.round(2)

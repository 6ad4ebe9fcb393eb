"""Inference script of SageMaker's scikit-learn image: ``code/inference.py`` in a model's archive.

It rebuilds the model from arrays, so that no pickle is opened, and takes tables as their owner writes them:

- ``text/csv``: the problem's columns in its order, without a header; a first line that names the columns is taken as a
  header, in any order. An empty cell is a missing value.
- ``application/json``: ``{"columns": [...], "rows": [[...], ...]}``; null is a missing value.

It answers the probability of label 1 for each row: lines of ``text/csv``, or ``{"probabilities": [...]}``. A table that
it does not take is an error, which names row and column in the log, and never a cell.

The image's default handlers are not used: they type a CSV column by column, so that an empty cell arrives as 0.0, -1.0
or NaN, depending on the other rows, and one row has another shape than two.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

try:
    from client_code import task
    from client_code.problem import Encoded
except ImportError:  # in the image the modules lie side by side and are no package
    import task  # pyright: ignore[reportMissingImports]
    from problem import Encoded  # pyright: ignore[reportMissingImports]

CSV, JSON = "text/csv", "application/json"


class UnsupportedFormatError(Exception):
    """A type of request or answer that is not served; by this name it is a 415."""


class Loaded(NamedTuple):
    """The model, and how each of its columns is written."""

    pipeline: Any
    columns: tuple[Encoded, ...]

    @property
    def names(self) -> list[str]:
        """Of the columns, in the model's order."""
        return [column.name for column in self.columns]


class Rows(NamedTuple):
    """What a request holds: the names of its columns, if it says them, and its cells, row by row."""

    names: list[str] | None
    cells: list[list[Any]]


def model_fn(folder: str) -> Loaded:
    """Rebuild the model from ``model.npz``."""
    with np.load(Path(folder) / "model.npz", allow_pickle=False) as arrays:
        told = json.loads(str(arrays["encoding"]))
        columns = tuple(Encoded(name, log, tuple(words), *gaps) for name, log, words, *gaps in told)
        scaler = task.Scaler(arrays["mean"], arrays["scale"])
        pipeline = task.build_pipeline([arrays["coef"], arrays["intercept"]], scaler, columns)
    return Loaded(pipeline, columns)


def input_fn(body: str, content_type: str) -> Rows:
    """Read a request.

    Raises
    ------
    UnsupportedFormatError
        If it is neither CSV nor JSON.
    ValueError
        If it is not what its type says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == CSV:
        return Rows(None, [line for line in csv.reader(io.StringIO(body)) if line])
    if kind == JSON:
        try:
            told = json.loads(body)
            return Rows([str(name) for name in told["columns"]], [list(row) for row in told["rows"]])
        except (KeyError, TypeError) as error:
            raise ValueError('JSON must be {"columns": [...], "rows": [[...], ...]}') from error
    raise UnsupportedFormatError(f"{kind}: text/csv and application/json are served")


def predict_fn(rows: Rows, model: Loaded) -> list[float]:
    """Return the probability of label 1 of every row, in its order.

    Raises
    ------
    ValueError
        Names row and column of what cannot be a value of the model's table.
    """
    names, cells = rows
    if names is None and cells and set(cells[0]) == set(model.names):
        names, cells = cells[0], cells[1:]
    names = names or model.names
    if sorted(names) != sorted(model.names):
        raise ValueError(f"the columns must be {', '.join(model.names)}")
    for number, row in enumerate(cells, start=1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} cells, and there are {len(names)} columns")
    if not cells:
        return []
    place = {name: at for at, name in enumerate(names)}
    table = {column.name: _column(column, [row[place[column.name]] for row in cells]) for column in model.columns}
    return [float(value) for value in model.pipeline.predict_proba(pd.DataFrame(table))[:, 1]]


def output_fn(probabilities: list[float], accept: str) -> tuple[str, str]:
    """Write the answer.

    Raises
    ------
    UnsupportedFormatError
        If another type than CSV and JSON is asked for.
    """
    kind = accept.partition(";")[0].strip().lower()
    if kind == CSV:
        return "".join(f"{value!r}\n" for value in probabilities), CSV
    if kind == JSON:
        return json.dumps({"probabilities": probabilities}), JSON
    raise UnsupportedFormatError(f"{kind}: text/csv and application/json are served")


def _column(column: Encoded, cells: list[Any]) -> pd.Series:
    values = [_value(column, cell, number) for number, cell in enumerate(cells, start=1)]
    return pd.Series(values, dtype=object if column.categories else float)


def _value(column: Encoded, cell: Any, number: int) -> Any:
    where = f"row {number}, column {column.name}"
    if cell is None or cell == "":
        if not column.missing:
            raise ValueError(f"{where}: there is no value, and there must be one")
        return np.nan
    if column.categories:
        if cell not in column.categories:
            raise ValueError(f"{where}: not one of {', '.join(column.categories)}")
        return cell
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: not a number") from None
    if not np.isfinite(value) or (column.transform == "log1p" and value < 0):
        raise ValueError(f"{where}: not a number that this column can have")
    return value

"""Integer dtypes: which columns of a table are stored as whole numbers."""

from __future__ import annotations

import pandas as pd

from client_code.problem import Problem

EXACT = 2.0**53  # up to here a float64 holds every whole number


def whole(frame: pd.DataFrame, problem: Problem) -> list[str]:
    """Return the columns that the problem stores as integers, and whose values are whole numbers in this table."""
    return [column.name for column in problem.columns if column.dtype == "int64" and _is_whole(frame[column.name])]


def _is_whole(values: pd.Series) -> bool:
    return bool((values % 1 == 0).all() and values.abs().max() <= EXACT)

"""CSV reader and validation: the rules that a file must keep, by the columns of a problem.

A client's job checks its rows with it, and so does ``data_prep``. Messages name file, column, rule and the number of
rows that break it, never a cell: the message may travel to an account that must not see the cell.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

try:
    from . import filekind
    from .problem import Column, Problem
except ImportError:  # in a job the modules lie side by side and are no package
    import filekind
    from problem import Column, Problem


# From version 3 on pandas reads every number exactly; before, only when asked to.
_EXACT = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}

PIECE = 2_000  # rows that are read at a time

# What counts as a number in a file; an empty cell is missing, not text.
_NUMBER = re.compile(
    r"[ \t]*([+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf(inity)?|nan))?[ \t]*", re.IGNORECASE
)


class TableError(ValueError):
    """A table breaks the schema.

    Attributes
    ----------
    file, rule : str
        Which file, and which rule it breaks.
    column : str or None
        Which column, where the rule is about one.
    rows : int or None
        How many rows break the rule.
    """

    def __init__(self, file: str, rule: str, remedy: str, *, column: str | None = None, rows: int | None = None):
        self.file, self.column, self.rule, self.rows = file, column, rule, rows
        where = f"{file}, column {column}" if column else file
        count = "" if rows is None else f" in {rows:,} row{'s' if rows != 1 else ''}"
        super().__init__(f"{where}: {rule}{count}; {remedy}")


def read_table(path: str | Path, problem: Problem, *, minimum_rows: int = 1, both_classes: bool = True) -> pd.DataFrame:
    """Read a CSV file and check it against a problem's columns.

    Parameters
    ----------
    path : str or Path
        UTF-8, a header with the problem's names in order, numbers below. A first line that begins with ``#`` is a
        stamp.
    minimum_rows : int
        Fewer rows than this are refused.
    both_classes : bool
        Whether rows of one class only are refused.

    Returns
    -------
    DataFrame
        Shape ``(n_rows, 1 + n_features)``; label int64, features float64.

    Raises
    ------
    TableError
        For the first rule that the file breaks.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(path.name, "there is no such file", "put it into the channel or folder")
    try:
        frame = _read(path, problem)
    except csv.Error:
        rule, remedy = "a cell is too long to be one", "look for a quotation mark that is never closed"
        raise TableError(path.name, rule, remedy) from None
    check_table(frame, problem, file=path.name, minimum_rows=minimum_rows, both_classes=both_classes)
    frame[problem.label.name] = frame[problem.label.name].astype(np.int64)
    return frame


def _read(path: Path, problem: Problem) -> pd.DataFrame:
    """Read a file into float64 columns; raise what is wrong with its header, its cells or its rows' lengths."""
    header, skipped = _header(path)
    _check_names(header, problem, file=path.name)
    if len(next(_rows(path, skipped), header)) != len(header):
        raise _explain(path, header, skipped)  # pandas takes a comma too many in every row for an index
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = _read_numbers(path, problem, skipped)
    except (ValueError, pd.errors.ParserWarning):
        raise _explain(path, header, skipped) from None  # the parser's own text quotes the cell
    if frame[problem.names[-1]].isna().any() and _ragged(path, header, skipped):
        raise _explain(path, header, skipped)  # pandas fills a row that is too short
    return frame


def check_table(
    frame: pd.DataFrame, problem: Problem, *, file: str, minimum_rows: int = 1, both_classes: bool = True
) -> None:
    """Check a table that is in memory already; ``file`` is what messages call it.

    Raises
    ------
    TableError
        For the first rule that the table breaks.
    """
    _check_names([str(name) for name in frame.columns], problem, file=file)
    if not len(frame):
        raise TableError(file, "there is no row below the header", "at least one row is needed")
    if len(frame) < minimum_rows:
        rule = f"only {len(frame)} rows, {minimum_rows} are needed"
        raise TableError(file, rule, "add rows, or leave this client out")
    for column in problem.columns:
        _check_column(frame[column.name], column, problem.largest, file=file)
    label = problem.label.name
    if both_classes and frame[label].nunique() < 2:
        raise TableError(
            file, "all rows are of one class", "rows of both classes are needed", column=label, rows=len(frame)
        )


def _check_column(cells: pd.Series, column: Column, largest: float, *, file: str) -> None:
    """Raise the first rule that a column breaks."""
    if not pd.api.types.is_numeric_dtype(cells):
        bad = int(pd.to_numeric(cells, errors="coerce").isna().sum())
        raise TableError(file, "text stands in a number column", "write plain numbers", column=column.name, rows=bad)
    values = cells.to_numpy(dtype=np.float64)
    rules = [
        (np.isnan(values), "a cell is empty or not a number (NaN)", "fill it or drop the rows"),
        (np.isinf(values), "a value is infinite", "correct it or drop the rows"),
        (values > largest, f"a value is above {largest:g}", "no amount or count is that large: correct it"),
    ]
    if column.kind == "number":
        rules.append((values < -largest, f"a value is below {-largest:g}", "no number is that small: correct it"))
    else:
        rules.append((values < 0, "a value is negative", "amounts and counts start at 0: correct or drop the rows"))
    if column.kind == "flag":
        rules.append((~np.isin(values, (0, 1)), "a value is neither 0 nor 1", "code it as 0 or 1"))
    for broken, rule, remedy in rules:
        if count := int(broken.sum()):
            raise TableError(file, rule, remedy, column=column.name, rows=count)


def to_arrays(frame: pd.DataFrame, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return features ``(n_rows, n_features)`` float64 and labels ``(n_rows,)`` int64."""
    ordered = tuple(frame.columns) == problem.names  # then the features are there already, as one block: no copy
    features = frame.iloc[:, 1:] if ordered else frame[list(problem.feature_names)]
    return features.to_numpy(dtype=np.float64), frame[problem.label.name].to_numpy(dtype=np.int64)


def _check_names(names: Sequence[str], problem: Problem, *, file: str) -> None:
    """Compare a header with the schema; all differences are told at once.

    A name that the schema does not know could be a value, in a file without a header: it is not quoted.
    """
    if tuple(names) == problem.names:
        return
    label = problem.label.name
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise TableError(
            file, "no commas between the names of the columns", "write the table with commas between cells"
        )
    by_plain = {_plain(name): name for name in problem.names}
    meant = [by_plain.get(_plain(name)) for name in names]  # None: in no spelling a name of ours
    known = [name for name in meant if name is not None]
    missing = [name for name in problem.names if name not in known]
    if label in missing and len(missing) > len(problem.names) / 2:
        rule = f"the label column is missing, and {len(missing) - 1} of the {len(problem.features)} other columns"
        raise TableError(file, rule, "this is another table, or one without a header", column=label)
    strange = [str(number) for number, name in enumerate(meant, start=1) if name is None]
    spelling = [name for name, given in zip(meant, names, strict=True) if name is not None and name != given]
    twice = [name for name, count in Counter(known).items() if count > 1]
    expected = [name for name in problem.names if name in known]
    moved = [name for name, other in zip(dict.fromkeys(known), expected, strict=True) if name != other]
    differences = (
        (missing, _missing(missing, label), "add what is missing in its place"),
        (strange, f"column number {_listed(strange)} has a name that the schema does not know", "leave it out"),
        (twice, f"the column stands there twice: {_listed(twice)}", "keep one of the two"),
        (spelling, f"blanks or capitals in the names of columns: {_listed(spelling)}", "write them as the schema does"),
        (moved, f"columns stand in another order, from {moved[0] if moved else ''} on", "put them into the schema's"),
    )
    there = [(rule, remedy) for which, rule, remedy in differences if which]
    named = [*missing, *twice, *spelling]
    column = named[0] if len(set(named)) == 1 else None if named or not moved else moved[0]
    rules, remedies = zip(*there, strict=True)
    raise TableError(file, "; ".join(rules), ", ".join(remedies), column=column)


def _missing(names: Sequence[str], label: str) -> str:
    if len(names) == 1:
        return "the label column is missing" if names[0] == label else f"the column is missing: {names[0]}"
    return f"{len(names)} columns are missing: {_listed(names)}"


def _plain(name: str) -> str:
    """Return a name as it would be without capitals, blanks and quotation marks."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _header(path: Path) -> tuple[list[str], int]:
    """Return the names in the header and the number of stamp lines above it."""
    if kind := filekind.recognise(path):
        raise TableError(path.name, f"the file is {kind.is_}", kind.remedy)
    for number, line in enumerate(_lines(path)):
        if any("\udc80" <= character <= "\udcff" for character in line):
            raise TableError(path.name, "bytes that are not UTF-8 in the header", "save the file as UTF-8")
        if number == 0 and line.startswith("#"):
            continue
        return next(csv.reader([line]), []), number
    raise TableError(path.name, "the file holds a stamp and nothing else", "it must hold a header and rows")


def _lines(path: Path) -> Iterator[str]:
    """Yield lines as text; bytes that are not UTF-8 become surrogates, which no number contains."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from file


def _rows(path: Path, skipped: int) -> Iterator[list[str]]:
    """Yield the cells of every row below the header; blank lines do not count, for pandas neither."""
    lines = _lines(path)
    for _ in range(skipped + 1):
        next(lines)
    return (cells for cells in csv.reader(lines) if cells)


def _read_numbers(path: Path, problem: Problem, skipped: int) -> pd.DataFrame:
    """Read a file piece by piece into the one array that is needed in the end.

    A file may be large, and ``pd.read_csv`` by itself takes more than twice the memory.
    """
    pieces = pd.read_csv(
        path, skiprows=skipped, dtype=np.float64, index_col=False, encoding="utf-8-sig", chunksize=PIECE, **_EXACT
    )
    with path.open("rb") as file, pieces:
        blocks = iter(lambda: file.read(1 << 20), b"")
        most = 1 + sum(block.count(end) for block in blocks for end in (b"\n", b"\r"))
        columns, n_rows = np.empty((len(problem.names), most)), 0  # what is never written to takes no memory
        for piece in pieces:
            columns[:, n_rows : n_rows + len(piece)] = piece.to_numpy().T
            n_rows += len(piece)
    frame = pd.DataFrame(columns[1:, :n_rows].T, columns=list(problem.feature_names), copy=False)
    frame.insert(0, problem.label.name, columns[0, :n_rows].copy())
    return frame


def _ragged(path: Path, header: Sequence[str], skipped: int) -> int:
    return sum(len(cells) != len(header) for cells in _rows(path, skipped))


def _explain(path: Path, header: Sequence[str], skipped: int) -> TableError:
    """Go through a file that pandas refused, cell by cell, and say which rule it breaks in how many rows."""
    foreign = ragged = 0
    text: Counter[str] = Counter()
    for cells in _rows(path, skipped):
        foreign += any("\udc80" <= character <= "\udcff" for cell in cells for character in cell)
        ragged += len(cells) != len(header)
        text.update(name for name, cell in zip(header, cells, strict=False) if not _NUMBER.fullmatch(cell))
    if foreign:
        return TableError(path.name, "bytes that are not UTF-8", "save the file as UTF-8", rows=foreign)
    if ragged:
        rule = f"not as many cells as the header has columns ({len(header)})"
        return TableError(path.name, rule, "write one cell per column", rows=ragged)
    if text:
        column = next(name for name in header if text[name])
        remedy = "write plain numbers, without separators for thousands"
        return TableError(path.name, "text stands in a number column", remedy, column=column, rows=text[column])
    return TableError(path.name, "it cannot be read as a table of numbers", "compare it with the schema")

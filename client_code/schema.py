"""CSV reader and validation: the rules that a file must keep, by the columns of a problem.

A client's job checks its rows with it, and so does ``data_prep``. Messages name file, column, rule and the number of
rows that break it, never a cell: the message may travel to an account that must not see the cell.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

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

PIECE = 4_000_000  # cells that are read at a time, at most

_PLAIN = "write plain numbers, without separators for thousands, and leave a cell empty where nothing is known"

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
    first : tuple of int
        Up to three of them, counted from 1 below the header, where that is known; not in the message.
    """

    first: tuple[int, ...] = ()

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
        Shape ``(n_rows, 1 + n_features)``; label int64, features float64, of a category its words. What is missing is
        NaN. Identifiers are left out.

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


def _foreign(path: Path, skipped: int) -> bool:
    """Tell whether there are bytes that are not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for cells in _rows(path, skipped) for character in "".join(cells))


def read_identifier(path: Path, problem: Problem, name: str) -> pd.Series:
    """Read one identifier column of a file that :func:`read_table` has read, as text.

    Raises
    ------
    TableError
        If the file has no such column, or a cell of it is empty.
    """
    header, skipped = _header(path)
    if name not in header:
        raise TableError(path.name, f"the column is missing: {name}", "it says whose each row is: add it", column=name)
    cells = pd.read_csv(
        path, skiprows=skipped, usecols=[name], dtype=object, index_col=False, encoding="utf-8-sig", na_values=[""],
        keep_default_na=False,
    )[name]  # fmt: skip
    if empty := int(cells.isna().sum()):
        raise TableError(path.name, "a cell is empty", "say whose row it is, or drop it", column=name, rows=empty)
    return cells


def _read(path: Path, problem: Problem) -> pd.DataFrame:
    """Read a file into float64 columns; raise what is wrong with its header, its cells or its rows' lengths."""
    header, skipped = _header(path)
    _check_names([name for name in header if name not in problem.left_out], problem, file=path.name)
    if len(next(_rows(path, skipped), header)) != len(header):
        raise _explain(path, header, skipped, problem)  # pandas takes a comma too many in every row for an index
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = _read_cells(path, problem, header, skipped)
    except TableError:
        raise
    except (ValueError, pd.errors.ParserWarning):
        raise _explain(path, header, skipped, problem) from None  # the parser's own text quotes the cell
    last = header[-1] if header[-1] in frame else problem.names[-1]
    if frame[last].isna().any() and _ragged(path, header, skipped):
        raise _explain(path, header, skipped, problem)  # pandas fills a row that is too short
    return frame


def together(found: Sequence[TableError]) -> TableError:
    """Return the first of several findings, whose message tells all of them, one a line."""
    found[0].args = ("\n".join(map(str, found)),)
    return found[0]


def check_table(
    frame: pd.DataFrame, problem: Problem, *, file: str, minimum_rows: int = 1, both_classes: bool = True
) -> None:
    """Check a table that is in memory already; ``file`` is what messages call it.

    Raises
    ------
    TableError
        For the first rule that the table breaks.
    """
    for finding in findings(frame, problem, file=file, minimum_rows=minimum_rows, both_classes=both_classes):
        raise finding


def findings(
    frame: pd.DataFrame, problem: Problem, *, file: str, minimum_rows: int = 1, both_classes: bool = True
) -> Iterator[TableError]:
    """Yield every rule that a table in memory breaks; raise what is wrong with its columns' names."""
    _check_names([str(name) for name in frame.columns if name not in problem.left_out], problem, file=file)
    return _findings([frame], problem, file=file, minimum_rows=minimum_rows, both_classes=both_classes)


def findings_in(path: Path, problem: Problem) -> Iterator[TableError]:
    """Yield every rule that a file breaks, read piece by piece: a large one needs no more memory than a small one.

    Of a file that is wrong as a whole (what it is, its header, the lengths of its rows) that is all there is to say.
    """
    try:
        header, skipped = header_of(path)
        names = [name for name in header if name not in problem.left_out]
        if sorted(names) == sorted(problem.names):  # what cells say can be told whatever the order of the columns
            yield from _told(_check_names, names, problem, file=path.name)
        else:
            _check_names(names, problem, file=path.name)
        if _ragged(path, header, skipped) or _foreign(path, skipped):
            raise _explain(path, header, skipped, problem)
    except TableError as error:
        yield error
        return
    pieces = pd.read_csv(
        path, skiprows=skipped, dtype=object, index_col=False, encoding="utf-8-sig", usecols=list(problem.names),
        na_values=["", *problem.missing_words], keep_default_na=False, chunksize=_piece(problem, PIECE // 64),
    )  # fmt: skip
    with pieces:
        yield from _findings(pieces, problem, file=path.name)


def _told(check: Callable[..., None], *arguments: Any, **more: Any) -> Iterator[TableError]:
    """Yield what a check raises."""
    try:
        check(*arguments, **more)
    except TableError as error:
        yield error


def _findings(
    pieces: Iterable[pd.DataFrame], problem: Problem, *, file: str, minimum_rows: int = 1, both_classes: bool = True
) -> Iterator[TableError]:
    """Yield the rules that a table breaks which comes in pieces, each with how many rows break it in all."""
    broken: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], list[int]] = {}
    n_rows, label = 0, problem.label
    classes: set = set()
    for piece in pieces:
        seen = piece[label.name]
        classes.update((seen if label.categories else pd.to_numeric(seen, errors="coerce")).dropna().unique())
        for column in problem.columns:
            for where, rule, remedy in _wrong(piece[column.name], column, problem):
                what = (column.name, rule, remedy)
                broken[what] += int(where.sum())
                first.setdefault(what, []).extend((n_rows + 1 + np.flatnonzero(where)[:3]).tolist())
        n_rows += len(piece)
    if not n_rows:
        yield TableError(file, "there is no row below the header", "at least one row is needed")
        return
    if n_rows < minimum_rows:
        rule = f"only {n_rows} rows, {minimum_rows} are needed"
        yield TableError(file, rule, "add rows, or leave this client out")
    for (name, rule, remedy), count in broken.items():
        if count:
            finding = TableError(file, rule, remedy, column=name, rows=count)
            finding.first = tuple(first[name, rule, remedy][:3])
            yield finding
    if both_classes and len(classes) < 2:
        rule, remedy = "all rows are of one class", "rows of both classes are needed"
        yield TableError(file, rule, remedy, column=label.name, rows=n_rows)


Broken = tuple[np.ndarray, str, str]  # which rows break a rule, the rule, what to do


def _wrong(cells: pd.Series, column: Column, problem: Problem) -> Iterator[Broken]:
    """Yield the rules of a column, each with the rows that break it; a label that was read is numbers."""
    spoken = column.kind == "category" or (column.categories and not pd.api.types.is_numeric_dtype(cells))
    return _wrong_words(cells, column) if spoken else _wrong_numbers(cells, column, problem)


def _wrong_words(cells: pd.Series, column: Column) -> Iterator[Broken]:
    """Yield the rules of words."""
    if not column.missing:
        yield cells.isna().to_numpy(), "a cell is empty", "fill it or drop the rows"
    by_plain = {word.strip().casefold() for word in column.categories}
    unknown = [word for word in cells.unique() if not pd.isna(word) and str(word) not in column.categories]
    close = [word for word in unknown if str(word).strip().casefold() in by_plain]
    known = f"write one of: {_listed(column.categories)}"
    none_of = f"a word is none of the {len(column.categories)} categories"
    yield _among(cells, close), f"{none_of} but for capitals or blanks", known
    remedy = f"{known}; or add the word to the problem, for every client" if column.kind == "category" else known
    yield _among(cells, [word for word in unknown if word not in close]), none_of, remedy


def _among(cells: pd.Series, words: Sequence[object]) -> np.ndarray:
    return cells.isin(words).to_numpy() if words else np.zeros(len(cells), dtype=bool)


def _wrong_numbers(cells: pd.Series, column: Column, problem: Problem) -> Iterator[Broken]:
    """Yield the rules of numbers."""
    text = np.zeros(len(cells), dtype=bool)
    if not pd.api.types.is_numeric_dtype(cells):
        numbers = pd.to_numeric(cells, errors="coerce")
        strange = (numbers.isna() & cells.notna()).to_numpy()
        text[strange] = [not is_number(str(cell)) for cell in cells[strange]]
        cells = numbers
    yield text, "text stands in a number column", _PLAIN
    values = cells.to_numpy(dtype=np.float64)
    low, high = problem.limits_of(column)
    if not column.missing:
        yield np.isnan(values) & ~text, "a cell is empty or not a number (NaN)", "fill it or drop the rows"
    yield np.isinf(values), "a value is infinite", "correct it or drop the rows"
    largest = problem.largest if column.high is None else high
    remedy = "no amount or count is that large: correct it" if column.high is None else "correct it or drop the rows"
    yield values > largest, f"a value is above {largest:g}", remedy
    if column.low is not None:
        yield values < low, f"a value is below {low:g}", "correct it or drop the rows"
    elif column.kind == "number":
        yield values < low, f"a value is below {low:g}", "no number is that small: correct it"
    else:
        remedy = "amounts and counts start at 0: correct or drop the rows"
        yield values < 0, "a value is negative", remedy
    if column.kind == "flag":
        yield ~np.isin(values, (0, 1)) & ~np.isnan(values), "a value is neither 0 nor 1", "code it as 0 or 1"


def to_arrays(frame: pd.DataFrame, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return features ``(n_rows, n_features)`` float64, of a category its codes, and labels ``(n_rows,)`` int64."""
    return to_features(frame, problem), frame[problem.label.name].to_numpy(dtype=np.int64)


def to_features(frame: pd.DataFrame, problem: Problem) -> np.ndarray:
    """Return features ``(n_rows, n_features)`` float64: of a category its codes from 0 on; what is missing is NaN."""
    ordered = tuple(frame.columns) == problem.names  # then the features are there already, as one block: no copy
    features = frame.iloc[:, 1:] if ordered else frame[list(problem.feature_names)]
    if not any(column.categories for column in problem.features):
        return features.to_numpy(dtype=np.float64)
    values = np.empty(features.shape, order="F")  # columns are written one by one
    for number, column in enumerate(problem.features):
        cells = features[column.name]
        if column.categories:
            values[:, number] = _coded(cells, column)
        else:
            values[:, number] = cells
    return values


def _coded(cells: pd.Series, column: Column) -> np.ndarray:
    """Return the codes of words, from 0 on; NaN for what is missing or none of them."""
    codes = pd.Index(column.categories, dtype=object).get_indexer(pd.Index(cells, dtype=object))
    return np.where(codes < 0, np.nan, codes)


def of_features(features: np.ndarray, problem: Problem) -> pd.DataFrame:
    """Return the features as columns of a table again, of a category the words: what :func:`to_features` takes."""
    frame = pd.DataFrame(features, columns=list(problem.feature_names))
    for column in problem.features:
        if column.categories:
            frame[column.name] = _words(frame[column.name].to_numpy(), column)
    return frame


def _words(codes: np.ndarray, column: Column) -> pd.Categorical:
    whole = np.where(np.isnan(codes), -1, codes).astype(int)
    return pd.Categorical.from_codes(whole, categories=list(column.categories))


def _check_names(names: Sequence[str], problem: Problem, *, file: str) -> None:
    """Compare a header with the schema; all differences are told at once.

    A name that the schema does not know could be a value, in a file without a header: it is not quoted.
    """
    label = problem.label.name
    if tuple(name for name in names if name != label) == problem.feature_names and list(names).count(label) == 1:
        return
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
    there = [name for name in dict.fromkeys(known) if name != label]
    expected = [name for name in problem.feature_names if name in known]
    moved = [name for name, other in zip(there, expected, strict=True) if name != other]
    differences = (
        (missing, _missing(missing, label), "add what is missing in its place"),
        (strange, f"column number {_listed(strange)} has a name that the schema does not know", "leave it out"),
        (twice, f"the column stands there twice: {_listed(twice)}", "keep one of the two"),
        (spelling, f"blanks or capitals in the names of columns: {_listed(spelling)}", "write them as the schema does"),
        (moved, f"columns stand in another order, from {moved[0] if moved else ''} on", "put them into the problem's"),
    )
    told = [(rule, remedy) for which, rule, remedy in differences if which]
    named = [*missing, *twice, *spelling]
    column = named[0] if len(set(named)) == 1 else None if named or not moved else moved[0]
    rules, remedies = zip(*told, strict=True)
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


def header_of(path: Path) -> tuple[list[str], int]:
    """Return the names in a file's header and the number of stamp lines above it.

    Raises
    ------
    TableError
        If it is another kind of file.
    """
    if not path.is_file():
        raise TableError(path.name, "there is no such file", "give the path of a CSV file")
    return _header(path)


def is_number(text: str) -> bool:
    """Tell whether a cell is read as a number."""
    return bool(_NUMBER.fullmatch(text))


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


def _read_cells(path: Path, problem: Problem, header: Sequence[str], skipped: int) -> pd.DataFrame:
    """Read a file piece by piece into the one array that is needed in the end.

    A file may be large, and ``pd.read_csv`` by itself takes more than twice the memory.
    """
    words = {column.name: column for column in problem.columns if column.categories}
    cells: dict = {"dtype": np.float64}
    if words or problem.missing_words or len(header) > len(problem.names):
        cells = {
            "dtype": {name: object if name in words else np.float64 for name in problem.names},
            "na_values": ["", *problem.missing_words],
            "keep_default_na": False,
            "usecols": list(problem.names),
        }
    with path.open("rb") as file:
        blocks = iter(lambda: file.read(1 << 20), b"")
        most = 1 + sum(block.count(end) for block in blocks for end in (b"\n", b"\r"))
    columns, n_rows = np.empty((len(problem.names), most)), 0  # what is never written to takes no memory
    unknown: dict[str, list[pd.Series]] = {name: [] for name in words}
    pieces = pd.read_csv(
        path,
        skiprows=skipped,
        index_col=False,
        encoding="utf-8-sig",
        chunksize=_piece(problem, most),
        **cells,
        **_EXACT,
    )
    with pieces:
        for piece in pieces:
            for name, column in words.items():
                coded = _coded(piece[name], column)
                unknown[name].append(piece[name][np.isnan(coded) & piece[name].notna()])
                piece[name] = coded
            ordered = piece[list(problem.names)] if tuple(piece.columns) != problem.names else piece
            columns[:, n_rows : n_rows + len(piece)] = ordered.to_numpy(dtype=np.float64).T
            n_rows += len(piece)
    for name, found in unknown.items():
        if len(strange := pd.concat(found)):
            raise next(
                TableError(path.name, rule, remedy, column=name, rows=int(where.sum()))
                for where, rule, remedy in _wrong_words(strange, words[name])
                if where.any()
            )
    frame = pd.DataFrame(columns[1:, :n_rows].T, columns=list(problem.feature_names), copy=False)
    for column in problem.features:
        if column.categories:
            frame[column.name] = _words(frame[column.name].to_numpy(), column)
    frame.insert(0, problem.label.name, columns[0, :n_rows].copy())
    return frame


def _piece(problem: Problem, rows: int) -> int:
    """Return how many rows to read at a time: a small part of the file, and of a wide table fewer."""
    return max(1_000, min(rows // 64, PIECE // len(problem.names)))


def _ragged(path: Path, header: Sequence[str], skipped: int) -> int:
    return sum(len(cells) != len(header) for cells in _rows(path, skipped))


def _explain(path: Path, header: Sequence[str], skipped: int, problem: Problem) -> TableError:
    """Go through a file that pandas refused, cell by cell, and say which rule it breaks in how many rows."""
    free = {column.name for column in problem.columns if column.categories} | set(problem.left_out)
    foreign = ragged = 0
    text: Counter[str] = Counter()
    for cells in _rows(path, skipped):
        foreign += any("\udc80" <= character <= "\udcff" for cell in cells for character in cell)
        ragged += len(cells) != len(header)
        text.update(
            name
            for name, cell in zip(header, cells, strict=False)
            if name not in free and cell not in problem.missing_words and not _NUMBER.fullmatch(cell)
        )
    if foreign:
        return TableError(path.name, "bytes that are not UTF-8", "save the file as UTF-8", rows=foreign)
    if ragged:
        rule = f"not as many cells as the header has columns ({len(header)})"
        return TableError(path.name, rule, "write one cell per column", rows=ragged)
    if text:
        column = next(name for name in header if text[name])
        return TableError(path.name, "text stands in a number column", _PLAIN, column=column, rows=text[column])
    return TableError(path.name, "it cannot be read as a table of numbers", "compare it with the schema")

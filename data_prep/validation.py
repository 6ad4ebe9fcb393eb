"""Data validation: all that is wrong with a table, told at once to its owner, and what is worth a look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from client_code import schema
from client_code.problem import Problem
from data_prep import split


def findings(table: Path, problem: Problem) -> Iterator[str]:
    """Yield all that is wrong with a table, each with file, column, rule, count and remedy, and no cell."""
    found = list(schema.findings_in(table, problem))
    yield from (f"{finding}{_places(finding)}" for finding in found)
    if any(finding.column is None for finding in found):
        return  # of the file as a whole: nothing can be said of its rows
    header, skipped = schema.header_of(table)
    names = [name for name in header if name in problem.identifiers]
    whose = pd.read_csv(table, skiprows=skipped, usecols=names, dtype=object, index_col=False, encoding="utf-8-sig")
    for name in names:
        if name != problem.owner:
            yield from _repeated(whose, name, problem, table.name)
    if not found:
        distinct = len(split.deduplicate(schema.read_table(table, problem), problem))
        if distinct < (least := problem.floors.shared):
            rule = f"{distinct} different rows; sums over fewer than {least} are not shared"
            yield f"{table.name}: {rule}: add rows"


def _places(finding: schema.TableError) -> str:
    """Say where a rule is broken: to the owner of the table, who may look, and to nobody else."""
    if not finding.first:
        return ""
    rows = ", ".join(map(str, finding.first))
    return f" (row{'s' if len(finding.first) > 1 else ''} {rows}{', ...' * ((finding.rows or 0) > 3)} below the header)"


def remarks(frame: pd.DataFrame, problem: Problem, *, file: str) -> Iterator[str]:
    """Yield what breaks no rule and is worth a look: columns of two units, or with a number that means something else.

    In such a column positive values lie in two groups, and the empty stretch between them is wider, in powers of ten,
    than either group.
    """
    for column in problem.features:
        values = frame[column.name].dropna()
        if column.kind in ("flag", "category") or values.nunique() < 10:
            continue
        powers = np.sort(np.log10(values[values > 0].to_numpy(dtype=float)))
        few = 3  # a single slip is no second unit
        if len(powers) < 2 * few:
            continue
        steps = np.diff(powers[few - 1 : len(powers) - few + 1])
        place = few - 1 + int(steps.argmax())
        widest = powers[place + 1] - powers[place]
        if widest > max(0.5, powers[place] - powers[0], powers[-1] - powers[place + 1]):
            rows = min(place + 1, len(powers) - place - 1)
            yield (
                f"{file}, column {column.name}: values lie in two groups far apart, {rows:,} rows in the smaller; if "
                "that is another unit, write all in one; if it stands for nothing, leave the cells empty"
            )


def _repeated(whose: pd.DataFrame, name: str, problem: Problem, file: str) -> Iterator[str]:
    """Say whether a subject stands in several rows: on both sides of a split it would be known before the test."""
    cells = whose[name].dropna()
    again = int(cells.duplicated(keep=False).sum())
    if 0 < again < len(cells) / 2:
        ids = cells[cells.duplicated(keep=False)].nunique()
        rows = ", ".join(str(row + 1) for row in cells.index[cells.duplicated(keep=False)][:4])
        yield (
            f"{file}, column {name}: {ids:,} of its values stand in more than one row, in {again:,} rows in all; keep "
            f"one row of each, or the same {problem.words.subject} may be trained on and tested with (rows {rows}"
            f"{', ...' * (again > 4)} below the header)"
        )
    if problem.owner and problem.owner in whose:
        shared = int((whose.groupby(name)[problem.owner].nunique() > 1).sum())
        if shared:
            yield (
                f"{file}, column {name}: {shared:,} {problem.words.subjects} stand in the rows of two owners "
                f"({problem.owner}); keep each with one of them"
            )

"""Commands on a table of one's own: draft a problem file, check the table against it, derive statistics of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from client_code import problem as problems
from client_code import schema
from client_code.problem import Problem
from data_prep import draft as drafting
from data_prep import marginals, sources, split
from data_prep.errors import DataError
from workshop.errors import WorkshopError


def draft(
    table: Path,
    output: Path | None,
    *,
    label: str,
    identifiers: Sequence[str],
    categories: Sequence[str],
    owner: str,
    positive: str = "",
) -> int:
    """Write a problem file from a table, to be read line by line; without ``output`` print it."""
    try:
        text = drafting.draft(
            table, label=label, positive=positive, identifiers=identifiers, categories=categories, owner=owner
        )
    except schema.TableError as error:
        raise DataError(str(error)) from error
    if output is None:
        print(text, end="")
        return 0
    _free(output).write_text(text, encoding="utf-8")
    print(f"{output}: read every line; then `python -m workshop table check {output} {table}`")
    return 0


def check(problem: Path, table: Path) -> int:
    """Print everything that is wrong with a table, at once; return 1 if something is."""
    described = _problem(problem)
    found = list(findings(table, described))
    for finding in found:
        print(f"WRONG {finding}")
    if found:
        return 1
    frame = schema.read_table(table, described)
    for remark in remarks(frame, described, file=table.name):
        print(f"look  {remark}")
    label = frame[described.label.name]
    print(f"ok    {len(frame):,} rows, {len(described.features)} columns, {len(described.input_names)} inputs")
    print(f"ok    {described.words.positive}: {int(label.sum()):,} ({label.mean():.1%})")
    return 0


def statistics(problem: Path, table: Path, output: Path) -> int:
    """Write the statistics of a table from which synthetic rows can be drawn: read them before you send them."""
    described = _problem(problem)
    try:
        loaded = sources.load(str(table), described, seed=0, cache=table.parent)
    except schema.TableError as error:
        raise DataError(str(error)) from error
    derived = marginals.derive(split.deduplicate(loaded.frame, described), described)
    _free(output).write_text(json.dumps(derived, separators=(",", ":")) + "\n")
    print(f"{output}: read it before you send it; beside {problem.name} it is what DATA=synthetic draws from")
    return 0


def findings(table: Path, problem: Problem) -> Iterator[str]:
    """Yield all that is wrong with a table, each with file, column, rule, count and remedy, and no cell."""
    found = list(schema.findings_in(table, problem))
    yield from map(str, found)
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
        few = max(3, len(values) // 200)  # a single slip is no second unit
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
        subject = problem.words.subject
        yield (
            f"{file}, column {name}: it names a {subject} in most rows, and the same one in {again:,} rows; keep one "
            f"row of each, or the same {subject} may be trained on and tested with"
        )
    if problem.owner and problem.owner in whose:
        shared = int((whose.groupby(name)[problem.owner].nunique() > 1).sum())
        if shared:
            yield (
                f"{file}, column {name}: {shared:,} {problem.words.subjects} stand in the rows of two owners "
                f"({problem.owner}); keep each with one of them"
            )


def _free(output: Path) -> Path:
    if output.exists():
        raise WorkshopError(f"{output} is there already: give another --output, or move it away")
    return output


def _problem(path: Path) -> Problem:
    try:
        return problems.load(path)
    except problems.ProblemError as error:
        raise WorkshopError(str(error)) from error

"""Commands on a table of one's own: draft a problem file, check the table against it, derive statistics of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from client_code import problem as problems
from client_code import schema
from client_code.problem import Problem
from data_prep import draft as drafting
from data_prep import marginals, sources, split, validation
from data_prep.errors import DataError
from workshop.errors import WorkshopError
from workshop.problems import STATISTICS


def draft(
    table: Path,
    output: Path | None,
    *,
    label: str,
    identifiers: Sequence[str],
    categories: Sequence[str],
    owner: str,
    positive: str = "",
    force: bool = False,
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
    (output if force else _free(output)).write_text(text, encoding="utf-8")
    print(f"{output}: read every line; then `fl table check {output} {table}`")
    return 0


def check(problem: Path, table: Path) -> int:
    """Print everything that is wrong with a table, at once; return 1 if something is."""
    described = _problem(problem)
    found = list(validation.findings(table, described))
    for finding in found:
        print(f"WRONG {finding}")
    if found:
        return 1
    if described.words.subject == "row":
        print(f"look  {problem.name}, [words]: as they were drafted; lessons and figures read better with your own")
    frame = schema.read_table(table, described)
    for remark in validation.remarks(frame, described, file=table.name):
        print(f"look  {remark}")
    label = frame[described.label.name]
    print(f"ok    {len(frame):,} rows, {len(described.features)} columns, {len(described.input_names)} inputs")
    print(f"ok    {described.words.positive}: {int(label.sum()):,} ({label.mean():.1%})")
    return 0


def statistics(problem: Path, table: Path, output: Path | None = None) -> int:
    """Write the statistics of a table from which synthetic rows can be drawn: read them before you send them."""
    described, expected = _problem(problem), problem.with_suffix(STATISTICS)
    output = output or expected
    try:
        loaded = sources.load(str(table), described, seed=0, cache=table.parent)
    except schema.TableError as error:
        raise DataError(str(error)) from error
    derived = marginals.derive(split.deduplicate(loaded.frame, described), described)
    _free(output).write_text(json.dumps(derived, separators=(",", ":")) + "\n")
    print(f"{output}: read it before you send it; DATA=synthetic draws from {expected.name} beside {problem.name}")
    return 0


def _free(output: Path) -> Path:
    if output.exists():
        raise WorkshopError(f"{output} is there already: give another --output, or move it away")
    return output


def _problem(path: Path) -> Problem:
    try:
        return problems.load(path)
    except problems.ProblemError as error:
        raise WorkshopError(str(error)) from error

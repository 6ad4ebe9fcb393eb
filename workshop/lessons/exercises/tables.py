"""Exercises on the provider table: the answer is a file, a choice or a line of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workshop.lessons.exercises.verdicts import OPEN, Verdict, exercise, verdict

if TYPE_CHECKING:
    from data_prep.cms.recipe import Choices


@exercise
def broken_file(answer: tuple[str, str], folder: Path, out: Path) -> Verdict:
    """Replace a text in the newest Part D file, judge whether the build stops for another reason than its header."""
    from workshop.lessons import provider_tables

    path, changed = provider_tables.with_a_change(folder, out, "part_d", *answer)
    if not changed:
        return verdict(False, f"{answer[0]!r} does not stand in {path.name}: look at its second line above")
    said = provider_tables.complaint(out, out / "none", otherwise="")
    if not said:
        return verdict(False, "the table was built all the same: what you wrote is a value like any other")
    return verdict("header" not in said, said)


@exercise
def fewer_positives(answer: Choices, folder: Path, out: Path, *, rows: int, positive: int) -> Verdict:
    """Build the table by other choices, judge whether it has nearly all rows and less than half of the positives."""
    from data_prep.cms import build

    about = build.build(folder, folder / "UPDATED.csv", out, answer).about
    made = f"{about['rows']:,} rows, {about['positive']} of them positive"
    if about["rows"] < 0.9 * rows:
        return verdict(False, f"{made}: now most of the rows are gone as well")
    return verdict(about["positive"] < positive / 2, f"{made}; as published {rows:,} and {positive}")


@exercise
def manifests_differ(answer: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Verdict:
    """Judge which entry differs in the manifests of two tables that are equal."""
    if not second:
        return Verdict(OPEN, "Spark did not run here, so there is no second manifest")
    differ = sorted(key for key in first.keys() & second.keys() if first[key] != second[key])
    if answer not in first:
        return verdict(False, f"a manifest has no entry {answer!r}; it has {', '.join(first)}")
    return verdict(answer in differ, f"entries that differ: {', '.join(differ)}")

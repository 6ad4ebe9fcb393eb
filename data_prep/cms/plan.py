"""Build plan: which files make the table, by which SQL, and what its manifest says; the same for every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.cms import files, layouts, recipe
from data_prep.cms.files import FilesError, Source
from data_prep.cms.layouts import BILLED
from data_prep.cms.recipe import Choices

TABLE, MANIFEST = "table.csv", "manifest.json"
# The columns of the fraud problem, in its order.
FIFTY = (
    *recipe.COUNTED,
    *(f"{name}_{what}" for name in recipe.QUANTITIES["dmepos"] for what in ("standard_deviation", "mean", "sum")),
    *(
        f"{name}_{what}"
        for kind in ("part_b", "part_d")
        for name in recipe.QUANTITIES[kind]
        for what in ("mean", "sum", "standard_deviation")
    ),
)
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a build reads.

    Attributes
    ----------
    sources : tuple of Source
        Claims, by kind and year.
    exclusions : Source
        The OIG's list.
    years : tuple of int
        Of the claims.
    choices : Choices
        How the table is made of them.
    generated : bool
        Whether the files say that they are nobody's.
    """

    sources: tuple[Source, ...]
    exclusions: Source
    years: tuple[int, ...]
    choices: Choices
    generated: bool = False

    @property
    def sql(self) -> str:
        """The second step's."""
        dual = any(source.kind == "part_b_provider" for source in self.sources)
        return recipe.table(self.choices, self.years, dual=dual)

    def first(self, source: Source) -> str:
        """Return the first step's SQL for one of the files."""
        if source.kind == "leie":
            return recipe.exclusions()
        return recipe.per_provider(source.kind, self.choices, copyright_npi=source.layout.copyright)

    def about(self, number: Callable[[str], int], *, engine: str, inputs: Sequence[str], table: str) -> dict[str, Any]:
        """Return the manifest: what was read, and counts, which ``number`` asks the views of the engine for."""
        read = [
            {
                "file": source.name, "kind": source.kind, "layout": source.layout.name, "year": source.year,
                "bytes": source.size, "sha256": sha256,
            }
            for source, sha256 in zip((*self.sources, self.exclusions), inputs, strict=True)
        ]  # fmt: skip
        counts = {name: number(sql) for name, sql in recipe.counts(self.choices).items()}
        made = {
            "sha256": table,
            "generated": self.generated,
            "years": list(self.years),
            "engine": engine,
            "choices": self.choices.told(),
        }
        return counts | made | {"inputs": read}


def plan(folder: Path, leie: Path, choices: Choices | None = None) -> Plan:
    """Look at what is there, and say what will be read.

    Raises
    ------
    FilesError
        If a file is missing, or of a year twice.
    layouts.LayoutError
        If a file's header or name is unknown.
    """
    choices = choices or Choices()
    sources, years = _wanted(files.find(folder), choices)
    exclusions = files.one(leie)
    if exclusions.kind != "leie":
        raise FilesError(f"{leie.name} is {layouts.kinds()[exclusions.kind].title}, and no list of exclusions")
    return Plan(tuple(sources), exclusions, tuple(years), choices, (folder / files.STAMP).is_file())


@dataclass(frozen=True)
class Built:
    """A table that was built.

    Attributes
    ----------
    folder : Path
        With ``table.csv`` (the fifty columns, ten digits), ``manifest.json``, and the wider set with NPI, which DuckDB
        writes as ``table.parquet`` and Spark as ``wide.csv``.
    about : mapping
        The manifest.
    """

    folder: Path
    about: Mapping[str, Any]


def _wanted(found: Sequence[Source], choices: Choices) -> tuple[list[Source], list[int]]:
    """Return the files of the years that are to be in the table, and these years.

    Raises
    ------
    FilesError
        If a file of one of them is not there; names all.
    """
    by_year = {kind: {source.year: source for source in found if source.kind == kind} for kind in layouts.YEARLY}
    years = sorted(choices.years or set().union(*(by_year[kind] for kind in BILLED)))
    missing = [
        f"{layouts.kinds()[kind].title} of {year} ({layouts.kinds()[kind].file})"
        for kind in BILLED
        for year in years
        if year not in by_year[kind]
    ]
    if missing or not years:
        raise FilesError(
            "missing: " + "; ".join(missing or ["files of any year"]) + ". Download them, or choose other years "
            f"(there are {', '.join(str(year) for year in sorted(set().union(*map(set, by_year.values()))))})"
        )
    return [by_year[kind][year] for kind in layouts.YEARLY for year in years if year in by_year[kind]], years


def write_manifest(out: Path, about: Mapping[str, Any]) -> None:
    """Put the manifest in its place."""
    (part := out / f"{MANIFEST}.part").write_text(json.dumps(about, indent=1) + "\n")
    part.replace(out / MANIFEST)

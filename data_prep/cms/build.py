"""Table build: published files in a folder to the provider table, its manifest, and what the labels lost.

A file that is done stays done: its lines per provider are kept under the name of what they were made from, so that a
build which is killed goes on with them. Nothing else is left of a build that did not end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.cms import files, layouts, recipe
from data_prep.cms.duck import DuckDB
from data_prep.cms.files import FilesError, Source
from data_prep.cms.layouts import BILLED
from data_prep.cms.recipe import Choices

TABLE, WIDE, MANIFEST = "table.csv", "table.parquet", "manifest.json"
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
        With ``table.csv`` (the fifty columns, ten digits), ``table.parquet`` (with NPI and the wider set) and
        ``manifest.json``.
    about : mapping
        The manifest.
    """

    folder: Path
    about: Mapping[str, Any]


def build(
    folder: Path, leie: Path, out: Path, choices: Choices | None = None, *,
    engine: DuckDB | None = None, tell: Tell = lambda what, done, of: None,
) -> Built:  # fmt: skip
    """Build the provider table from CMS's files in a folder and the OIG's list, on this machine.

    Parameters
    ----------
    folder : Path
        Files as published, unpacked or not; all years that are there, or those of ``choices``.
    leie : Path
        The list of exclusions.
    out : Path
        Where the table goes; what is there of an earlier build with the same files and choices is used again.
    tell : callable
        Called with what is read, bytes done and bytes in all.

    Raises
    ------
    FilesError
        If a file is missing, damaged, or of a year twice; if the disk is full.
    layouts.LayoutError
        If a file's header or name is unknown.
    """
    planned = plan(folder, leie, choices)
    done = out / "files"
    try:
        done.mkdir(parents=True, exist_ok=True)
        for left in (*out.rglob("*.part"), *out.glob("*.pipe")):
            left.unlink()
        engine = engine or DuckDB(out)
        parts, inputs = _first_step(engine, planned, done, tell)
        engine.table(parts, planned.sql, wide := out / f"{WIDE}.part")
        engine.csv(FIFTY, fifty := out / f"{TABLE}.part")
        name = f"{engine.name} {version(engine.name)}"
        about = planned.about(engine.number, engine=name, inputs=inputs, table=files.sha256(fifty))
        engine.close()
        (out / "table.sql").write_text(f"{planned.sql}\n")
        wide.replace(out / WIDE)
        fifty.replace(out / TABLE)
        write_manifest(out, about)
    except OSError as error:
        raise FilesError(
            f"{out}: {error.strerror or error}: is the disk full? Build again; what is done is kept"
        ) from error
    return Built(out, about)


def write_manifest(out: Path, about: Mapping[str, Any]) -> None:
    """Put the manifest in its place."""
    (part := out / f"{MANIFEST}.part").write_text(json.dumps(about, indent=1) + "\n")
    part.replace(out / MANIFEST)


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


def _first_step(
    engine: DuckDB, planned: Plan, done: Path, tell: Tell
) -> tuple[dict[str, list[tuple[int, Path]]], list[str]]:
    """Run the first step on every file that is not done; return what was made, by kind and year, and checksums."""
    parts: dict[str, list[tuple[int, Path]]] = {}
    checksums = []
    for source in (*planned.sources, planned.exclusions):
        sql = planned.first(source)
        key = hashlib.sha256(json.dumps(_of(source, sql)).encode()).hexdigest()[:16]
        path, note = done / f"{source.kind}-{source.year or 'list'}-{key}.parquet", done / f"{key}.txt"
        if path.exists() and note.exists():
            tell(source.name, source.size, source.size)
        else:
            made = path.with_name(f"{path.name}.part")
            sha256 = engine.per_provider(source, sql, made, lambda d, of, name=source.name: tell(name, d, of))
            note.write_text(sha256)
            made.replace(path)
        checksums.append(note.read_text())
        parts.setdefault(source.kind, []).append((source.year, path))
    return parts, checksums


def _of(source: Source, sql: str) -> list[Any]:
    """Return what a file's lines per provider depend on; a file that was changed has another time or size."""
    stat = source.path.stat()
    return [str(source.path.resolve()), source.member, stat.st_size, stat.st_mtime_ns, source.year, sql]

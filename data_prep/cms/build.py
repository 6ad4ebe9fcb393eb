"""Table build: published files in a folder to the provider table, its manifest, and what the labels lost.

A file that is done stays done: its lines per provider are kept under the name of what they were made from, so that a
build which is killed goes on with them. Nothing else is left of a build that did not end.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.cms import files
from data_prep.cms import plan as planning
from data_prep.cms.duck import DuckDB
from data_prep.cms.files import FilesError, Source
from data_prep.cms.plan import FIFTY, MANIFEST, TABLE, Built, Plan, Tell, write_manifest
from data_prep.cms.recipe import Choices

__all__ = ["FIFTY", "MANIFEST", "TABLE", "WIDE", "build"]
WIDE = "table.parquet"


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
    planned = planning.plan(folder, leie, choices)
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

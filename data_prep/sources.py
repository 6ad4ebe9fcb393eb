"""Data sources behind one schema: synthetic rows, the curated table, or a file with the same columns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from client_code import schema
from client_code.problem import Problem
from data_prep import curated, download, marginals, stored, synthetic, uci_heart
from data_prep.cms import build, generate
from data_prep.errors import DataError
from data_prep.owners import csv_bytes, is_stamped

CMS = "cms"
GENERATED = generate.Made(providers=8000, years=(2018, 2019), rate=0.05)  # what `cms` is where no table was built
_FETCH = {"curated": curated.fetch, "uci": uci_heart.fetch}  # what a problem may say is published


class SourceError(DataError):
    """The word for the data is neither a source nor a file."""


@dataclass(frozen=True)
class Table:
    """A table that keeps a problem's rules, and where it comes from."""

    frame: pd.DataFrame
    source: str  # "synthetic", "curated", "uci", "cms" or "file"
    sha256: str  # of the file or files; of synthetic rows, of the CSV file that they make
    problem: Problem


def load(
    data: str, problem: Problem, *, seed: int, cache: Path, statistics: Path | None = None, built: Path | None = None
) -> Table:
    """Read or draw a problem's table and check it.

    Parameters
    ----------
    data : str
        ``"synthetic"``; what the problem says is published, ``"curated"`` or ``"uci"``, fetched once into ``cache``;
        the path of a CSV file; for ``"uci"`` also that of the folder of the published files; ``"cms"``, the table that
        was built from CMS's files, with the provider's number, state and specialty.
    seed : int
        Only synthetic rows depend on it.
    statistics : Path, optional
        What synthetic rows are drawn from, where the problem has no generator of its own.
    built : Path, optional
        Where a table was built from CMS's files; if it is not there, files are generated, and it is built from these.

    Raises
    ------
    SourceError
        If ``data`` is none of these.
    download.DownloadError
        If the published table cannot be fetched.
    client_code.schema.TableError
        If the table breaks the schema; tells all that is wrong with it.
    """
    if data == "synthetic":
        if statistics is not None and statistics.is_file():
            frame = marginals.generate(json.loads(statistics.read_text()), problem, seed=seed)
        else:
            frame = synthetic.generate(problem, seed=seed)
        return Table(frame, "synthetic", hashlib.sha256(csv_bytes(frame)).hexdigest(), problem)
    if data == CMS:
        return _from_cms(built, problem, seed=seed, cache=cache)
    if (published := problem.published) not in ("", *_FETCH):
        raise SourceError(f"problem {problem.name} says published = {published!r}; known are {', '.join(_FETCH)}")
    path = _FETCH[published](cache) if published and data == published else Path(data).expanduser()
    if published == "uci" and path.is_dir():
        frame, sha256 = uci_heart.read(path, problem)
        return Table(_stored_types(frame, problem), "uci", sha256, problem)
    if not path.is_file():
        choices = ", ".join(filter(None, ["synthetic", published]))
        raise SourceError(f"{data!r} is no file; choose {choices} or the path of a CSV file")
    sha256 = download.checksum(path)
    source = "curated" if sha256 == curated.TABLE.sha256 else "synthetic" if is_stamped(path) else "file"
    try:
        frame = _stored_types(schema.read_table(path, problem), problem)
    except schema.TableError as error:
        raise schema.together(list(schema.findings_in(path, problem)) or [error]) from None
    if problem.owner:
        frame[problem.owner] = schema.read_identifier(path, problem, problem.owner)
    return Table(frame, source, sha256, problem)


def _from_cms(built: Path | None, problem: Problem, *, seed: int, cache: Path) -> Table:
    """Return the provider table; number, state and specialty say who may own a row, and reach no model."""
    if built is None or not (built / build.WIDE).is_file():
        files, built = cache / "cms" / f"files-{seed}", cache / "cms" / f"table-{seed}"
        if not (built / build.WIDE).is_file():
            generate.generate(replace(GENERATED, seed=seed), files)
            build.build(files, files / "UPDATED.csv", built)
    about = json.loads((built / build.MANIFEST).read_text())
    if "generated" not in about:
        raise SourceError(f"{built} was built by another version: build it again (`make table`), or delete it")
    wide = pd.read_parquet(built / build.WIDE, columns=[*problem.names, "npi", "state", "specialty"])
    known = replace(problem, identifiers=("npi",), ignored=("state", "specialty"))
    for finding in schema.findings(wide, known, file=build.WIDE):
        raise finding
    return Table(_stored_types(wide, known), "synthetic" if about["generated"] else CMS, about["sha256"], known)


def _stored_types(frame: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Give counts back the integer type that the problem stores them in, where all of them are whole."""
    return frame.astype(dict.fromkeys(stored.whole(frame, problem), "int64"))

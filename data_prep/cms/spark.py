"""Spark engine: the same recipe on a cluster, or on this machine where Java is; a SageMaker Processing job runs it.

Every host has a copy of the files under the same path, which is how File mode brings them. Nothing but Spark and the
standard library is needed there.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.cms import files, recipe
from data_prep.cms import plan as planning
from data_prep.cms.files import FilesError, Source
from data_prep.cms.layouts import YEARLY
from data_prep.cms.plan import FIFTY, TABLE, Built, Plan, Tell

DataFrame = SparkSession = Any  # of pyspark.sql, which only a cluster has
WIDE = "wide.csv"
SHUFFLED = 32 << 20  # bytes of the files for each partition of a shuffle, which is some megabytes


def build_on(
    session: SparkSession, folder: Path, leie: Path, out: Path, choices: recipe.Choices | None = None, *,
    tell: Tell = lambda what, done, of: None,
) -> Built:  # fmt: skip
    """Build the provider table on Spark: the fifty columns, and ``wide.csv`` with NPI and the wider set.

    Parameters
    ----------
    session : SparkSession
        Casts are told to be strict: a cell that is no number stops the build.

    Raises
    ------
    FilesError, LayoutError
        As :func:`data_prep.cms.build.build` does.
    """
    planned = planning.plan(folder, leie, choices)
    out.mkdir(parents=True, exist_ok=True)
    made = table(session, planned, out, tell)
    try:
        made.persist().createOrReplaceTempView("made")
        _write(made, {out / TABLE: FIFTY, out / WIDE: made.columns})
        checksums = [files.sha256(_place(source, out)) for source in (*planned.sources, planned.exclusions)]
        about = planned.about(
            lambda sql: int(session.sql(sql).first()[0]),
            engine=f"spark {session.version}", inputs=checksums, table=files.sha256(out / TABLE),
        )  # fmt: skip
    except OSError as error:
        raise FilesError(f"{out}: {error.strerror or error}: is the disk full?") from error
    except Exception as error:  # of Spark, of Java or of Py4J
        raise FilesError(f"the table cannot be built: {_first(error)}") from error
    finally:
        made.unpersist()
        shutil.rmtree(out / "unpacked", ignore_errors=True)
    planning.write_manifest(out, about)
    return Built(out, about)


def table(session: SparkSession, planned: Plan, out: Path, tell: Tell = lambda what, done, of: None) -> DataFrame:
    """Return the table before anything is computed: one shuffle per file, by NPI, on which the joins stand too."""
    session.conf.set("spark.sql.ansi.enabled", "true")
    read = sum(source.size for source in planned.sources)
    # The engine's own 200 are as many tasks, whatever there is to do.
    session.conf.set(
        "spark.sql.shuffle.partitions", str(max(session.sparkContext.defaultParallelism, read // SHUFFLED))
    )
    by_kind: dict[str, list[Source]] = {}
    for source in (*planned.sources, planned.exclusions):
        by_kind.setdefault(source.kind, []).append(source)
        name = f"{source.kind}_{source.year}"
        lines(session, source, _place(source, out)).createOrReplaceTempView("file")
        session.sql(f"select {recipe.read(source)} from file").createOrReplaceTempView("lines")
        session.sql(planned.first(source)).createOrReplaceTempView(name)
        tell(source.name, source.size, source.size)
    for kind, sources in by_kind.items():
        text = recipe.union((f"from {kind}_{source.year}", source.year) for source in sources)
        session.sql(text).createOrReplaceTempView(f"{kind}_years" if kind in YEARLY else "exclusions")
    return session.sql(planned.sql)


def lines(session: SparkSession, source: Source, path: Path) -> DataFrame:
    """Return a file with every column as text. A quote inside quotes is doubled, and no backslash means anything."""
    quoted = source.layout.delimiter == ","
    options = {"header": True, "sep": source.layout.delimiter, "mode": "FAILFAST", "quote": '"' if quoted else ""}
    options |= {"escape": '"'} if quoted else {}
    text = ", ".join(f"`{name}` string" for name in source.header)
    return session.read.options(**options).schema(text).csv(path.resolve().as_uri())


def _place(source: Source, out: Path) -> Path:
    """Return where Spark finds a file: it reads no archive in place."""
    if not source.member:
        return source.path
    path = out / "unpacked" / Path(source.member).name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(source.path) as archive, archive.open(source.member) as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain, files.BLOCK)
    return path


def _write(made: DataFrame, wanted: Mapping[Path, Sequence[str]]) -> None:
    """Write columns by NPI, fractions with ten digits; the driver has a partition at a time, once for all files."""
    parts = {out: out.with_name(f"{out.name}.part") for out in wanted}
    with contextlib.ExitStack() as stack:
        sinks = [(stack.enter_context(parts[out].open("w")), _printer(made, names)) for out, names in wanted.items()]
        for (stream, _), names in zip(sinks, wanted.values(), strict=True):
            stream.write(f"{','.join(names)}\n")
        for row in made.orderBy("npi").toLocalIterator(prefetchPartitions=True):
            cells = tuple(row)
            for stream, line in sinks:
                stream.write(line(cells))
    for out, part in parts.items():
        part.replace(out)


def _printer(made: DataFrame, names: Sequence[str]) -> Callable[[tuple[Any, ...]], str]:
    """Return what makes a line of a row; numbers that are always there are printed by one template, which is fast."""
    places = {name: (place, kind in ("double", "float")) for place, (name, kind) in enumerate(made.dtypes)}
    always = list(itertools.takewhile(lambda name: name == "npi" or name in FIFTY, names))
    template = ",".join("%.10g" if places[name][1] else "%s" for name in always)
    pick = operator.itemgetter(*(places[name][0] for name in always))
    rest = [(places[name][0], _digits if places[name][1] else _word) for name in names[len(always) :]]

    def line(row: tuple[Any, ...]) -> str:
        return ",".join([template % pick(row), *(as_text(row[place]) for place, as_text in rest)]) + "\n"

    return line


def _digits(cell: object) -> str:
    return "" if cell is None else f"{cell:.10g}"


def _word(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]

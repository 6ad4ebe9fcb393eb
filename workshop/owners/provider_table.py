"""Commands on CMS's files: build the provider table from them, here or in an account; generate files like them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from data_prep.cms import build as building
from data_prep.cms import generate as generating
from data_prep.cms import recipe
from workshop import problems
from workshop.aws import accounts, stacks
from workshop.aws.stacks import Stack
from workshop.files import REPOSITORY, write_text
from workshop.owners import table_job

COLUMNS = REPOSITORY / "docs" / "cms-columns.md"


@contextlib.contextmanager
def _bars(*more: ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that is told how far something is, and shows a bar for each."""
    columns = TextColumn("{task.description}"), BarColumn(), *more
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def tell(name: str, done: int, of: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=of)
            progress.update(bars[name], completed=done)

        yield tell


def build(folder: Path, leie: Path, output: Path, *, chosen: Sequence[str]) -> int:
    """Build the table from a folder of published files; a file at a time, with what is left of it."""
    choices = recipe.Choices.of(dict(map(_pair, chosen)))
    with _bars(DownloadColumn(), TimeRemainingColumn()) as tell:
        about = building.build(folder, leie, output, choices, tell=tell).about
    rate = about["positive"] / about["rows"] if about["rows"] else 0
    of_these, lost = about["exclusions_of_these_codes"], about["of_them_without_npi"]
    print(f"{about['rows']:,} providers of {', '.join(map(str, about['years']))}")
    print(f"{about['positive']:,} of them excluded later for {', '.join(choices.codes)}: {rate:.3%}")
    print(f"of {of_these:,} such exclusions {lost:,} name no NPI: lost")
    for name in (building.TABLE, building.WIDE, building.MANIFEST, "table.sql"):
        print(f"  {output / name}")
    return 0


def generate(folder: Path, *, providers: int, years: Sequence[int], rate: float, seed: int) -> int:
    """Write files in the layout of CMS and the OIG, of nobody."""
    with _bars() as tell:
        written = generating.generate(generating.Made(providers, tuple(years), rate, seed), folder, tell)
    for path in written:
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def job(
    name: str, folder: Path, leie: Path, output: Path, *, chosen: Sequence[str], instance_type: str, instances: int
) -> int:
    """Build the table in an owner's account: upload the files, run the Spark job, fetch what it made."""
    choices = recipe.Choices.of(dict(map(_pair, chosen)))
    session = accounts.session(name)
    outputs = {f"fl-{each}": stacks.outputs(session, Stack(each, name)) for each in ("storage", "table-job")}
    place = table_job.place(name, session, outputs)
    with _bars(DownloadColumn(), TimeRemainingColumn()) as tell:
        table_job.upload(place, folder, leie, tell)
    with Console(stderr=True).status(f"{name}: the job is starting") as status:
        prefix = table_job.run(
            place, choices, instance_type=instance_type, instances=instances,
            tell=lambda word: status.update(f"{name}: the job is {word}"),
        )  # fmt: skip
    about = table_job.fetch(place, prefix, output)
    print(f"{about['rows']:,} providers, {about['positive']:,} of them excluded later; {output}")
    return 0


def columns() -> str:
    """Return ``docs/cms-columns.md``: what each column of the table means."""
    fifty = problems.load(problems.FRAUD)
    lines = [
        "# Columns of the provider table",
        "Written by `python -m workshop cms columns` from the fraud problem and the recipe. How the table is made:",
        "[cms-files](cms-files.md).",
        "",
        "## The fifty of the fraud track",
        "| column | unit | meaning |",
        "|---|---|---|",
        *(f"| `{column.name}` | {column.unit} | {column.meaning} |" for column in (fifty.label, *fifty.features)),
        "",
        "## The wider set, in `table.parquet` and Spark's `wide.csv`",
        "| column | meaning |",
        "|---|---|",
        "| `npi` | the provider's number, ten digits, a text |",
        *(f"| `{name}` | {meaning} |" for name, meaning in recipe.WIDER.items()),
        "",
        "A ratio is missing where its denominator is zero.",
    ]
    return "\n".join(lines) + "\n"


def write_columns() -> int:
    """Write that page."""
    write_text(COLUMNS, columns())
    return 0


def _pair(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE, of a list with commas.

    >>> _pair("years=2018,2019"), _pair("fill=left out"), _pair("within=3")
    (('years', [2018, 2019]), ('fill', 'left out'), ('within', 3))

    Raises
    ------
    RecipeError
        If it is none.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise recipe.RecipeError(f"{text}: write NAME=VALUE, such as fill=0")
    if name == "codes":
        return name, value.split(",")
    try:
        return name, [int(year) for year in value.split(",")] if name == "years" else int(
            value
        ) if name == "within" else value
    except ValueError as error:
        raise recipe.RecipeError(f"{text}: a whole number is needed") from error

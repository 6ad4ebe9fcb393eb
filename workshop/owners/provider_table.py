"""Commands on CMS's files: build the provider table from them, or generate files in their layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.cms import build as building
from data_prep.cms import generate as generating
from data_prep.cms import recipe
from workshop import problems
from workshop.aws import accounts, images, stacks
from workshop.aws.stacks import Stack
from workshop.files import REPOSITORY, write_text
from workshop.owners import table_job

COLUMNS = REPOSITORY / "docs" / "cms-columns.md"


def build(folder: Path, leie: Path, output: Path, *, chosen: Sequence[str]) -> int:
    """Build the table from a folder of published files; a file at a time, with what is left of it."""
    choices = recipe.Choices.of(dict(map(_pair, chosen)))
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, Any] = {}

        def tell(name: str, done: int, of: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=of)
            progress.update(bars[name], completed=done)

        made = building.build(folder, leie, output, choices, tell=tell)
    about = made.about
    rate = about["positive"] / about["rows"] if about["rows"] else 0
    print(f"{about['rows']:,} providers of {', '.join(map(str, about['years']))}")
    print(f"{about['positive']:,} of them excluded later for {', '.join(choices.codes)}: {rate:.3%}")
    print(
        f"of {about['exclusions_of_these_codes']:,} such exclusions {about['of_them_without_npi']:,} name no NPI: lost"
    )
    for name in (building.TABLE, building.WIDE, building.MANIFEST, "table.sql"):
        print(f"  {output / name}")
    return 0


def generate(folder: Path, *, providers: int, years: Sequence[int], rate: float, seed: int) -> int:
    """Write files in the layout of CMS and the OIG, of nobody."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        bars: dict[str, Any] = {}

        def tell(name: str, done: int, of: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=of)
            progress.update(bars[name], completed=done)

        made = generating.Made(providers, tuple(years), rate, seed)
        for path in generating.generate(made, folder, tell):
            print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def job(
    name: str, folder: Path, leie: Path, output: Path, *, chosen: Sequence[str], instance_type: str, instances: int
) -> int:
    """Build the table in an owner's account: upload the files, run the Spark job, fetch what it made."""
    choices = recipe.Choices.of(dict(map(_pair, chosen)))
    session = accounts.session(name)
    storage = stacks.outputs(session, Stack("storage", name))
    there = table_job.Place(
        account=name, session=session, bucket=storage["Bucket"], key=storage["KeyArn"],
        role=stacks.outputs(session, Stack("table-job", name))["TableJobRoleArn"],
        image=images.spark_image(session.region_name),
    )  # fmt: skip
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, Any] = {}

        def tell(file: str, done: int, of: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=of)
            progress.update(bars[file], completed=done)

        table_job.upload(there, folder, leie, tell)
    with Console(stderr=True).status(f"{name}: the job is starting") as status:
        prefix = table_job.run(
            there, choices, instance_type=instance_type, instances=instances,
            tell=lambda word: status.update(f"{name}: the job is {word}"),
        )  # fmt: skip
    about = table_job.fetch(there, prefix, output)
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

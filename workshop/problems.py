"""Problem files: where the TOML description of a table is, and the one that this kit comes with."""

from __future__ import annotations

from pathlib import Path

from client_code import problem
from client_code.problem import Problem
from workshop.errors import WorkshopError
from workshop.files import REPOSITORY

FOLDER = REPOSITORY / "problems"
FRAUD = "fraud"


def path(name: str = FRAUD) -> Path:
    """Return the file that describes a problem.

    Raises
    ------
    WorkshopError
        If there is none; lists those that there are.
    """
    file = FOLDER / f"{name}.toml"
    if not file.is_file():
        there = ", ".join(sorted(known.stem for known in FOLDER.glob("*.toml")))
        raise WorkshopError(f"problem {name!r} is unknown; choose one of {there}, or write {FOLDER.name}/{name}.toml")
    return file


def statistics(name: str = FRAUD) -> Path:
    """Return where the statistics of a problem's table are, if it has any: beside its file."""
    return path(name).with_suffix(".statistics.json")


def load(name: str = FRAUD) -> Problem:
    """Read a problem of this kit.

    Raises
    ------
    WorkshopError
        If there is none of this name, or its file is not one.
    """
    try:
        return problem.load(path(name))
    except problem.ProblemError as error:
        raise WorkshopError(str(error)) from error

"""Problem files: where a table's description is: those that this kit comes with, one's own, the one that was chosen."""

from __future__ import annotations

from pathlib import Path

from client_code import problem
from client_code.problem import Problem
from workshop import state
from workshop.errors import WorkshopError
from workshop.files import REPOSITORY, write_text

FOLDER = REPOSITORY / "problems"
FRAUD = "fraud"
STATISTICS = ".statistics.json"  # in the place of .toml: what synthetic rows are drawn from


def path(word: str = "") -> Path:
    """Return the file that describes a problem: by name, by its own path, or the one that was chosen.

    Raises
    ------
    WorkshopError
        If there is none; lists those that there are.
    """
    if not word:
        return chosen if (chosen := _chosen()).is_file() else FOLDER / f"{FRAUD}.toml"
    file = Path(word).expanduser() if word.endswith(".toml") else FOLDER / f"{word}.toml"
    if not file.is_file():
        there = ", ".join(sorted(known.stem for known in FOLDER.glob("*.toml")))
        raise WorkshopError(f"problem {word!r} is unknown; choose one of {there}, or give the path of a .toml file")
    return file


def statistics(word: str = "") -> Path:
    """Return where the statistics of a problem's table are, if it has any: beside its file."""
    return path(word).with_suffix(STATISTICS)


def load(word: str = "") -> Problem:
    """Read a problem: by name, by the path of its file, or the one that was chosen (fraud where none was).

    Raises
    ------
    WorkshopError
        If there is none of this name, or its file is not one.
    """
    try:
        return problem.load(path(word))
    except problem.ProblemError as error:
        raise WorkshopError(str(error)) from error


def choose(word: str) -> Problem:
    """Take a problem for all that follows, and keep a copy of its files, of which later steps are.

    Raises
    ------
    WorkshopError
        As :func:`load`; the former choice stays then.
    """
    described, file, figures = load(word), path(word), statistics(word)
    if file != _chosen():
        kept = {_chosen().with_suffix(STATISTICS): figures, _chosen(): file}
        for target, source in kept.items():
            if source.is_file():
                write_text(target, source.read_text(encoding="utf-8"))
            else:
                target.unlink(missing_ok=True)
    return described


def _chosen() -> Path:
    return state.home() / "problem.toml"

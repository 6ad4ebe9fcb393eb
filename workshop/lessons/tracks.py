"""Tracks: which notebooks make up a workshop, in which order, and the words of their prose.

A track's own notebook, in a folder of its name, takes the place of the shared one with the same file name.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

import nbformat

from client_code.problem import Problem
from workshop import problems
from workshop.errors import WorkshopError
from workshop.files import NOTEBOOKS, sha256

SOURCES = NOTEBOOKS / "source"
SOLUTION = "solution"  # tag of a cell that solves the exercise above it
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
# By track, the folder of its own notebooks below ``notebooks``, and what it asks of shared ones. A track has the name
# of its problem, but for those that stand alone: they share no notebook, and train no federation.
FOLDERS = {"fraud": "", "heart": "heart", "data": "data"}
ALONE = {"data": "fraud"}  # whose problem it speaks of
SETTINGS: dict[str, dict[str, object]] = {"fraud": {}, "heart": {"CLIENTS": 4}, "data": {}}
# Programs that a track's notebooks run.
PROGRAMS: dict[str, tuple[str, ...]] = {"heart": ("kubectl",)}
# Modules that only a track's lessons import, and take long.
LIBRARIES: dict[str, tuple[str, ...]] = {"heart": ("kubernetes.client",)}


def check(track: str) -> None:
    """Raise :class:`WorkshopError` for a track that there is not."""
    if track not in FOLDERS:
        raise WorkshopError(f"TRACK={track} is unknown; choose one of {', '.join(FOLDERS)}")


def missing(track: str) -> str:
    """Say which program of a track's this machine does not have, and where to get it; empty if it has all."""
    for program in PROGRAMS.get(track, ()):
        if shutil.which(program) is None:
            return f"the track {track} needs {program}, version 1.32 or later: kubernetes.io/docs/tasks/tools"
    return ""


def sources(track: str) -> list[Path]:
    """Return what a track's notebooks are written from, in their order."""
    folders = (SOURCES / FOLDERS[track],) if track in ALONE else (SOURCES, SOURCES / FOLDERS[track])
    by_name = {source.name: source for folder in folders for source in folder.glob("*.py")}
    return [by_name[name] for name in sorted(by_name)]


def is_own(source: Path, track: str) -> bool:
    """Tell whether a notebook lies in the track's own folder."""
    return source.parent == SOURCES / FOLDERS[track]


def notebook_of(source: Path) -> Path:
    """Return the notebook that is written from a source."""
    return NOTEBOOKS / source.relative_to(SOURCES).with_suffix(".ipynb")


def problem_of(source: Path) -> Problem:
    """Return the problem of which the committed notebook speaks."""
    folder = source.relative_to(SOURCES).parent.name
    return problems.load(of(next(track for track, own in FOLDERS.items() if own == folder)))


def of(track: str) -> str:
    """Return the name of a track's problem."""
    return ALONE.get(track, track)


def told(prose: str, problem: Problem) -> str:
    """Return a lesson's prose with a problem's words in the place of ``${subject}``, ``${n_columns}`` and so on.

    >>> told("${n_columns} columns of a ${subject}, for $5", problems.load("fraud"))
    '50 columns of a provider, for $5'
    """
    about = problem.words.about or f"One row is one {problem.words.subject}."
    counts = {"n_columns": len(problem.names), "n_features": len(problem.features)}
    counts |= {"n_numbers": len(problem.input_names) + 1, "name": problem.name}
    return Template(prose).safe_substitute(vars(problem.words) | {"about": about} | counts)


def convert(source: Path, problem: Problem, *, solutions: bool = False) -> nbformat.NotebookNode:
    """Turn a percent file into a notebook without outputs: a problem's words, fixed cell ids, tags, the stamp.

    The stamp, the SHA-256 of the source, ties a rendered notebook to it. Solutions of exercises are left out; or they
    are there, folded, for an instructor.
    """
    import jupytext  # takes a quarter of a second, and a run needs it for the words of another table only

    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": KERNEL, "workshop": {"source": source.name, "sha256": sha256(source)}}
    notebook.cells = [cell for cell in notebook.cells if solutions or SOLUTION not in cell.metadata.get("tags", ())]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if tags and SOLUTION in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "markdown":
            cell.source = told(cell.source, problem)
    return notebook

"""Rendering of ``notebooks/source/NN_*.py`` to executed, committed notebooks (``make notebooks``)."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from workshop.files import NOTEBOOKS, sha256
from workshop.lessons import forked, kernels
from workshop.lessons.execute import QUIET_KERNEL, NotebookFailed

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def stamp(source: Path) -> str:
    """Return the SHA-256 that ties a rendered notebook to its source."""
    return sha256(source)


def convert(source: Path) -> nbformat.NotebookNode:
    """Turn a percent file into a notebook without outputs: fixed cell ids, tags, the stamp, nothing else."""
    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": KERNEL, "workshop": {"source": source.name, "sha256": stamp(source)}}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
    return notebook


def render(source: Path) -> Path:
    """Execute a source from top to bottom and write the notebook beside the folder of sources.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; nothing is written then.
    NotebookFailed
        If a cell draws and shows nothing.
    """
    notebook = convert(source)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )  # fmt: skip
    client.execute()
    if hidden := kernels.undrawn(notebook):
        raise NotebookFailed(f"{source.name}: the cell that begins with {hidden[0]!r} draws, and no picture came out")
    notebook.metadata.pop("language_info", None)
    target = NOTEBOOKS / f"{source.stem}.ipynb"
    nbformat.write(notebook, target)
    return target


def main(names: list[str]) -> int:
    """Render all sources in order, or those whose names begin with one of the given."""
    kernels.settle()
    forked.use()
    for source in sorted((NOTEBOOKS / "source").glob("*.py")):
        if names and not source.stem.startswith(tuple(names)):
            continue
        try:
            print(f"rendered {render(source).name}", flush=True)
        except CellExecutionError as error:
            print(f"{source.name} fails:\n{error}")
            return 1
    return 0

"""Rendering of ``notebooks/source/**/NN_*.py`` to executed, committed notebooks (``make notebooks``)."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from workshop import state
from workshop.lessons import execute, forked, kernels, tracks
from workshop.lessons.execute import QUIET_KERNEL, NotebookFailed


def render(source: Path) -> Path:
    """Execute a source from top to bottom and write its notebook.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; nothing is written then.
    NotebookFailed
        If a cell draws and shows nothing.
    """
    notebook, target = tracks.convert(source, tracks.problem_of(source)), tracks.notebook_of(source)
    target.parent.mkdir(exist_ok=True)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(target.parent)}},
    )  # fmt: skip
    client.execute()
    if hidden := kernels.undrawn(notebook):
        raise NotebookFailed(f"{source.name}: the cell that begins with {hidden[0]!r} draws, and no picture came out")
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, target)
    return target


def main(names: list[str], track: str = "") -> int:
    """Render all sources in order, of one track or of all; or those of a track whose names begin with one of the given.

    Between a track's own notebooks the shared ones are executed, and not written.
    """
    kernels.settle()
    forked.use(*tracks.LIBRARIES.get(track or ("" if names else "heart"), ()))
    if names and not track:
        track = "fraud"  # names alone would mix the state of two tracks
    for each in [track] if track else tracks.FOLDERS:
        tracks.check(each)
        for source in tracks.sources(each):
            if names and not source.stem.startswith(tuple(names)):
                continue
            try:
                if tracks.is_own(source, each):
                    print(f"rendered {render(source).relative_to(tracks.NOTEBOOKS)}", flush=True)
                else:
                    copy = state.home() / f"{source.stem}.ipynb"
                    notebook = tracks.notebook_of(source)
                    execute.execute(notebook, copy, tracks.SETTINGS[each], lambda _: None, show_page=Path.unlink)
            except CellExecutionError as error:
                print(f"{source.name} fails:\n{error}")
                return 1
    return 0

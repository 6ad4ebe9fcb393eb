"""Kernel environment: a caller's shell changes nothing, and a figure that nobody sees is a failure."""

import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from workshop import problems
from workshop.errors import WorkshopError
from workshop.lessons import execute, kernels, render, tracks

pytestmark = pytest.mark.slow  # it starts processes

PICTURE = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
SHELL = {
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "7",
    "COLUMNS": "40",
    "PYTHONWARNINGS": "error",
    "IPYTHONDIR": "/somewhere",
    "TZ": "Asia/Tokyo",
    "FLWR_TELEMETRY_ENABLED": "1",
    "PATH": "/bin",
}


def shown(*data, source="plots.rounds(history)"):
    outputs = [new_output("display_data", each) for each in data]
    return new_notebook(cells=[new_code_cell(source, outputs=outputs)])


@pytest.mark.parametrize(
    "notebook",
    [
        shown(),
        shown({"text/plain": "<Axes: >"}),
        shown({"text/plain": "<Figure size 640x480 with 1 Axes>"}, source="figure"),
    ],
)
def test_a_cell_that_draws_and_shows_nothing_is_named(notebook):
    assert kernels.undrawn(notebook) == [notebook.cells[0].source]


@pytest.mark.parametrize(
    "notebook", [shown(PICTURE), shown({"text/plain": "3"}, source="1 + 2"), shown({"image/svg+xml": "<svg/>"})]
)
def test_what_is_shown_or_not_drawn_is_none_of_those(notebook):
    assert kernels.undrawn(notebook) == []


def test_the_callers_shell_does_not_reach_a_kernel(tmp_path):
    environment = kernels.settled(SHELL, tmp_path)
    assert environment["PATH"] == "/bin"
    assert environment.keys() & {"MPLBACKEND", "COLUMNS", "PYTHONWARNINGS"} == set()
    assert (environment["OMP_NUM_THREADS"], environment["TZ"], environment["FLWR_TELEMETRY_ENABLED"]) == (
        "1", "UTC", "0",
    )  # fmt: skip
    assert environment["IPYTHONDIR"] == str(tmp_path / "ipython")


@pytest.mark.parametrize("backend", ["Agg", "template"])
def test_a_notebook_shows_its_figure_whatever_the_shell_says(tmp_path, backend):
    book = nbformat.v4.new_notebook(
        cells=[new_code_cell("import matplotlib.pyplot as plt\nlines = plt.plot([1, 2])")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(book, tmp_path / "book.ipynb")
    script = (
        "import nbclient, nbformat, sys\nfrom workshop.lessons import kernels\nkernels.settle()\n"
        f"book = nbformat.read({str(tmp_path / 'book.ipynb')!r}, 4)\nnbclient.NotebookClient(book).execute()\n"
        "print([list(output.data) for output in book.cells[0].outputs])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
        env=os.environ | {"MPLBACKEND": backend, "WORKSHOP_HOME": str(tmp_path)},
    )  # fmt: skip
    assert "image/png" in run.stdout, run.stderr


def test_a_run_and_a_rendering_fail_where_a_figure_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "SOURCES", tmp_path)
    monkeypatch.setattr(tracks, "NOTEBOOKS", tmp_path)
    source = tmp_path / "01_x.py"
    source.write_text("# %%\nclass Plots:\n    def rounds(self):\n        pass\n\nplots = Plots()\nplots.rounds()\n")
    with pytest.raises(WorkshopError, match=r"01_x\.py: the cell that begins with 'class Plots:' draws"):
        render.render(source)
    book = tracks.convert(source, problems.load("fraud"))
    nbformat.write(book, tmp_path / "01_x.ipynb")
    with pytest.raises(execute.NotebookFailed, match="draws a figure, and no picture came out"):
        execute.execute(tmp_path / "01_x.ipynb", tmp_path / "out.ipynb", {}, on_cell=lambda under: None)

"""Kernel environment for run, render and lab: whatever the shell has set, results and pictures are the same."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat

from workshop import state
from workshop.files import NOTEBOOKS, REPOSITORY

# Variables by which a shell changes what a kernel draws, prints or computes.
UNSET = (
    "MPLBACKEND",  # Agg: figures are drawn and shown nowhere
    "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONPROFILEIMPORTTIME", "PYTHONVERBOSE",
    "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE",
    "SKLEARN_ASSUME_FINITE", "SCIPY_ARRAY_API",
)  # fmt: skip
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # the same sums on every machine
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "SAGEMAKER_TELEMETRY_OPT_OUT": "true",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
}


def settled(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return an environment in which a notebook gives what it gives everywhere.

    Parameters
    ----------
    environment : mapping
        The caller's.
    folder : Path
        For IPython's profile: the user's own may run code at every start.
    """
    kept = {name: value for name, value in environment.items() if name not in UNSET}
    return kept | dict.fromkeys(ONE_THREAD, "1") | QUIET | _matplotlib() | {"IPYTHONDIR": str(folder / "ipython")}


def _matplotlib() -> dict[str, str]:
    """Have matplotlib read its own defaults, not a file of the user's; found without the import, which takes time."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return {}
    return {"MATPLOTLIBRC": str(Path(spec.origin).with_name("mpl-data") / "matplotlibrc")}


def settle() -> None:
    """Make this process's environment a settled one: kernels inherit it."""
    known = settled(os.environ, state.home())
    for name in os.environ.keys() - known.keys():
        del os.environ[name]
    os.environ.update(known)


def undrawn(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the first lines of those cells that draw a figure and show no picture.

    A cell draws if it calls the figures' module, or if its output is a figure's name in the place of the picture.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.source.splitlines()[0] for cell in cells if _draws(cell) and not _shows(cell)]


def _draws(cell: nbformat.NotebookNode) -> bool:
    named = any(output.get("data", {}).get("text/plain", "").startswith("<Figure ") for output in cell.outputs)
    return named or bool(re.search(r"^plots\.\w+\(", cell.source, re.MULTILINE))


def _shows(cell: nbformat.NotebookNode) -> bool:
    return any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))


def main() -> int:
    """Become JupyterLab, opened at the first notebook; what `make workshop` has made is in the same tree."""
    settle()
    jupyter = Path(sys.executable).with_name("jupyter")
    first = (NOTEBOOKS / "00_start_here.ipynb").relative_to(REPOSITORY).as_posix()
    command = [str(jupyter), "lab", f"--ServerApp.root_dir={REPOSITORY}", f"--LabApp.default_url=/lab/tree/{first}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container one may be root; Jupyter wants to be told
    os.execv(command[0], command)  # noqa: S606 - the environment's own JupyterLab

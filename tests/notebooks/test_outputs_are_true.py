"""Is what a reader sees in the committed notebooks still true? nbval compares every output, strictly."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from workshop.lessons import tracks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("track", list(tracks.FOLDERS))
def test_the_committed_outputs_come_out_again(track, tmp_path):
    sources = tracks.sources(track)
    if track == "data" and not (os.environ.get("EMBEDDED_AWS_SPARK_PYTHON") and shutil.which("java")):
        sources = sources[
            :2
        ]  # the third runs Spark: no Java, or EMBEDDED_AWS_SPARK_PYTHON names no Python with pyspark
    last = max(number for number, source in enumerate(sources) if tracks.is_own(source, track))
    notebooks = [_own_or_a_copy(source, track, tmp_path) for source in sources[: last + 1]]
    assert len(notebooks) >= (2 if track in tracks.ALONE else 5)
    nbval = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "--nbval",
        "--nbval-cell-timeout=300",
        "--nbval-sanitize-with=tests/notebooks/sanitize.cfg",
        *map(str, notebooks),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "run", "--", *nbval],
        cwd=ROOT, env=os.environ | {"WORKSHOP_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


def _own_or_a_copy(source, track, folder):
    """Return a track's own notebook; of a shared one a copy with what the track asks of it, not to be compared."""
    notebook = tracks.notebook_of(source)
    if tracks.is_own(source, track):
        return notebook
    declared = parameterize_notebook(load_notebook_node(str(notebook)), tracks.SETTINGS[track])
    for cell in declared.cells:
        if cell.cell_type == "code":
            cell.metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(declared, folder / notebook.name)
    return folder / notebook.name

"""Is what a reader sees in the committed notebooks still true? nbval compares every output, strictly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_the_committed_outputs_come_out_again(tmp_path):
    notebooks = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert notebooks
    nbval = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-cell-timeout=300",
        "--nbval-sanitize-with=tests/notebooks/sanitize.cfg",
        *notebooks,
    ]
    run = subprocess.run(
        [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "run", "--", *nbval],
        cwd=ROOT, env=os.environ | {"WORKSHOP_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout

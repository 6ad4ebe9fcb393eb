"""Reports for moto are true of the moto that is pinned: one that is not any more names the correction that can go."""

import subprocess
import sys
from pathlib import Path

import embedded_aws

ROOT = Path(__file__).parents[1]


def test_every_report_is_true_and_the_page_lists_it():
    """In a process of its own, in which moto is as it comes."""
    page = ROOT.parent / "docs" / "upstream.md"
    before = page.read_text()
    done = subprocess.run([sys.executable, ROOT / "upstream.py"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert page.read_text() == before, "run `python emulator/upstream.py`"


def test_the_modules_that_it_names_are_there():
    rows = (ROOT.parent / "docs" / "upstream.md").read_text().splitlines()[7:]
    modules = {row.split("`")[-2] for row in rows}
    assert len(modules) >= 7
    assert all((Path(embedded_aws.__file__).parent / "services" / module).is_file() for module in modules)

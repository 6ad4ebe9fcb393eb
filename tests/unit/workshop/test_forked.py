"""Forked kernels are as fresh as others: nothing of one is in the next, and none outlives who started it."""

import subprocess
import sys
import time

import psutil
import pytest

from workshop.lessons import forked

pytestmark = [
    pytest.mark.slow,  # it starts kernels
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere kernels are started as usual"),
]
RUN = """
import sys, nbformat, nbclient
from workshop.lessons import forked, kernels
kernels.settle()
if sys.argv[1] == "forked":
    forked.use()
for _ in range(2):
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_code_cell(source) for source in sys.argv[2:]]
    nbclient.NotebookClient(book, kernel_name="python3").execute()
    for cell in book.cells:
        for output in cell.outputs:
            print(repr(output.get("text", "").strip() or output["data"].get("text/plain")))
"""
CELLS = (
    "import os, sys, json; print(os.environ.get('MPLBACKEND'), os.getcwd() in sys.path, __name__)",
    "print(getattr(json, 'mark', 'fresh')); json.mark = 'used'",
    "print(sorted(name for name in os.environ if name.startswith(('FLWR', 'MPL', 'OMP', 'PYTHON'))))",
    "import matplotlib.pyplot as plt; _ = plt.plot([1, 2])",
    "import pandas as pd; pd.DataFrame({f'a column {number}': [number] for number in range(12)})",
    "import matplotlib; print(pd.describe_option(_print_desc=False).lower(), dict(matplotlib.rcParams))",
)


def run(home, how):
    command = [sys.executable, "-c", RUN, how, *CELLS]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "WORKSHOP_HOME": str(home)}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_forked_kernel_gives_what_a_started_one_gives(tmp_path):
    told = run(tmp_path, "forked")
    assert told == run(tmp_path, "started")
    assert told[1] == told[7] == "'fresh'"
    assert "Figure size" in told[3]


@pytest.fixture
def kernel(tmp_path):
    """Return a forked kernel's process, and the process that has it."""
    script = (
        "import os, sys\nfrom jupyter_client.manager import start_new_kernel\nfrom workshop.lessons import forked\n"
        "forked.use()\nmanager, client = start_new_kernel(kernel_name='python3')\n"
        "print(manager.provisioner.pid, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield psutil.Process(int(process.stdout.readline())), process
        process.kill()


def test_a_kernel_ends_with_who_started_it_however_that_ends(kernel):
    forked_one, process = kernel
    assert LAUNCHED in forked_one.parent().cmdline()
    process.kill()
    give_up = time.monotonic() + 15
    while forked_one.is_running() and forked_one.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up
        time.sleep(0.05)


LAUNCHED = forked.__name__

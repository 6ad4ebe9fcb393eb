"""Commands without any network, where this machine can do that."""

import os
import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def offline():
    """Return the words to put before a command so that it has no network at all, not even loopback."""
    words = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("this machine cannot take the network away from a process (unshare --net)")
    return words


@pytest.fixture(scope="session")
def downloads():
    """Skip where nobody wants hundreds of megabytes of wheels."""
    if not os.environ.get("WORKSHOP_DOWNLOADS"):
        pytest.skip("downloads wheels; set WORKSHOP_DOWNLOADS=1, as CI does")

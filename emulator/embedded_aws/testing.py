"""pytest fixtures: an embedded AWS for a test session, which ends with it and leaves no process behind.

In a ``conftest.py``: ``from embedded_aws.testing import aws, nothing_left_running, serve_aws``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.session
import psutil
import pytest

from embedded_aws import accounts, control, settings
from embedded_aws.settings import Settings

START_SECONDS, END_SECONDS = 60, 10


@dataclass(frozen=True)
class EmbeddedAWS:
    """An embedded AWS under test."""

    home: Path
    pid: int
    endpoint: str
    accounts: dict[str, str]
    settings: Settings

    @property
    def config(self) -> Path:
        """Its AWS config file."""
        return control.Files(self.home).config

    def session(self, name: str) -> boto3.Session:
        """Return a session of an account, by its name; nothing in the environment is changed."""
        core = botocore.session.Session()
        core.set_config_variable("config_file", str(self.config))
        core.set_config_variable("profile", self.settings.profile.format(name))
        return boto3.Session(botocore_session=core)


def serve(home: Path, *, n_clients: int = 4, **environment: str) -> tuple[subprocess.Popen[bytes], EmbeddedAWS]:
    """Start an embedded AWS as a child; ``EMBEDDED_AWS_STOP_GRACE`` is short unless said otherwise.

    It ends with this process, however that ends: the lifeline's other end is open as long.
    """
    lifeline, _ = os.pipe()
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "--clients", str(n_clients), "serve"]
    environment = {**os.environ, "EMBEDDED_AWS_STOP_GRACE": "1", **environment}
    process = subprocess.Popen(
        # A group of its own, as a Ctrl-C is for the tests; not a session: jobs that a test runs in this process would
        # take it for something that they have left, and end it.
        [*command, "--lifeline", str(lifeline)],
        env=environment,
        process_group=0,
        pass_fds=(lifeline,),
    )
    os.close(lifeline)
    files = control.Files(home)
    give_up = time.monotonic() + START_SECONDS
    while not (running := control.find(files)):
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            raise RuntimeError(f"the embedded AWS did not start (exit code {process.wait()})")
        time.sleep(0.05)
    chosen = settings.read(environment)
    ids = accounts.accounts(chosen.names(n_clients))
    return process, EmbeddedAWS(home, running.pid, running.endpoint, ids, chosen)


def end(process: subprocess.Popen[bytes]) -> None:
    """End what :func:`serve` has started."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory, nothing_left_running: None) -> Iterator[EmbeddedAWS]:
    """One embedded AWS for the whole test session."""
    process, embedded = serve(tmp_path_factory.mktemp("home"))
    try:
        yield embedded
    finally:
        end(process)


@pytest.fixture(scope="session")
def serve_aws() -> Callable[..., tuple[subprocess.Popen[bytes], EmbeddedAWS]]:
    """Return :func:`serve`, for tests that need an embedded AWS of their own."""
    return serve


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when a process that the tests started is still there."""
    mark = str(tmp_path_factory.getbasetemp())
    yield
    give_up = time.monotonic() + 3
    while (left := _started_by_tests(mark)) and time.monotonic() < give_up:
        time.sleep(0.05)
    lines = [f"{process.pid}: {line}" for process, line in left.items()]
    for process in left:
        process.kill()
    assert not lines, f"left running: {lines}"


def _started_by_tests(mark: str) -> dict[psutil.Process, str]:
    """Return children of this process, and any process whose command line or folder lies below ``mark``."""
    children = set(psutil.Process().children(recursive=True))
    processes = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            # joblib's and multiprocessing's helpers end with the interpreter.
            if process in children and ("resource_tracker" in line or "loky" in line):
                continue
            if process in children or mark in line or process.cwd().startswith(mark):
                processes[process] = line
        except psutil.Error:
            continue
    return processes

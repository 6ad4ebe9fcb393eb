"""Shared by every test: one BLAS thread, no telemetry, an embedded AWS, and nothing left running afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import psutil
import pytest
from promises import figure, pytest_runtest_logreport  # noqa: F401

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_table_path() -> Path:
    """Return the published table, where somebody has put it beside the repository."""
    folder = Path(os.environ.get("WORKSHOP_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    path = folder / "cms_medicare_providers.csv"
    if not path.exists():
        pytest.skip("the curated table is not at hand; set WORKSHOP_SHARED_DATA to its folder")
    return path


@dataclass(frozen=True)
class EmbeddedAWS:
    """An embedded AWS under test."""

    home: Path
    pid: int
    endpoint: str
    accounts: dict[str, str]

    @property
    def config(self) -> Path:
        """Its AWS config file."""
        return self.home / "embedded" / "aws-config"

    def session(self, name: str) -> boto3.Session:
        """Return a session with the profile ``fl-<name>``; nothing in the environment is changed."""
        core = botocore.session.Session()
        core.set_config_variable("config_file", str(self.config))
        core.set_config_variable("profile", f"fl-{name}")
        return boto3.Session(botocore_session=core)


def serve(home: Path, *, n_clients: int = 4, **environment: str) -> tuple[subprocess.Popen[bytes], EmbeddedAWS]:
    """Start an embedded AWS as a child; ``EMBEDDED_AWS_STOP_GRACE`` is short unless said otherwise.

    It ends with this process, however that ends: the lifeline's other end is open as long.
    """
    from embedded_aws import control, profiles

    lifeline, _ = os.pipe()
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "--clients", str(n_clients), "serve"]
    process = subprocess.Popen(
        [*command, "--lifeline", str(lifeline)],
        cwd=REPOSITORY,
        env={**os.environ, "EMBEDDED_AWS_STOP_GRACE": "1", **environment},
        start_new_session=True,
        pass_fds=(lifeline,),
    )
    os.close(lifeline)
    files = control.Files(home)
    give_up = time.monotonic() + 60
    while not (running := control.find(files)):
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            raise RuntimeError(f"the embedded AWS did not start (exit code {process.wait()})")
        time.sleep(0.05)
    return process, EmbeddedAWS(home, running.pid, running.endpoint, profiles.accounts(n_clients))


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory, nothing_left_running: None) -> Iterator[EmbeddedAWS]:
    """One embedded AWS for the whole test session."""
    process, embedded = serve(tmp_path_factory.mktemp("home"))
    try:
        yield embedded
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def serve_aws() -> Callable[..., tuple[subprocess.Popen[bytes], EmbeddedAWS]]:
    """Return :func:`serve`, for tests that need an embedded AWS of their own."""
    return serve


@pytest.fixture(scope="module")
def own_accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, boto3.Session]]]:
    """Return a function that starts an embedded AWS, makes it the workshop's, and returns sessions by account name."""
    from workshop import state
    from workshop.aws import accounts

    started: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:

        def start(n_clients: int, **environment: str) -> dict[str, boto3.Session]:
            home = tmp_path_factory.mktemp("home")
            started.append(serve(home, n_clients=n_clients, **environment)[0])
            patch.setenv("WORKSHOP_HOME", str(home))
            state.save(target={"name": "embedded", "clients": n_clients})
            return {name: accounts.session(name) for name in ("server", *accounts.client_names(n_clients))}

        yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(10)


@pytest.fixture(scope="session")
def kill_job() -> Callable[[str], None]:
    """Return a function that ends the Python process of a job as the system does when memory runs out."""

    def kill(job: str) -> None:
        for process in psutil.process_iter(["cwd", "cmdline"]):
            if f"/{job}/" in (process.info["cwd"] or "") and "client.py" in " ".join(process.info["cmdline"] or []):
                process.kill()

    return kill


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when a process that the tests started is still there."""
    mark = str(tmp_path_factory.getbasetemp())
    yield
    give_up = time.monotonic() + 3
    while (left := _started_by_tests(mark)) and time.monotonic() < give_up:
        time.sleep(0.05)
    told = [f"{process.pid}: {line}" for process, line in left.items()]
    for process in left:
        process.kill()
    assert not told, f"left running: {told}"


def _started_by_tests(mark: str) -> dict[psutil.Process, str]:
    """Return children of this process, and any process whose command line or folder lies below ``mark``."""
    children = set(psutil.Process().children(recursive=True))
    found = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            # joblib's and multiprocessing's helpers end with the interpreter.
            if process in children and ("resource_tracker" in line or "loky" in line):
                continue
            if process in children or mark in line or process.cwd().startswith(mark):
                found[process] = line
        except psutil.Error:
            continue
    return found


# What one of two processes (`make test`) runs in this order, folder by folder, as a folder's tests share fixtures: the
# long ones first, every other folder in between.
FIRST = ("robustness", "notebooks", "federation")
LAST = "test_network_faults.py"  # gRPC's threads stay in the network namespace in which they were born


# Where pure tests are, as in the Makefile: `make test FAST=1` runs these but for what is marked slow.
PURE = "tests/unit tests/repo tests/iam tests/network/test_reachability.py client_code data_prep workshop"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in that order, and mark as slow what lies elsewhere or asks for an embedded AWS."""
    for item in items:
        pure = any(item.path.is_relative_to(REPOSITORY / folder) for folder in PURE.split())
        if not pure or "serve_aws" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    groups = {item: _group(item.nodeid) for item in items}
    order = [*FIRST, *sorted({*groups.values()} - {*FIRST, LAST}), LAST]
    items.sort(key=lambda item: order.index(groups[item]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out a folder at a time."""
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Folders(config, log)


def _group(nodeid: str) -> str:
    path = Path(nodeid.partition("::")[0])
    if path.name == LAST:
        return LAST
    top, folder = path.parts[:2]
    # Both count network namespaces.
    return {"network": "robustness"}.get(folder, folder) if top == "tests" else top

"""The tracker's page: MLflow's server over this machine's runs, on loopback, while somebody looks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import AccountError, MissingStep, WorkshopError
from workshop.tracking.sending import CALM, artifacts, database, store

PATIENCE = 120.0  # seconds until the server must answer
# `mlflow server` starts a second process after it has imported everything once: twice the seconds and the memory. These
# are the variables by which it hands its options on (mlflow/server/__init__.py, 3.17).
STORE, FILES, SERVES = (
    "_MLFLOW_SERVER_FILE_STORE",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS",
)


@contextlib.contextmanager
def server(port: int = 0) -> Iterator[str]:
    """Yield the address of MLflow's page while the block runs.

    Raises
    ------
    MissingStep
        If no run was sent yet.
    WorkshopError
        If it does not answer in time.
    """
    if not database().exists():
        raise MissingStep(
            "no run was sent to the tracker of this machine: run 03_run_federation.ipynb, or `fl track send RUN`"
        )
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    environ = os.environ | CALM | {STORE: store(), FILES: artifacts().as_uri(), SERVES: "true"}
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "mlflow.server.fastapi_app:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = database().parent / "page.log"
    with running(command, environ, log=log, answers=lambda: _answers(address), what="MLflow's server"):
        yield address


def of_app(session: boto3.Session, arn: str) -> str:
    """Return an address of an MLflow app's page: who has it is let in, once, within five minutes.

    Raises
    ------
    WorkshopError
        If ``arn`` is no MLflow app's.
    AccountError
        If the app's account refuses.
    """
    app = re.fullmatch(r"arn:aws[\w-]*:sagemaker:(?P<region>[\w-]+):\d{12}:mlflow-app/.+", arn)
    if not app:
        raise WorkshopError(f"{arn!r} is no ARN of an MLflow app; it is the output TrackerArn of the stack fl-tracker")
    sagemaker = session.client("sagemaker", region_name=app["region"])
    try:
        return sagemaker.create_presigned_mlflow_app_url(Arn=arn, ExpiresInSeconds=300)["AuthorizedUrl"]
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"the page of {arn} cannot be opened: {error}") from error


@contextlib.contextmanager
def running(
    command: list[str], environ: dict[str, str], *, log: Path, answers: Callable[[], bool], what: str
) -> Iterator[None]:
    """Have a server run while the block does, once it answers.

    Raises
    ------
    WorkshopError
        If it does not in time: names its log.
    """
    with log.open("w") as told:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
    try:
        give_up = time.monotonic() + PATIENCE
        while not answers():
            if process.poll() is not None or time.monotonic() > give_up:
                raise WorkshopError(f"{what} does not answer; its log: {log}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(address: str, what: str) -> None:
    """Print an address, and stay until interrupted."""
    with contextlib.suppress(KeyboardInterrupt):
        print(f"{what} at {address} (end it with Ctrl-C)", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.pause()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:  # noqa: S310 (loopback)
            return answer.status == 200
    except OSError:
        return False


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

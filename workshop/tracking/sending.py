"""Sending to a tracker: a process beside the run writes its record into MLflow; the run never waits for it.

A tracker that is slow, full, wrong or away costs the run nothing: what it has missed is in the record, and
``fl track send RUN`` sends it later. Sent twice, it is there once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from workshop import state
from workshop.errors import WorkshopError
from workshop.files import WORKPLACE, unwritable, write_text
from workshop.tracking import recorded as records
from workshop.tracking import registry
from workshop.tracking.record import EVENTS, folder
from workshop.tracking.sheets import sheets

HERE, NOWHERE, EXPERIMENTS = "here", "none", "experiments"
LOG, SENT = "sending.log", "sent.txt"  # beside the record: what the process says, and where the run is
LOOK = 0.5  # seconds between two looks at a record
# A run of seconds is sent when it is over: importing MLflow beside it would take the processor that it trains on.
LIVE_AFTER = 20.0  # seconds
WATCHER = Path(__file__).with_name("watcher.py")
_ADDRESS = re.compile(r"https?://|sqlite:///|arn:aws[\w-]*:sagemaker:.*:mlflow-(app|tracking-server)/")


# MLflow calls nobody; a server that is away costs a second and not four minutes.
CALM = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # those jobs are for language models
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class Tracker(Protocol):
    """Where a recorded run can be written; what is there already stays as it is."""

    def write(self, recorded: records.Recorded, sheets: list, files: list[Path]) -> None:
        """Write what is missing; ``WorkshopError`` if that fails."""

    def keep(self, version: registry.Version) -> None:
        """Keep the model of a run that was written; ``WorkshopError`` if that fails."""


def database() -> Path:
    """Return the file of the tracker that this machine has."""
    return state.home() / "tracking" / "mlflow.db"


def artifacts() -> Path:
    """Return the folder of that tracker's files."""
    return database().parent / "artifacts"


def check(where: str) -> None:
    """Raise :class:`WorkshopError` for what is no tracker."""
    if where not in (HERE, NOWHERE, EXPERIMENTS) and not _ADDRESS.match(where):
        raise WorkshopError(
            f"TRACKER is {where!r}: choose {HERE} (MLflow on this machine), {NOWHERE}, the address of an MLflow "
            f"server, the ARN of an MLflow app of SageMaker, or {EXPERIMENTS} (SageMaker Experiments)"
        )


def store() -> str:
    """Return the tracking URI of the tracker that this machine has."""
    return f"sqlite:///{database()}"


def tracker(where: str) -> Tracker:
    """Return where runs are sent to.

    Raises
    ------
    WorkshopError
        If it is no tracker, or does not answer.
    """
    check(where)
    if where == EXPERIMENTS:
        import boto3

        from workshop.tracking.experiments_tracker import ExperimentsTracker

        return ExperimentsTracker(boto3.Session())
    uri = store() if where == HERE else where
    if where == HERE:
        database().parent.mkdir(parents=True, exist_ok=True)
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
    from workshop.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, artifacts=artifacts() if uri.startswith("sqlite:") else None)


def send(run: str, where: str = HERE, *, wait: bool = False) -> str:
    """Write a recorded run into a tracker; return in a line what is there now.

    Parameters
    ----------
    wait : bool
        Stay until the record is closed, which is when the model is saved, and send every round as it comes.

    Raises
    ------
    WorkshopError
        If there is no such record, or the tracker does not take it.
    """
    check(where)
    path, to, live = folder() / run, None, True
    while True:
        size = _size(path / EVENTS)
        recorded = records.read(run)
        if not (wait and _goes_on(recorded)):
            break
        if live and recorded.history:
            try:
                to = to or tracker(where)
                to.write(recorded, sheets(recorded), [])
            except WorkshopError as error:  # the record has it all: once more at the end
                print(f"{error}; tried again when the run is over", flush=True)
                live, to = False, None
        while _size(path / EVENTS) == size and _goes_on(records.read(run)):
            time.sleep(LOOK)
    to = to or tracker(where)
    to.write(recorded, sheets(recorded), [path / name for name in ("run.json", EVENTS) if (path / name).exists()])
    for version in registry.versions(recorded.about["problem"]):
        if version.run == run:
            to.keep(version)
    line = f"run {run} is in the tracker ({where}): {len(recorded.history)} rounds of {len(recorded.clients)} clients"
    write_text(path / SENT, f"{line}\n")
    return line


def _goes_on(recorded: records.Recorded) -> bool:
    return recorded.led and recorded.status != records.ENDED


def follow(run: str, where: str = HERE) -> None:
    """Start a process that sends a run, from :data:`LIVE_AFTER` on while it goes on, and ends soon after it.

    It has the lowest priority, and ten megabytes until there is something to send.

    Raises
    ------
    WorkshopError
        If ``where`` is no tracker.
    """
    check(where)
    if where == NOWHERE:
        return
    path = folder() / run
    (path / SENT).unlink(missing_ok=True)
    sends = [sys.executable, "-m", "workshop", "track", "send", run, "--to", where, "--wait"]
    command = [sys.executable, "-S", str(WATCHER), str(path / EVENTS), str(LIVE_AFTER), *sends]
    environ = os.environ | {"WORKSHOP_HOME": str(state.home())}
    try:
        with (path / LOG).open("w") as log:
            subprocess.Popen(
                command, cwd=WORKPLACE, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise unwritable(path / LOG, error) from error


def sent(run: str, *, seconds: float = 60.0) -> str:
    """Say in a line whether a run is in its tracker; wait for the process that sends it.

    It raises nothing: a run is worth as much without.
    """
    path, give_up = folder() / run, time.monotonic() + seconds
    while time.monotonic() < give_up:
        for name in (SENT, LOG):
            text = _text(path / name).strip()
            if text and (name == SENT or "Error: " in text):
                return text.splitlines()[-1] + ("" if name == SENT else f"; `fl track send {run}` sends it later")
        time.sleep(LOOK / 5)
    return f"run {run} is not in the tracker yet; `fl track send {run}` sends it again"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""Run life cycle and leader lock: from kick-off to the final model, over as many kernels as it takes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import boto3

from workshop import state
from workshop.errors import FederationError
from workshop.federation.checkpoints import VERSION, Checkpoints
from workshop.federation.tls import SLACK, Authority, Certificates
from workshop.files import write_text

LAST_HOURS = timedelta(hours=6)  # an authority that ends sooner is not used for another day's work

_leading: dict[Path, TextIO] = {}  # the locks that this process holds, by folder


@dataclass(frozen=True)
class Run:
    """What belongs to one run: its id, its certificates, its checkpoints, and the runs whose jobs it replaces."""

    id: str
    folder: Path
    certificates: Certificates
    checkpoints: Checkpoints
    before: tuple[str, ...]
    rounds_done: int

    def finish(self) -> None:
        """Forget keys and checkpoints, and lead no longer: the next run is a new one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if lock := _leading.pop(self.folder, None):
            lock.close()


def open_run(
    host: str,
    settings: Mapping[str, object],
    *,
    session: boto3.Session | None = None,
    bucket: str = "",
    resume: str = "",
) -> Run:
    """Take up the run that was cut off, if it was one with the same settings; else begin a new one.

    Called again, it signs a new certificate for the server: clients need no other authority for it.

    Parameters
    ----------
    host : str
        The address that clients dial.
    settings : mapping
        JSON values: all that the model depends on. A run with other settings is another run.
    session, bucket
        The server's session and bucket, for the second copy of the checkpoints.
    resume : str
        The id of a run whose folder was lost: its checkpoints come from the bucket.

    Raises
    ------
    FederationError
        If another kernel leads a run in this folder, or the run to resume has no checkpoint in the bucket, or had
        other settings.
    """
    folder = state.home() / "federation"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    _lead(folder)
    # A run that another version of the kit has begun is another run: its checkpoints would not be understood.
    digest = hashlib.sha256(json.dumps([VERSION, settings], sort_keys=True).encode()).hexdigest()
    known = _read(folder / "run.json")
    new = known.get("settings") != digest or resume not in ("", known.get("id"))
    run = resume or (secrets.token_hex(4) if new else known["id"])
    checkpoints = Checkpoints(folder / run, run, settings=digest, session=session, bucket=bucket)
    latest = checkpoints.latest()
    if resume and new and latest is None:
        raise FederationError(
            f"RESUME is {resume}, and bucket {bucket} has no checkpoint of such a run that this version can read"
        )
    if new:
        before = [*known.get("before", []), known["id"]] if known else []
        known = {"id": run, "settings": digest, "before": before}
        for path in folder.iterdir():
            if path.is_dir() and path != checkpoints.folder:
                shutil.rmtree(path)
        write_text(folder / "run.json", json.dumps(known))
    authority = _authority(folder)
    if authority is None:
        authority = Authority.make()
        authority.save(folder)
    done = len(latest.history) if latest else 0
    return Run(run, folder, authority.issue(host), checkpoints, tuple(known["before"]), done)


def _lead(folder: Path) -> None:
    """Lock the folder of the federation until the run is finished or this process ends, whichever comes first.

    Without it two kernels would stop each other's jobs.
    """
    if folder in _leading:
        return
    file = folder.with_name("federation.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        process = file.read().strip()
        file.close()
        raise FederationError(
            f"another kernel leads this federation (process {process}): wait until it has finished, or end it, then "
            "run the cell again; nothing was stopped"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    _leading[folder] = file


def _authority(folder: Path) -> Authority | None:
    try:
        authority = Authority.load(folder)
        return authority if authority.expires - SLACK - datetime.now(UTC) > LAST_HOURS else None
    except (OSError, ValueError):
        return None


def _read(path: Path) -> dict:
    try:
        known = json.loads(path.read_text())
        return known if isinstance(known, dict) and {"id", "settings", "before"} <= known.keys() else {}
    except (OSError, ValueError):
        return {}

"""One run of the federation, from kick-off to the final model, over as many kernels as it takes."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3

from workshop import state
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.tls import Authority, Certificates

LAST_HOURS = timedelta(hours=6)  # an authority that ends sooner is not used for another day's work


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
        """Forget keys and checkpoints: the next run is a new one."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
    """
    folder = state.home() / "federation"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    known = _read(folder / "run.json")
    if known.get("settings") != digest or resume not in ("", known.get("id")):
        before = [*known.get("before", []), known["id"]] if known else []
        known = {"id": resume or secrets.token_hex(4), "settings": digest, "before": before}
        for path in folder.glob("round-*"):
            path.unlink()
        state.write_text(folder / "run.json", json.dumps(known))
    authority = _authority(folder)
    if authority is None:
        authority = Authority.make()
        authority.save(folder)
    checkpoints = Checkpoints(folder, known["id"], session=session, bucket=bucket)
    latest = checkpoints.latest()
    done = len(latest.history) if latest else 0
    return Run(known["id"], folder, authority.issue(host), checkpoints, tuple(known["before"]), done)


def _authority(folder: Path) -> Authority | None:
    try:
        authority = Authority.load(folder)
        return authority if authority.expires - datetime.now(UTC) > LAST_HOURS else None
    except (OSError, ValueError):
        return None


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}

"""The global model and its history after every round, so that a run that was killed carries on where it was.

A checkpoint's name holds the SHA-256 of its content: a file that was cut off or changed is seen to be none.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import boto3
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from client_code import task
from workshop.errors import FederationError
from workshop.federation.rounds import Round

PREFIX = "model/checkpoints"  # in the server's bucket
_NAME = re.compile(r"round-(\d{4})-([0-9a-f]{64})\.npz")
log = logging.getLogger(__name__)


@dataclass
class Progress:
    """All that the next round depends on."""

    parameters: task.Parameters
    scaler: task.Scaler
    sums: dict[str, task.Parameters]  # what the scaler was made of, by client
    history: list[Round] = field(default_factory=list)
    memory: dict[str, list[np.ndarray]] = field(default_factory=dict)  # of the strategy
    rows: dict[str, int] = field(default_factory=dict)  # real ones behind the last round's model, by client
    faults: dict[str, int] = field(default_factory=dict)  # how often a client was left out
    out: dict[str, str] = field(default_factory=dict)  # clients that take part no longer, and why

    def to_bytes(self) -> bytes:
        """Write everything into one file without pickle."""
        arrays = {f"model {i}": array for i, array in enumerate([*self.parameters, *self.scaler])}
        for kind, entries in (("sums", self.sums), ("memory", self.memory)):
            arrays |= {f"{kind} {i} {name}": array for name, each in entries.items() for i, array in enumerate(each)}
        about = {
            "history": [asdict(entry) for entry in self.history],
            "rows": self.rows,
            "faults": self.faults,
            "out": self.out,
        }
        file = io.BytesIO()
        np.savez(file, about=np.array(json.dumps(about)), **arrays)
        return file.getvalue()

    @classmethod
    def of_bytes(cls, content: bytes) -> Progress:
        """Read what :meth:`to_bytes` has written."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            model = task.GlobalModel.of([arrays[f"model {i}"] for i in range(4)])
            groups: dict[str, dict[str, list[np.ndarray]]] = {"sums": {}, "memory": {}}
            for key in arrays.files:
                kind, _, rest = key.partition(" ")
                if kind in groups:
                    groups[kind].setdefault(rest.partition(" ")[2], []).append(arrays[key])
        history = [Round(**entry) for entry in about["history"]]
        told = {name: about[name] for name in ("rows", "faults", "out")}
        return cls(*model, groups["sums"], history, groups["memory"], **told)


class Checkpoints:
    """Where the checkpoints of one federation lie.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    run : str
        The federation's id.
    session, bucket
        The server's session and bucket for a second copy; none without.
    """

    def __init__(self, folder: Path, run: str, *, session: boto3.Session | None = None, bucket: str = "") -> None:
        self.folder = folder
        self.prefix = f"{PREFIX}/{run}/"
        self.bucket = bucket
        self.s3 = session.client("s3") if session else None
        self.complaint = ""  # why the second copy could not be written

    def save(self, progress: Progress) -> Path:
        """Write a checkpoint, here and then in the bucket; a file is there whole or not at all.

        Raises
        ------
        FederationError
            If the folder cannot be written. A bucket that refuses stops nothing: see ``complaint``.
        """
        content = progress.to_bytes()
        name = f"round-{len(progress.history):04d}-{hashlib.sha256(content).hexdigest()}.npz"
        path, temporary = self.folder / name, self.folder / f"{name}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            self._tidy(keep=2)
        except OSError as error:
            with contextlib.suppress(OSError):  # nothing can be deleted from a read-only disk either
                temporary.unlink(missing_ok=True)
            raise FederationError(
                f"the checkpoint of round {len(progress.history)} cannot be written to {self.folder} "
                f"({error.strerror}): make room or make the folder writable, then run the notebook again; it carries "
                "on after the last round that was saved"
            ) from error
        self.complaint = ""
        if self.s3:
            try:
                self.s3.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)
            except (BotoCoreError, ClientError) as error:
                self.complaint = f"no copy of the checkpoint in bucket {self.bucket}: {error}"
        return path

    def latest(self) -> Progress | None:
        """Return the newest checkpoint that is whole, from here or else from the bucket; none if there is none."""
        for source, name, content in self._candidates():
            found = _NAME.fullmatch(name)
            if found and hashlib.sha256(content).hexdigest() == found[2]:
                return Progress.of_bytes(content)
            log.warning("checkpoint %s in %s is damaged and passed over", name, source)
        return None

    def forget(self) -> None:
        """Delete the checkpoints in the folder: the federation is over."""
        self._tidy(keep=0)

    def _candidates(self) -> Iterator[tuple[str, str, bytes]]:
        for path in sorted(self.folder.glob("round-*.npz"), reverse=True):
            yield str(self.folder), path.name, path.read_bytes()
        if self.s3:
            try:
                listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix).get("Contents", [])
                for key in sorted((entry["Key"] for entry in listed), reverse=True):
                    body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                    yield self.bucket, key.rpartition("/")[2], body
            except (BotoCoreError, ClientError) as error:
                raise FederationError(f"the checkpoints in bucket {self.bucket} cannot be read: {error}") from error

    def _tidy(self, *, keep: int) -> None:
        for path in sorted(self.folder.glob("round-*.npz"))[: -keep or None]:
            path.unlink()

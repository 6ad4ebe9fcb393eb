"""Checkpoints after every round: the global model and its history, so that a run that was killed carries on.

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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import boto3
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from client_code import task
from workshop.errors import FederationError
from workshop.federation.rounds import Round

PREFIX = "model/checkpoints"  # in the server's bucket
VERSION = 3  # of what a checkpoint holds: raise it with every change
# What is written down as JSON, besides the history.
_ENTRIES = ("rows", "faults", "out", "checksums", "settings")
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
    checksums: dict[str, str] = field(default_factory=dict)  # of the rows behind the sums, by client
    settings: str = ""  # of the run: a digest

    def to_bytes(self) -> bytes:
        """Write everything into one file without pickle."""
        arrays = {f"model {i}": array for i, array in enumerate([*self.parameters, *self.scaler])}
        for kind, entries in (("sums", self.sums), ("memory", self.memory)):
            arrays |= {f"{kind} {i} {name}": array for name, each in entries.items() for i, array in enumerate(each)}
        about = {name: getattr(self, name) for name in _ENTRIES}
        about |= {"history": [asdict(entry) for entry in self.history], "version": VERSION}
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
        return file.getvalue()

    @classmethod
    def of_bytes(cls, content: bytes) -> Progress:
        """Read what :meth:`to_bytes` has written.

        Raises
        ------
        Exception
            Of many kinds, if another version has.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            model = task.GlobalModel.of([arrays[f"model {i}"] for i in range(4)])
            groups: dict[str, dict[str, list[np.ndarray]]] = {"sums": {}, "memory": {}}
            for key in arrays.files:
                kind, _, rest = key.partition(" ")
                if kind in groups:
                    groups[kind].setdefault(rest.partition(" ")[2], []).append(arrays[key])
        if about.pop("version") != VERSION:
            raise ValueError("the checkpoint is of another version")
        history = [Round(**entry) for entry in about.pop("history")]
        if about.keys() != set(_ENTRIES):
            raise ValueError(f"it holds {sorted(about)}")
        return cls(*model, groups["sums"], history, groups["memory"], **about)


class Checkpoints:
    """Where the checkpoints of one federation lie.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    run : str
        The federation's id.
    settings : str
        A digest of what the model depends on: checkpoints of other settings are refused.
    session, bucket
        The server's session and bucket for a second copy; none without.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        settings: str = "",
        session: boto3.Session | None = None,
        bucket: str = "",
    ) -> None:
        self.folder, self.run, self.settings = folder, run, settings
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
        content = replace(progress, settings=self.settings).to_bytes()
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
        """Return the newest checkpoint that is whole, from here or else from the bucket; none if there is none.

        Raises
        ------
        FederationError
            If the run had other settings, or the bucket is needed and cannot be read.
        """
        here = [(path.name, str(self.folder), path.read_bytes) for path in sorted(self.folder.glob("round-*.npz"))]
        if here and (progress := self._opened(*here.pop())):
            return progress
        try:
            # What is damaged here may be whole there; of the same round, what is here comes first.
            for candidate in sorted([*here, *self._in_bucket()], key=lambda entry: entry[0], reverse=True):
                if progress := self._opened(*candidate):
                    return progress
        except (BotoCoreError, ClientError) as error:
            raise FederationError(f"the checkpoints in bucket {self.bucket} cannot be read: {error}") from error
        return None

    def _opened(self, name: str, source: str, read: Callable[[], bytes]) -> Progress | None:
        """Read a checkpoint; none if it is damaged, or if another version of the kit has written it."""
        if (content := _whole(name, source, read)) is None:
            return None
        try:
            progress = Progress.of_bytes(content)
        except Exception as error:  # whatever a file of another shape leads to
            log.warning("checkpoint %s in %s is of another version (%r) and passed over", name, source, error)
            return None
        if progress.settings != self.settings:
            raise FederationError(
                f"run {self.run} had other data, training parameters or terms: choose those again to carry on with it, "
                "or begin a new run"
            )
        return progress

    def forget(self) -> None:
        """Delete the checkpoints in the folder: the federation is over."""
        self._tidy(keep=0)

    def _in_bucket(self) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
        if self.s3:
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix):
                for key in (entry["Key"] for entry in page.get("Contents", [])):
                    get = partial(self.s3.get_object, Bucket=self.bucket, Key=key)
                    yield key.rpartition("/")[2], self.bucket, lambda get=get: get()["Body"].read()

    def _tidy(self, *, keep: int) -> None:
        for path in sorted(self.folder.glob("round-*.npz"))[: -keep or None]:
            path.unlink()


def _whole(name: str, source: str, read: Callable[[], bytes]) -> bytes | None:
    """Return a checkpoint's content if it is what its name says."""
    match, content = _NAME.fullmatch(name), read()
    if match and hashlib.sha256(content).hexdigest() == match[2]:
        return content
    log.warning("checkpoint %s in %s is damaged and passed over", name, source)
    return None

"""Run record: a folder for every run, with what it was given and each of its events, a line of JSON each.

It is written while the run goes on and kept when it is over. Trackers, tables and the console are made from it, so none
of them can slow a run down, end it, or know anything that the record does not.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from client_code import edition
from client_code.problem import Problem
from workshop import state
from workshop.errors import FederationError
from workshop.federation import events
from workshop.federation.events import Event
from workshop.federation.participants import Participant
from workshop.federation.terms import Settled
from workshop.files import REPOSITORY, unwritable, write_text

HEADER, EVENTS = "run.json", "events.jsonl"
PACKAGES = ("flwr", "numpy", "scikit-learn")  # whose versions a result may depend on
log = logging.getLogger(__name__)

_writing: dict[Path, Record] = {}  # of this process, by folder


def folder() -> Path:
    """Return where all records lie."""
    return state.home() / "runs"


class Record:
    """Sink that writes a run's events down; hand it to ``federation.run`` as one of the ``sinks``.

    While it is open no other process writes this record, and readers know that the run is going on. A disk that is full
    is told of once, in the log; lines wait for room then, and the run goes on.

    Parameters
    ----------
    path : Path
        The run's folder.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    FederationError
        If another process writes it.
    """

    def __init__(self, path: Path, *, clock: Any = time.time) -> None:
        self.path, self.clock = path, clock
        self._waiting: deque[str] = deque()
        self._last: Event | None = None
        self._complained = False
        try:
            self._file = self._opened(path / EVENTS)
        except OSError as error:
            raise unwritable(path / EVENTS, error) from error

    @staticmethod
    def _opened(path: Path) -> TextIO:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise FederationError(
                f"another process writes the record of run {path.parent.name}: it leads it"
            ) from error
        if (size := file.tell()) and os.pread(file.fileno(), 1, size - 1) != b"\n":
            file.write("\n")  # the writer before was killed in the middle of a line
        return file

    @property
    def run(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def over(self) -> bool:
        """Whether the last event was the run's end."""
        return isinstance(self._last, events.Finished | events.Ended)

    def __call__(self, event: Event) -> None:
        """Write an event down, with its time; what only repeats itself is left out."""
        if event == self._last:
            return
        self._last = event
        self._waiting.append(json.dumps({"at": round(self.clock(), 3)} | json.loads(events.to_json(event))))
        try:
            while self._waiting:
                self._file.write(self._waiting[0] + "\n")
                self._file.flush()
                self._waiting.popleft()
        except (OSError, ValueError) as error:  # ValueError: it was closed
            if not self._complained:
                log.warning("the record of run %s waits for its disk: %s", self.run, error)
            self._complained = True

    def close(self) -> None:
        """Let readers know that nobody writes any more."""
        self._file.close()


def begin(
    run: str,
    *,
    problem: Problem,
    participants: Sequence[Participant],
    training: Mapping[str, Any],
    terms: Settled,
    data: Mapping[str, Any],
) -> Record:
    """Open a run's record; one that is there already goes on.

    Parameters
    ----------
    run : str
        Its id.
    problem, participants, terms
        As ``federation.run`` gets them.
    training : mapping
        What clients are asked to train with. (What they do train with, they tell: ``events.Joined``.)
    data : mapping
        JSON values about the rows: their source, the seed of their split.

    Raises
    ------
    FederationError
        If another process writes it.
    WorkshopError
        If the disk takes no file.
    """
    path = folder() / run
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    if not (path / HEADER).exists():
        about = {
            "run": run,
            "problem": problem.name,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "participants": [{"name": each.name, "account": each.account} for each in participants],
            "training": dict(training),
            "terms": {part.name: getattr(terms, part.name) for part in fields(terms) if part.name != "rules"},
            "data": dict(data),
            "code": edition.of(REPOSITORY / "client_code"),
            "versions": {name: version(name) for name in PACKAGES},
        }
        write_text(path / HEADER, json.dumps(about, indent=1))
    if path in _writing:  # of a run that has ended early in this kernel
        _writing.pop(path).close()
    record = _writing[path] = Record(path)
    record(events.Started())
    return record

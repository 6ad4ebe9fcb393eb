"""One container of a pod: its process, start after start, and what the API tells of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.process import KILLED, JobProcess
from embedded_aws.kubernetes.kubelet import logs
from embedded_aws.kubernetes.kubelet.environment import PYTHON
from embedded_aws.kubernetes.store import stamp

Object = dict[str, Any]
CALM_SECONDS = 600.0  # after which a container that ends is no longer one that keeps on ending
# Variables that libraries read when they are imported: pods that agree on them share what is imported.
_READ_AT_IMPORT = ("OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "GRPC_", "PYTHON", "LC_", "LANG", "TZ")


@dataclass(frozen=True)
class Start:
    """What a container is started with."""

    words: list[str]
    environment: Mapping[str, str]
    machine: Mapping[str, str]  # the part of it that is every pod's
    folder: Path
    namespace: int | None
    real: Callable[[str], str]
    seen: Callable[[str], str]


@dataclass
class Container:
    """A container of a pod.

    Attributes
    ----------
    spec : dict
        From the pod.
    logs : Path
        Folder of its logs.
    changed : callable
        Called from another thread when its process has ended.
    """

    spec: Object
    logs: Path
    changed: Callable[[], None]
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    starts: int = 0
    ready: bool = False
    started: bool = False
    image_id: str = ""
    restart_at: float | None = None
    process: JobProcess | None = None
    _crashes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec["name"]

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """With what it ended, if it has."""
        ended = self.state.get("terminated")
        return ended["exitCode"] if ended else None

    def log(self, *, previous: bool = False) -> Path:
        """Return the log of this start, or of the one before."""
        return self.logs / f"{self.starts - previous}.log"

    def wait_for(self, reason: str, message: str = "") -> bool:
        """Say what it waits for; tell whether that is new."""
        waiting = {"reason": reason} | ({"message": message} if message else {})
        new = self.state.get("waiting") != waiting
        if self.state.get("terminated"):
            self.last_state = self.state
        self.state = {"waiting": waiting}
        return new

    def start(self, how: Start) -> None:
        """Start the process.

        Raises
        ------
        OSError
            If that fails.
        """
        first, rest = (how.words[0], how.words[1:]) if how.words else ("", [])
        python = bool(PYTHON.fullmatch(first))
        rest = [how.real(word) for word in rest]
        # Only scripts and modules are forked; another use of Python, and another program, begins anew.
        forked = python and bool(rest) and (rest[0].endswith(".py") or rest[:1] == ["-m"])
        job = Job(
            rest, cwd=str(how.folder), env=dict(how.environment), name=self.name, fresh=python and not forked,
            program="" if python else how.real(first),
        )  # fmt: skip
        at_import = {name: value for name, value in how.environment.items() if name.startswith(_READ_AT_IMPORT)}
        libraries = {**how.machine, **at_import, "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"}
        libraries.pop("TMPDIR", None)
        process = JobProcess(job, libraries=libraries, namespace=how.namespace)
        self.starts += 1
        log = logs.Log(self.log(), how.seen)
        with self._lock:
            self.process, self.restart_at = process, None
            if self.state.get("terminated"):
                self.last_state = self.state
            self.state = {"running": {"startedAt": stamp(datetime.now(UTC))}}
            self.ready = self.started = False
        began = time.monotonic()
        threading.Thread(
            target=self._follow, args=(process, log, began), name=f"container {self.name}", daemon=True
        ).start()

    def _follow(self, process: JobProcess, log: logs.Log, began: float) -> None:
        code = process.follow(log.feed, lambda: None)
        log.close()
        with self._lock:
            since = self.state.get("running", {}).get("startedAt", stamp(datetime.now(UTC)))
            ended = {
                "exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": since,
                "finishedAt": stamp(datetime.now(UTC)), "containerID": self.id,
            }  # fmt: skip
            if code == KILLED:
                ended["reason"] = "Error"
            if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                ended["message"] = logs.tail(self.log())
            self.state, self.process, self.ready, self.started = {"terminated": ended}, None, False, False
            self._crashes = 0 if time.monotonic() - began > CALM_SECONDS else self._crashes
        self.changed()

    def plan_restart(self, pause: Callable[[int], float]) -> float:
        """Say when it is started again, longer after each time; return the seconds until then."""
        wait = pause(self._crashes)
        self._crashes += 1
        self.restarts += 1
        self.restart_at = time.monotonic() + wait
        if wait:
            self.wait_for("CrashLoopBackOff", f"back-off {wait:g}s restarting failed container={self.name}")
        return wait

    @property
    def id(self) -> str:
        """What the API calls this start."""
        return f"process://{hashlib.sha256(f'{self.logs} {self.starts}'.encode()).hexdigest()}"

    def status(self) -> Object:
        """Return what the API tells of it."""
        with self._lock:
            return {
                "name": self.name,
                "state": self.state,
                "lastState": self.last_state,
                "ready": self.ready,
                "started": self.started,
                "restartCount": self.restarts,
                "image": self.spec["image"],
                "imageID": self.image_id,
                "containerID": self.id if self.starts else "",
            }

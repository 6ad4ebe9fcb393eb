"""Supervision of a job's processes: output as it comes, a deadline, SIGKILL, an exit code."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import selectors
import signal
import threading
import time
from collections.abc import Callable, Mapping

import psutil

from embedded_aws.jobs.forkserver import ADOPTS, ALL_ENDED, KILL, TERMINATE, Job
from embedded_aws.jobs.nursery import NURSERY

KILLED = 128 + signal.SIGKILL
# A job's processes are known by such a variable; the second says nothing to whoever looks for a training job.
MARK = "EMBEDDED_AWS_JOB_ARN"
MARKS = ("TRAINING_JOB_ARN", MARK)
OBEY_SECONDS = 2.0  # for a supervisor to end its job
_ALIVE: set[JobProcess] = set()


class JobProcess:
    """A script under its supervisor, in a session of its own.

    Parameters
    ----------
    job : Job
        What to run.
    libraries : mapping
        The environment in which libraries are imported.
    namespace : int
        Descriptor of the job's network namespace, if it has one.
    """

    def __init__(self, job: Job, *, libraries: Mapping[str, str], namespace: int | None = None) -> None:
        ends = [os.pipe() for _ in range(4)]
        stdin, self._stdin = ends[0]
        (self._stdout, stdout), (self._stderr, stderr), (self._status, status) = ends[1:]
        self._awake, self._wake = os.pipe()  # to look at the clock anew
        theirs = [stdin, stdout, stderr, status]
        try:
            more = [] if namespace is None else [namespace]
            try:
                self._pid = NURSERY.fork(libraries, [*theirs, *more])
            finally:
                for pipe in theirs:
                    os.close(pipe)
            os.write(self._stdin, json.dumps(job._asdict()).encode() + b"\n")
        except OSError:
            self._close_pipes()
            raise
        self._lock = threading.Lock()
        self._kill_at: float | None = None
        self._force_at: float | None = None
        self._ended = False
        self._arn = next(filter(None, map(job.env.get, MARKS)), "")
        _ALIVE.add(self)

    def terminate(self, *, grace: float) -> None:
        """Send every process of the job SIGKILL ``grace`` seconds from now."""
        with self._lock:
            if self._kill_at is None and not self._ended:
                self._kill_at = time.monotonic() + grace
                os.write(self._wake, b".")

    def ask_to_end(self) -> None:
        """Have the supervisor send SIGTERM to the process that it has started."""
        with self._lock, contextlib.suppress(OSError):
            if not self._ended:
                os.write(self._stdin, TERMINATE)

    def kill(self) -> None:
        """Have the supervisor end every process of the job; soon end it too if it does not."""
        with self._lock:
            if self._ended:
                return
            if self._force_at is None:
                self._force_at = time.monotonic() + OBEY_SECONDS
                with contextlib.suppress(OSError):
                    os.write(self._stdin, KILL)
                os.write(self._wake, b".")
            elif time.monotonic() >= self._force_at:
                self._kill_group()
                self._force_at = time.monotonic() + 0.1

    def _kill_group(self) -> None:
        # EPERM is macOS's answer for a group in which only the dead leader is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def follow(
        self,
        on_output: Callable[[str, bytes], None],
        on_tick: Callable[[], float | None],
    ) -> int:
        """Pass the output on until the script has ended; return its exit code, 128 + n after signal n.

        Parameters
        ----------
        on_output : callable
            Gets ``"stdout"`` or ``"stderr"`` and a chunk.
        on_tick : callable
            Is called between chunks; returns the seconds after which it wants to be called again, if any.
        """
        pipes = {self._stdout: "stdout", self._stderr: "stderr"}
        heard, drain_until = b"", None
        with selectors.DefaultSelector() as selector:
            for pipe in (*pipes, self._status, self._awake):
                selector.register(pipe, selectors.EVENT_READ)
            while len(selector.get_map()) > 1:
                for key, _ in selector.select(self._patience(on_tick(), drain_until)):
                    chunk = os.read(key.fd, 65536)
                    if key.fd == self._awake:
                        continue
                    if not chunk:
                        selector.unregister(key.fd)
                    if key.fd != self._status:
                        on_output(pipes[key.fd], chunk)
                    elif chunk:
                        heard += chunk
                    else:
                        self._end_the_rest(clean=ALL_ENDED in heard)
                        drain_until = time.monotonic() + 1
                if drain_until and time.monotonic() > drain_until:
                    break
                if min(self._kill_at or math.inf, self._force_at or math.inf) <= time.monotonic():
                    self.kill()
        self._close()
        code = re.search(rb"E(\d+)", heard)
        return int(code[1]) if code else KILLED

    def _end_the_rest(self, *, clean: bool) -> None:
        """See that nothing is left after the supervisor, which has ended everything below it if it could."""
        with self._lock:
            self._ended = True  # its id may soon belong to somebody else
            self._kill_group()
        NURSERY.leave(self._pid)
        if not clean:
            NURSERY.end_orphans()
        if not ADOPTS:
            end_marked(self._arn)

    def _patience(self, tick: float | None, drain_until: float | None) -> float | None:
        if self._ended:
            waits = []
        else:
            waits = [at - time.monotonic() for at in (self._force_at or self._kill_at,) if at is not None]
        waits += [drain_until - time.monotonic()] if drain_until else []
        waits += [tick] if tick is not None else []
        return max(0.0, min(waits)) if waits else None

    def _close(self) -> None:
        _ALIVE.discard(self)
        with self._lock:
            self._ended = True
            self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._stdin, self._stdout, self._stderr, self._status, self._awake, self._wake):
            os.close(pipe)


def kill_all() -> None:
    """End every job of this server, and what jobs have left."""
    give_up = time.monotonic() + OBEY_SECONDS + 1
    while _ALIVE and time.monotonic() < give_up:
        for process in list(_ALIVE):
            process.kill()
        time.sleep(0.005)
    NURSERY.end_orphans()


def end_marked(arn: str) -> None:
    """Send SIGKILL to every process whose environment says that it is a job's: where nobody adopts orphans."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if arn and arn in map(process.environ().get, MARKS):
                process.kill()

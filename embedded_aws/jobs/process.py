"""One job's process group as the server sees it: output as it comes, a deadline, SIGKILL, an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Mapping

from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.nursery import NURSERY

KILLED = 128 + signal.SIGKILL
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
        self._ended = False
        _ALIVE.add(self)

    def terminate(self, *, grace: float) -> None:
        """Send the whole group SIGKILL ``grace`` seconds from now."""
        with self._lock:
            if self._kill_at is None and not self._ended:
                self._kill_at = time.monotonic() + grace
                with contextlib.suppress(OSError):
                    os.write(self._stdin, b"T")

    def kill(self) -> None:
        """Send every process of the group SIGKILL."""
        with self._lock:
            if not self._ended:
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
            for pipe in (*pipes, self._status):
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(self._patience(on_tick(), drain_until)):
                    chunk = os.read(key.fd, 65536)
                    if not chunk:
                        selector.unregister(key.fd)
                    if key.fd != self._status:
                        on_output(pipes[key.fd], chunk)
                    elif chunk:
                        heard += chunk
                    else:
                        # The supervisor is gone: whatever is left of its group goes now. A process that left the
                        # group may hold the pipes open, so the rest of the output has one second to come.
                        self.kill()
                        self._ended = True  # its id may soon belong to somebody else
                        drain_until = time.monotonic() + 1
                if drain_until and time.monotonic() > drain_until:
                    break
                if self._kill_at and time.monotonic() >= self._kill_at:
                    self.kill()
        self._close()
        _, found, code = heard.partition(b"E")
        return int(code) if found else KILLED

    def _patience(self, tick: float | None, drain_until: float | None) -> float | None:
        waits = [at - time.monotonic() for at in (self._kill_at, drain_until) if at is not None]
        waits += [tick] if tick is not None else []
        return max(0.0, min(waits)) if waits else None

    def _close(self) -> None:
        _ALIVE.discard(self)
        with self._lock:
            self._ended = True
            self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._stdin, self._stdout, self._stderr, self._status):
            os.close(pipe)


def kill_all() -> None:
    """Kill every job of this server."""
    for process in list(_ALIVE):
        process.kill()

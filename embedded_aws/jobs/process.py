"""One job's process group as the server sees it: output as it comes, a deadline, SIGTERM, SIGKILL, an exit code."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUPERVISOR = Path(__file__).with_name("supervisor.py")
KILLED = 128 + signal.SIGKILL
_ALIVE: set[JobProcess] = set()


class JobProcess:
    """A script under its supervisor, in a session of its own.

    Parameters
    ----------
    command : list of str
        The script's command line; the first item is an absolute path.
    cwd, env
        Folder and whole environment of the script.
    start : callable
        Calls a function where the process belongs: in the job's network namespace, if it has one.
    """

    def __init__(
        self,
        command: list[str],
        *,
        cwd: Path,
        env: dict[str, str],
        start: Callable[[Callable[[], Any]], Any] = lambda function: function(),
    ) -> None:
        self._status, status = os.pipe()
        try:
            self._process: subprocess.Popen[bytes] = start(
                lambda: subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SUPERVISOR), str(status), *command],
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(status,),
                    start_new_session=True,
                    bufsize=0,
                )
            )
        except OSError:
            os.close(self._status)
            raise
        finally:
            os.close(status)
        self._lock = threading.Lock()
        self._kill_at: float | None = None
        self._ended = False
        _ALIVE.add(self)

    def terminate(self, *, grace: float) -> None:
        """Send the script SIGTERM now and the whole group SIGKILL ``grace`` seconds later."""
        with self._lock:
            if self._kill_at is None and not self._ended:
                self._kill_at = time.monotonic() + grace
                with contextlib.suppress(OSError):
                    os.write(self._process.stdin.fileno(), b"T")

    def kill(self) -> None:
        """Send every process of the group SIGKILL."""
        with self._lock:
            if not self._ended:
                # EPERM is macOS's answer for a group in which only the dead leader is left.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

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
        pipes = {self._process.stdout.fileno(): "stdout", self._process.stderr.fileno(): "stderr"}
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
        with self._lock:
            self._ended = True  # from here on the process id may belong to somebody else
        _ALIVE.discard(self)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()
        os.close(self._status)


def kill_all() -> None:
    """Kill every job of this server."""
    for process in list(_ALIVE):
        process.kill()

"""Fork server, seen from the server: one that runs in the environment that the next job asks for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from embedded_aws import settings
from embedded_aws.jobs.forkserver import MESSAGE

FORK_SERVER = Path(__file__).with_name("forkserver.py")
FORK_SECONDS = 60.0  # for a fork, the first of which waits for imports
ORPHAN_SECONDS = 2.0  # for processes that have been sent SIGKILL


class ForkServer:
    """The process of ``forkserver.py`` in an environment; it ends with this object, or with this process.

    Parameters
    ----------
    environment : mapping
        Its whole environment: what libraries read when they are imported is what these say.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(FORK_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(FORK_SERVER), str(theirs.fileno()), *settings.read().preload],
                cwd="/",
                # pyarrow's allocator would start a thread, and a fork takes along no thread.
                env={**self.environment, "JE_ARROW_MALLOC_CONF": "background_thread:false"},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def fork(self, pipes: Sequence[int]) -> int:
        """Return the id of a new supervisor, which has these pipes.

        Raises
        ------
        OSError
            If the fork server is gone, or does not answer.
        """
        try:
            socket.send_fds(self._channel, [MESSAGE], pipes)
            answer = self._channel.recv(8)
        except ConnectionError:
            answer = b""
        if not answer:
            raise ConnectionResetError("no Python starts in the environment that the job asks for")
        return int.from_bytes(answer)

    def close(self) -> None:
        """Let it end; jobs that it has forked go on."""
        self._channel.close()
        self._process.kill()
        self._process.wait(FORK_SECONDS)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid


class Nursery:
    """Has a fork server running for the environment that was asked for last, from the first job on."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        self._supervisors: set[int] = set()
        self._lock = threading.Lock()

    def fork(self, environment: Mapping[str, str], pipes: Sequence[int]) -> int:
        """Return the id of a new supervisor, forked in this environment; see :meth:`ForkServer.fork`."""
        with self._lock:
            server = self._standing(environment)
            try:
                supervisor = server.fork(pipes)
            except OSError:  # it was killed, perhaps
                server.close()
                self._server = None
                supervisor = self._standing(environment).fork(pipes)
            self._supervisors.add(supervisor)
            return supervisor

    def leave(self, supervisor: int) -> None:
        """Forget a supervisor that ends, and wait until it is gone: its children have another parent then."""
        give_up = time.monotonic() + ORPHAN_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < give_up:
                with contextlib.suppress(ChildProcessError):  # it is this process's if its fork server was killed
                    os.waitpid(supervisor, os.WNOHANG)
                os.kill(supervisor, 0)
                time.sleep(0.0005)
        self._supervisors.discard(supervisor)

    def end_orphans(self) -> None:
        """Send SIGKILL to the processes that jobs have left whose supervisor was killed, so that nobody ended them.

        They are this process's children, as it is a child subreaper, too. Its other children are of its own session,
        but for fork servers, and supervisors whose fork server was killed.
        """
        give_up = time.monotonic() + ORPHAN_SECONDS
        while time.monotonic() < give_up and (orphans := self._orphans()):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.001)

    def _orphans(self) -> list[int]:
        with self._lock:
            spared = {*self._supervisors.copy(), *([self._server.pid] if self._server else [])}
            children = {child.pid for child in psutil.Process().children()} - spared
            orphans = []
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    if os.getsid(pid) != os.getsid(0):
                        orphans.append(pid)
            return orphans

    def prepare(self, environment: Mapping[str, str]) -> None:
        """Begin to import what a job with this environment will need."""
        with self._lock:
            self._standing(environment)

    def close(self) -> None:
        """Let the fork server end; the next fork has another."""
        with self._lock:
            if self._server:
                self._server.close()
                self._server = None

    def _standing(self, environment: Mapping[str, str]) -> ForkServer:
        if self._server and self._server.environment != environment:
            self._server.close()
            self._server = None
        self._server = self._server or ForkServer(environment)
        return self._server


NURSERY = Nursery()

"""The fork server as the embedded AWS sees it: one that runs in the environment that the next job asks for."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedded_aws.jobs.forkserver import MESSAGE

FORK_SERVER = Path(__file__).with_name("forkserver.py")
FORK_SECONDS = 60.0  # for a fork, the first of which waits for imports


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
                [sys.executable, str(FORK_SERVER), str(theirs.fileno())],
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
        self._process.wait()


class Nursery:
    """Has a fork server running for the environment that was asked for last, from the first job on."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        self._lock = threading.Lock()

    def fork(self, environment: Mapping[str, str], pipes: Sequence[int]) -> int:
        """Return the id of a new supervisor, forked in this environment; see :meth:`ForkServer.fork`."""
        with self._lock:
            server = self._standing(environment)
            try:
                return server.fork(pipes)
            except OSError:  # it was killed, perhaps
                server.close()
                self._server = None
                return self._standing(environment).fork(pipes)

    def prepare(self, environment: Mapping[str, str]) -> None:
        """Begin to import what a job with this environment will need."""
        with self._lock:
            self._standing(environment)

    def _standing(self, environment: Mapping[str, str]) -> ForkServer:
        if self._server and self._server.environment != environment:
            self._server.close()
            self._server = None
        self._server = self._server or ForkServer(environment)
        return self._server


NURSERY = Nursery()

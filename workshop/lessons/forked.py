"""Forked kernels: notebooks that run in a row start from one process, in which the libraries are imported once.

A kernel that starts as usual imports for seconds what the kernel before it has imported, too. Where a process can be
forked safely (Linux), a kernel here is a fork of such a process; it is the same ipykernel, reached in the same way.

Runs as ``python -m workshop.lessons.forked SOCKET_FD [MODULE...]`` until the other end of the socket is closed. A
message on it, JSON with a descriptor, makes a kernel, which has the descriptor open as long as it lives; the answer is
its process id.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

NAME, LAUNCHER, PARENT = "forked", "ipykernel_launcher", "JPY_PARENT_PID"
LONGEST = 1 << 20  # bytes of a message: an environment, above all
# What lessons import and takes long. No module that chooses matplotlib's backend: a kernel does that.
LIBRARIES = (
    "IPython.core.interactiveshell", "boto3", "flwr.client", "flwr.server", "imblearn.over_sampling",
    "ipykernel.kernelapp", "matplotlib.figure", "pandas", "rich.progress", "sklearn.linear_model", "sklearn.metrics",
    "sklearn.model_selection", "sklearn.pipeline",
)  # fmt: skip


def use(*more: str) -> None:
    """Fork the kernels that this process starts from now on, where that can be done.

    Parameters
    ----------
    more : str
        Modules besides ``LIBRARIES`` that the lessons import.
    """
    if sys.platform.startswith("linux"):
        factory = KernelProvisionerFactory.instance()
        value = f"{__name__}:ForkedProvisioner"
        factory.provisioners[NAME] = EntryPoint(NAME, value, KernelProvisionerFactory.GROUP_NAME)
        factory.default_provisioner_name = NAME
        _server(*more)  # imports while this process goes on


class ForkedProvisioner(LocalProvisioner):
    """Starts a kernel on this machine by a fork."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel of a command line ``python ... -m ipykernel_launcher ARGUMENTS``."""
        if LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        self.cwd = kwargs.get("cwd")
        self.process = Forked(cmd[cmd.index(LAUNCHER) + 1 :], cwd=self.cwd, environment=kwargs["env"])
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class Forked:
    """A forked kernel, with what ``subprocess.Popen`` has of it; its exit code is not known, and told as 0."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], *, cwd: str | None, environment: dict[str, str]) -> None:
        self._alive, theirs = os.pipe()
        message = json.dumps([arguments, cwd, environment]).encode()
        channel = _server()
        try:
            socket.send_fds(channel, [len(message).to_bytes(4)], [theirs])
            channel.sendall(message)
            self.pid = int.from_bytes(channel.recv(4, socket.MSG_WAITALL))
        finally:
            os.close(theirs)
        if not self.pid:
            raise ChildProcessError("the process from which kernels are forked has ended")

    def poll(self) -> int | None:
        """Return None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end."""
        return 0 if select.select([self._alive], [], [], timeout)[0] else None

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._alive)


_running: list[socket.socket] = []


def _server(*more: str) -> socket.socket:
    """Start the process that forks, once; it ends with this one, whose end of the socket is closed then."""
    if _running:
        return _running[0]
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), *more]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
    atexit.register(process.wait, 10)
    atexit.register(ours.close)
    _running.append(ours)
    return ours


def main(channel: socket.socket, more: Sequence[str] = ()) -> None:
    """Import the libraries, then fork a kernel for every message."""
    # What is imported reads these at once: a kernel draws inline, and ends with its parent.
    os.environ |= {"MPLBACKEND": "module://matplotlib_inline.backend_inline", PARENT: str(os.getpid())}
    # pandas asks how wide a page is.
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)  # pyright: ignore[reportAttributeAccessIssue]
    for library in (*LIBRARIES, *more):
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    del builtins.get_ipython  # pyright: ignore[reportAttributeAccessIssue]
    from workshop.aws import accounts

    accounts.preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels are nobody's zombies
    while True:
        size, descriptors, _, _ = socket.recv_fds(channel, 4, 1)
        if not size:
            return
        arguments, cwd, environment = json.loads(channel.recv(int.from_bytes(size), socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            channel.close()
            _be_a_kernel(arguments, cwd, environment)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(pid.to_bytes(4))


def _be_a_kernel(arguments: list[str], cwd: str | None, environment: dict[str, str]) -> None:
    """Be a kernel, in a session and an environment of its own."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment | {PARENT: str(os.getppid())})
    if cwd:
        os.chdir(cwd)
    sys.argv = [LAUNCHER, *arguments]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=arguments)
    atexit._run_exitfuncs()  # temporary folders go then
    os._exit(0)  # taking the libraries apart would take a second


if __name__ == "__main__":
    del sys.path[0]  # the folder in which it was started: no kernel's
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])

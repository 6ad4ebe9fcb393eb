"""System calls for network namespaces without names: made and entered by threads, held by file descriptors.

A namespace lives as long as a descriptor or a process holds it. The kernel takes it away, with all its devices, when
the embedded AWS ends in whatever way: there is nothing to clean up, and no name that another instance could have.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x40000000
COMMAND_SECONDS = 60  # for a command of iproute2 or nftables
T = TypeVar("T")


class NamespacesError(Exception):
    """This machine cannot do it, or a command failed; says which and why."""


def missing() -> str | None:
    """Name what this machine lacks for network namespaces, or None."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's; use --network gateway here"
    if os.geteuid() != 0:
        return "network namespaces need root; use --network gateway, or run as root"
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"network namespaces need the command {tool} (packages iproute2 and nftables)"
    try:
        probe = Namespace()
    except NamespacesError as error:
        return str(error)
    try:
        probe.run(["nft", "-f", "-"], "table inet probe {\n chain c {\n  ct state established accept\n }\n}\n")
    except NamespacesError as error:
        return f"network namespaces need nft with connection tracking: {error}"
    finally:
        probe.close()
    return None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def enter(descriptor: int) -> None:
    """Take the calling thread, and what it starts, into a namespace.

    Raises
    ------
    NamespacesError
        If the kernel refuses.
    """
    if _libc().setns(descriptor, CLONE_NEWNET) != 0:
        raise NamespacesError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")


class Namespace:
    """A network of its own, with its loopback up and nothing else in it."""

    def __init__(self) -> None:
        self.descriptor = _in_thread(self._make)
        self.run(["ip", "link", "set", "lo", "up"])

    @staticmethod
    def _make() -> int:
        if _libc().unshare(CLONE_NEWNET) != 0:
            raise NamespacesError(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        """Where other processes of this machine find it."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside; sockets that it opens and processes that it starts stay there."""

        def inside() -> T:
            enter(self.descriptor)
            return function()

        return _in_thread(inside)

    def run(self, command: list[str], text: str = "") -> str:
        """Run a command inside and return what it prints.

        Raises
        ------
        NamespacesError
            If it fails; with what it says.
        """
        about = {"input": text, "capture_output": True, "text": True, "timeout": COMMAND_SECONDS}
        try:
            done = self.call(lambda: subprocess.run(command, check=False, **about))
        except subprocess.TimeoutExpired as error:
            raise NamespacesError(f"`{' '.join(command)}` did not end within {COMMAND_SECONDS} s") from error
        if done.returncode != 0:
            raise NamespacesError(f"`{' '.join(command)}` failed: {done.stderr.strip()[:500]}")
        return done.stdout

    def ip(self, lines: list[str], *, keep_going: bool = False) -> None:
        """Do several commands of iproute2."""
        if lines:
            self.run(["ip", *(["-force"] if keep_going else []), "-batch", "-"], "\n".join(lines) + "\n")

    def switch(self, **settings: int) -> None:
        """Set switches of this namespace's IPv4, such as ``ip_forward=1``; ``__`` stands for a slash."""

        def write() -> None:
            for name, value in settings.items():
                # /proc/sys/net shows the namespace of the thread that opens it.
                (Path("/proc/sys/net/ipv4") / name.replace("__", "/")).write_text(str(value))

        self.call(write)

    def close(self) -> None:
        """Let go; the kernel removes it when no process is left in it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own: a namespace belongs to a thread, and this one goes with it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]

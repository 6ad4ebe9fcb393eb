"""Network attachment of one job's process: what the proxy and the namespaces both hand out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from embedded_aws.network.model import Balancer
from embedded_aws.network.reachability import Verdict


def _nothing() -> None:
    pass


Serve = Callable[[socket.socket], Callable[[], None]]  # serves the embedded AWS at a socket; returns how to end that


@dataclass(frozen=True)
class Way:
    """Variables for the process, a descriptor of its network namespace if any, and what to do when it has ended."""

    environment: Mapping[str, str] = field(default_factory=dict)
    namespace: int | None = None
    leave: Callable[[], None] = _nothing


class NoSuchNetwork(Exception):
    """A job's subnets or security groups that lead nowhere, in AWS's words."""


@dataclass(frozen=True)
class Line:
    """One job's connection to the network."""

    way: Way
    service: Callable[[str], Verdict | None]  # of the job's interface; None without one
    unplug: Callable[[], None]


class Wires(Protocol):
    """The gateway, or the namespaces.

    ``path`` names the namespace in which the server's commands run, None for the one they are in.
    """

    path: str | None

    def start(self, serve: Serve, port: int) -> None:
        """Begin; the embedded AWS answers at ``port`` of 127.0.0.1, wherever ``serve`` is given a socket for it."""

    def admit(self, name: str, source: str | None, *, why_not: str = "", aws: bool = True) -> Way:
        """Let a job in that has a network interface, or none and the reason why it reaches nothing."""

    def balance(self, source: str, balancer: Balancer | None) -> None:
        """Have a load balancer listen at its network interface; None when it is gone."""

    def listeners(self, port: int) -> list[socket.socket]:
        """Return sockets at a port of 127.0.0.1, wherever else than on this machine somebody may ask there."""

    def close(self) -> None:
        """Leave nothing behind."""

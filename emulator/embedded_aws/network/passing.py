"""Load balancer in a network namespace: it listens at its own address, and passes each connection on to a pod.

Who may connect to which pod is decided as everywhere (``reachability``), by the address that the connection comes from;
on its last stretch it is made inside the pod's own namespace.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address

from embedded_aws.network.model import Balancer, Interface, Snapshot
from embedded_aws.network.netns import Namespace
from embedded_aws.network.reachability import connection

CHUNK = 1 << 16
CONNECT_SECONDS = 5.0


class Passing:
    """A load balancer.

    Parameters
    ----------
    space : Namespace
        Its own.
    source : str
        Its network interface.
    read : callable
        Returns the network's state now.
    spaces : mapping
        Namespaces of pods, by network interface.
    """

    def __init__(
        self, space: Namespace, source: str, read: Callable[[], Snapshot], spaces: Mapping[str, Namespace]
    ) -> None:
        self.space, self.source, self._read, self._spaces = space, source, read, spaces
        self._listeners: dict[int, socket.socket] = {}

    def listen(self, balancer: Balancer) -> None:
        """Listen at the ports of a balancer, and at no others."""
        now = self._read()
        if self.source not in now.interfaces:
            return
        address = str(now.interfaces[self.source].address)
        for port in self._listeners.keys() - balancer.targets.keys():
            self._listeners.pop(port).close()
        for port in balancer.targets.keys() - self._listeners.keys():
            listener = self.space.call(lambda port=port: socket.create_server((address, port), backlog=128))
            self._listeners[port] = listener
            threading.Thread(target=self._accept, args=(listener, port), name="load balancer", daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        for listener in self._listeners.values():
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._listeners.clear()
        self.space.close()

    def _accept(self, listener: socket.socket, port: int) -> None:
        while True:
            try:
                near, (host, _) = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(near, host, port), daemon=True).start()

    def _pass_on(self, near: socket.socket, host: str, port: int) -> None:
        with near:
            now = self._read()
            source = _who(now, now.interfaces.get(self.source), IPv4Address(host))
            if source is None:
                return
            verdict = connection(now, source, now.interfaces[self.source].address, port)
            space = self._spaces.get(verdict.to.id) if verdict.allowed and verdict.to else None
            if space is None or verdict.to is None or verdict.port is None:
                return  # nobody is behind it, or somebody's rules drop it
            where = (str(verdict.to.address), verdict.port)
            try:
                far = space.call(lambda: socket.create_connection(where, timeout=CONNECT_SECONDS))
            except OSError:
                return
            with far:
                far.settimeout(None)
                back = threading.Thread(target=_pipe, args=(far, near), daemon=True)
                back.start()
                _pipe(near, far)
                back.join()


def _who(now: Snapshot, balancer: Interface | None, address: IPv4Address) -> Interface | None:
    """Return whose address it is, as seen from the load balancer's VPC."""
    if balancer is None:
        return None
    matching = [each for each in now.interfaces.values() if address in each.addresses]
    return next((each for each in matching if each.vpc == balancer.vpc or now.are_peered(each.vpc, balancer.vpc)), None)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until their end, which is passed on too."""
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

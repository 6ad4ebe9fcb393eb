"""Network namespaces: wired in the kernel, one per job and per VPC router, one for the server. Root on Linux only.

A job's process then sees its own interface and nothing else: no internet, no loopback of this machine, only what
routes, peerings and security groups let through. Wiring follows the state of the emulated EC2: it is compared ten times
a second, and whenever a job comes or goes; only differences are applied, so that connections go on across changes that
do not concern them. (Comparing costs a millisecond or two; so no API call has to tell, and none can be forgotten.)

They keep a job's connections in, not a hostile root: a job is a process of the same user, who may enter any namespace.

The embedded AWS answers at 127.0.0.1 inside the namespaces too: its sockets there are opened by threads that stand in
them. The host's namespace is not touched: no device, route, filter rule or switch of it changes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from embedded_aws.network.flows import Flows
from embedded_aws.network.model import Balancer, Interface, Snapshot
from embedded_aws.network.netns import Namespace, NamespacesError
from embedded_aws.network.passing import Passing
from embedded_aws.network.plan import ACCEPTER, FIRST_TABLE, REQUESTER, ROUTER, Devices, Plan, plan
from embedded_aws.network.way import Serve, Way

LOOK_SECONDS = 0.1  # sooner than a notebook instance is in service
RETRY_SECONDS = 2.0  # after a failure: one line in the log for each
log = logging.getLogger(__name__)


@dataclass
class Router:
    """The router of one VPC."""

    space: Namespace = field(default_factory=Namespace)
    interfaces: dict[str, str] = field(default_factory=dict)  # devices by interface
    peerings: dict[str, str] = field(default_factory=dict)  # devices by peering
    tables: dict[str, int] = field(default_factory=dict)  # numbers by subnet
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.space.switch(ip_forward=1, conf__all__rp_filter=0, conf__default__rp_filter=0)

    def follow(self, wanted: Plan) -> None:
        """Apply what differs from the plan before."""
        if wanted.filter != self.plan.filter:
            self.space.run(["nft", "-f", "-"], wanted.filter)
        self.space.ip([f"route replace {route}" for route in sorted(wanted.routes - self.plan.routes)])
        self.space.ip([f"rule add {rule}" for rule in sorted(wanted.rules - self.plan.rules)])
        # What hung on a device that is gone, or was replaced, is gone already.
        gone = [f"route del {route}" for route in sorted(self.plan.routes - wanted.routes)]
        gone += [f"rule del {rule}" for rule in sorted(self.plan.rules - wanted.rules)]
        with contextlib.suppress(NamespacesError):
            self.space.ip(gone, keep_going=True)
        self.plan = wanted


class Namespaces:
    """Keeps the wiring as the state of the network says.

    Parameters
    ----------
    read : callable
        Returns the network's state now.
    host_of : callable
        Returns where an interface's ports are if that is this machine: the server's.
    seen : Flows
        Counts nothing: who reached whom is the kernel's business.
    """

    def __init__(self, read: Callable[[], Snapshot], host_of: Callable[[Interface], str | None], seen: Flows) -> None:
        self._read, self._host_of = read, host_of
        self.server: Namespace | None = None
        self._jobs: dict[str, Namespace] = {}  # by network interface
        self._balancers: dict[str, Passing] = {}  # by network interface
        self._routers: dict[str, Router] = {}  # by VPC
        self._plugged: dict[str, Interface] = {}
        self._seen: Snapshot | None = None
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def start(self, serve: Serve, port: int) -> None:
        """Make the server's namespace, and follow the state from now on."""
        self._serve, self._port = serve, port
        self.server = Namespace()
        self._serve_in(self.server)
        threading.Thread(target=self._look_again, name="namespaces", daemon=True).start()

    @property
    def path(self) -> str:
        """Where the server's namespace is found."""
        return self.server.path

    def admit(self, name: str, source: str | None, *, why_not: str = "", aws: bool = True) -> Way:
        """Make a job's namespace; see :class:`embedded_aws.network.way.Wires`."""
        space = Namespace()
        now = self._read()
        if source is not None and source in now.interfaces:
            # Which services they are for is the gate's business; without any, there is nothing to talk to.
            aws = aws and any(endpoint.vpc == now.interfaces[source].vpc for endpoint in now.endpoints.values())
        stop = self._serve_in(space) if aws else None

        def leave() -> None:
            if stop:
                stop()
            with self._lock:
                self._jobs.pop(source, None)
            self._follow()
            space.close()

        try:
            if source is not None:
                with self._lock:
                    self._jobs[source] = space
                self._follow()
        except BaseException:
            leave()
            raise
        return Way({"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}, space.descriptor, leave)

    def balance(self, source: str, balancer: Balancer | None) -> None:
        """Have a load balancer listen in a namespace of its own; it passes connections on to the pods behind it."""
        with self._lock:
            standing = self._balancers.get(source)
            if balancer is None:
                self._jobs.pop(source, None)
                if self._balancers.pop(source, None) and standing:
                    standing.close()
            elif standing is None:
                space = Namespace()
                self._jobs[source] = space
                standing = self._balancers[source] = Passing(space, source, self._read, self._jobs)
        self._follow()
        if balancer is not None and standing is not None:
            standing.listen(balancer)

    def listeners(self, port: int) -> list[socket.socket]:
        """Return a socket at the port in the server's namespace, where the commands of people run."""
        return [self.server.call(lambda: socket.create_server(("127.0.0.1", port), backlog=64))] if self.server else []

    def close(self) -> None:
        """Let go of every namespace; the kernel removes them with their devices."""
        self._ended.set()
        with self._lock:
            for space in [self.server, *self._jobs.values(), *(router.space for router in self._routers.values())]:
                if space:
                    space.close()

    def _serve_in(self, space: Namespace) -> Callable[[], None]:
        return self._serve(space.call(lambda: socket.create_server(("127.0.0.1", self._port), backlog=128)))

    def _look_again(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._follow()
            except Exception:
                log.exception("the network namespaces do not follow the state of EC2")
                self._ended.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            now = self._read()
            wanted = self._wanted(now)
            if now == self._seen and wanted == self._plugged:
                return
            for name, was in list(self._plugged.items()):
                if name not in wanted or _place(wanted[name]) != _place(was):
                    self._unplug(was)
            for name in wanted.keys() - self._plugged.keys():
                self._plug(wanted[name])
            self._plugged = wanted
            self._peer(now)
            for vpc, router in list(self._routers.items()):
                if router.interfaces:
                    router.follow(plan(now, vpc, Devices(router.interfaces, router.peerings), router.tables))
                else:
                    router.space.close()
                    del self._routers[vpc]
            self._seen = now

    def _wanted(self, now: Snapshot) -> dict[str, Interface]:
        return {
            name: interface
            for name, interface in now.interfaces.items()
            if name in self._jobs or self._host_of(interface)
        }

    def _plug(self, interface: Interface) -> None:
        """Connect an interface with the router of its VPC by a pair of virtual cables' ends."""
        space = self._jobs.get(interface.id, self.server)
        router = self._routers.get(interface.vpc) or self._routers.setdefault(interface.vpc, Router())
        router.tables.setdefault(interface.subnet, FIRST_TABLE + len(router.tables))
        number = next(self._numbers)
        outside, inside = f"i{number}", f"eth{number}"
        router.space.ip(
            [
                f"link add {outside} type veth peer name {inside} netns {space.path}",
                f"addr add {ROUTER}/32 dev {outside}",
                f"link set {outside} up",
            ]
        )
        router.interfaces[interface.id] = outside
        self._plugged[interface.id] = interface
        space.ip(
            [
                *(f"addr add {address}/32 dev {inside}" for address in interface.addresses),
                f"link set {inside} up",
                f"route add default via {ROUTER} dev {inside} onlink metric {number + 1}",
                # Of several interfaces, an answer leaves by the one that was asked.
                f"route add default via {ROUTER} dev {inside} onlink table {FIRST_TABLE + number}",
                *(f"rule add from {address} lookup {FIRST_TABLE + number}" for address in interface.addresses),
            ]
        )

    def _unplug(self, interface: Interface) -> None:
        router = self._routers[interface.vpc]
        device = router.interfaces.pop(interface.id)
        del self._plugged[interface.id]
        with contextlib.suppress(NamespacesError):  # gone with its other end
            router.space.ip([f"link del {device}"])

    def _peer(self, now: Snapshot) -> None:
        """Connect the routers of VPCs that an active peering connects, and no others."""
        active = {
            name: peering
            for name, peering in now.peerings.items()
            if peering.state == "active" and {peering.requester, peering.accepter} <= {*self._occupied()}
        }
        for router in self._routers.values():
            for name in router.peerings.keys() - active.keys():
                with contextlib.suppress(NamespacesError):
                    router.space.ip([f"link del {router.peerings[name]}"])
                del router.peerings[name]
        for name, peering in active.items():
            requester, accepter = self._routers[peering.requester], self._routers[peering.accepter]
            if name in requester.peerings:
                continue
            device = f"p{next(self._numbers)}"
            requester.space.ip([f"link add {device} type veth peer name {device} netns {accepter.space.path}"])
            for router, address in ((requester, REQUESTER), (accepter, ACCEPTER)):
                router.space.ip([f"addr add {address}/32 dev {device}", f"link set {device} up"])
                router.peerings[name] = device

    def _occupied(self) -> list[str]:
        return [vpc for vpc, router in self._routers.items() if router.interfaces]


def _place(interface: Interface) -> tuple[object, ...]:
    """Return what the wiring of an interface depends on; its security groups are the router's business."""
    return interface.vpc, interface.subnet, interface.addresses

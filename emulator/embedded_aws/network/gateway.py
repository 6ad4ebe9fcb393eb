"""HTTP CONNECT proxy: the one way out of a job where no root is needed, which decides as AWS's network would.

A job gets a user and a password of its own in the proxy's URL; that is how the gateway knows from which network
interface a connection comes. What AWS would drop gets no answer at all, and is looked at again when TCP would send its
SYN again: a route that appears in time still helps. What AWS would deliver to an interface of the server's account
arrives at the same port of this machine's loopback, where the notebook's Flower server listens.

It asks a client to follow the proxy variables, as gRPC, boto3, pip and curl do. What opens sockets by itself is not
held back here; in network namespaces it is.

An established connection depends on routes, peerings and interfaces only (see ``reachability.still_routed``). When one
of them goes, its bytes stop, in both directions and without a word, until it is back or somebody gives up: they are
looked at every half second. A security group's rule that goes leaves an established connection alone. On AWS that
holds for tracked connections; one that rules for 0.0.0.0/0 and all ports let through in both directions is not tracked,
and would stop at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import AddressValueError, IPv4Address

from embedded_aws.network.flows import Connection, Flows
from embedded_aws.network.model import Balancer, Interface, Snapshot
from embedded_aws.network.reachability import Verdict, connection, still_routed
from embedded_aws.network.way import Serve, Way

HOST = "127.0.0.1"
LOOK_SECONDS = 0.5
SYN_SECONDS = (1, 2, 4, 8, 16, 32, 64)  # Linux' waits between one SYN and the next; then connect() gives up
CHUNK = 1 << 16


@dataclass(frozen=True)
class Guest:
    """A job that may ask for connections."""

    name: str
    source: str | None  # its network interface; None: it has none
    why_not: str  # what it is told if it has none
    flows: set[Established] = field(default_factory=set, compare=False)


@dataclass(eq=False)
class Established:
    """A connection that has come about."""

    connection: Connection
    to: Interface
    task: asyncio.Task[None]
    passes: asyncio.Event = field(default_factory=asyncio.Event)


class Gateway:
    """Listens on loopback for all jobs.

    Parameters
    ----------
    read : callable
        Returns the network's state now.
    host_of : callable
        Returns the address of this machine at which an interface's ports are; None where they are not this machine's.
    seen : Flows
        Counts what the interfaces see.
    """

    path = None

    def __init__(self, read: Callable[[], Snapshot], host_of: Callable[[Interface], str | None], seen: Flows) -> None:
        self._read, self._host_of, self._seen = read, host_of, seen
        self._guests: dict[str, Guest] = {}  # by password
        self._loop = asyncio.new_event_loop()
        self._background: set[asyncio.Task[None]] = set()
        self.port = 0

    def start(self, serve: Serve, port: int) -> None:
        """Listen, in a thread that lasts as long as this process."""
        threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def admit(self, name: str, source: str | None, *, why_not: str = "", aws: bool = True) -> Way:
        """Let a job in; its HTTP and gRPC clients are led here by variables.

        Parameters
        ----------
        name : str
            Of the job.
        source : str or None
            The id of its network interface.
        why_not : str
            Why it reaches nothing, if it has none.
        aws : bool
            Whether it reaches the embedded AWS; here nothing can keep a process from loopback.
        """
        password = secrets.token_hex(16)
        self._guests[password] = Guest(name, source, why_not)
        url = f"http://{name}:{password}@{HOST}:{self.port}"
        names = ("grpc_proxy", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        # Past the gateway goes what speaks HTTP with the embedded AWS. gRPC has nothing to say to this machine's
        # loopback: in a container on AWS that would be the container's own.
        past = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost") | {"no_grpc_proxy": "none.invalid"}
        return Way(dict.fromkeys(names, url) | past, leave=lambda: self._forget(password))

    def balance(self, source: str, balancer: Balancer | None) -> None:
        """Nothing to do: who asks for a load balancer's address is led to a pod behind it."""

    def listeners(self, port: int) -> list[socket.socket]:
        """Return nothing: everybody is on this machine."""
        return []

    def close(self) -> None:
        """Nothing is left: the gateway's thread ends with the process."""

    def _forget(self, password: str) -> None:
        if guest := self._guests.pop(password, None):
            self._loop.call_soon_threadsafe(lambda: [flow.task.cancel() for flow in list(guest.flows)])

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, HOST, 0, limit=CHUNK)
        self.port = server.sockets[0].getsockname()[1]
        self._background.add(asyncio.create_task(self._look_again()))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                request, *headers = head.decode("latin-1").split("\r\n")
                guest = self._guest(headers)
                if guest is None:
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
                    await writer.drain()
                else:
                    await self._connect(guest, request.split(" "), reader, writer)
            finally:
                writer.close()

    def _guest(self, headers: list[str]) -> Guest | None:
        for header in headers:
            name, _, value = header.partition(":")
            if name.lower() == "proxy-authorization":
                with contextlib.suppress(ValueError):
                    user, _, password = base64.b64decode(value.split()[-1]).decode().partition(":")
                    guest = self._guests.get(password)
                    return guest if guest and guest.name == user else None
        return None

    async def _connect(
        self, guest: Guest, request: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target = request[0], request[1] if len(request) > 1 else ""
        if method != "CONNECT":  # plain HTTP: nothing here speaks it but AWS, which no proxy stands before
            target = target.split("/")[2] if target.count("/") > 1 else target
        host, _, port = target.rpartition(":") if ":" in target else (target, ":", "80")
        local_port = writer.get_extra_info("peername")[1]  # as good a source port as any
        way = await self._wait_for_way(guest, host, port, local_port, reader)
        if way is None:
            return
        connection, verdict = way
        try:
            there = self._host_of(verdict.to) if verdict.to else None
            if verdict.to is None or there is None or method != "CONNECT":
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(there, verdict.port or int(port), limit=CHUNK)
        except OSError:
            writer.write(b"HTTP/1.1 502 Connection refused\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        flow = Established(connection, verdict.to, asyncio.current_task())
        flow.passes.set()
        guest.flows.add(flow)
        try:
            forward = partial(self._seen.data, connection, verdict.to, back=False)
            back = partial(self._seen.data, connection, verdict.to, back=True)
            await asyncio.gather(_pipe(reader, far_writer, flow, forward), _pipe(far_reader, writer, flow, back))
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            guest.flows.discard(flow)
            far_writer.transport.abort()

    async def _wait_for_way(
        self, guest: Guest, host: str, port: str, local_port: int, reader: asyncio.StreamReader
    ) -> tuple[Connection | None, Verdict] | None:
        """Return what was asked for as soon as there is a way; None when who asks gives up, or TCP would."""
        given_up = asyncio.ensure_future(reader.read(1))
        try:
            for wait in (*SYN_SECONDS, 0):
                source, verdict = self._judge(guest, host, port)
                connection = _connection(source, local_port, host, port)
                if connection:
                    self._seen.syn(connection, verdict)
                if verdict.allowed:
                    return connection, verdict
                done, _ = await asyncio.wait([given_up], timeout=wait)
                if done:
                    return None
        finally:
            await _cancelled(given_up)
        return None

    def _judge(self, guest: Guest, host: str, port: str) -> tuple[Interface | None, Verdict]:
        if guest.source is None:
            return None, Verdict(False, guest.why_not)
        snapshot = self._read()
        source = snapshot.interfaces.get(guest.source)
        if source is None:
            return None, Verdict(False, f"{guest.source} of job {guest.name} does not exist any more")
        try:
            address = IPv4Address(host)
            if address.is_loopback:
                return source, Verdict(True, f"{host} is the job's own loopback, where nothing listens")
            return source, connection(snapshot, source, address, int(port))
        except (AddressValueError, ValueError):
            return source, Verdict(False, f"{host} is a name of the internet, and there is no way to the internet")

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            flows = [flow for guest in list(self._guests.values()) for flow in guest.flows]
            if not flows:
                continue
            snapshot = self._read()
            for flow in flows:
                if still_routed(snapshot, flow.connection.source, flow.connection.target).allowed:
                    flow.passes.set()
                else:
                    flow.passes.clear()


def _connection(source: Interface | None, local_port: int, host: str, port: str) -> Connection | None:
    """Return what the network sees of a wish; a name's packets, and a loopback's, do not come so far."""
    try:
        address = IPv4Address(host)
        return Connection(source, local_port, address, int(port)) if source and not address.is_loopback else None
    except ValueError:
        return None


async def _cancelled(task: asyncio.Future[bytes]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await task


async def _pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Established, count: Callable[[int], None]
) -> None:
    """Pass bytes on until their end or a reset, which are passed on too; nobody reads ahead of a slow reader."""
    try:
        while data := await reader.read(CHUNK):
            await flow.passes.wait()
            count(len(data))
            writer.write(data)
            await writer.drain()
        await flow.passes.wait()
        writer.write_eof()
    except OSError:  # who was killed with unread bytes resets the connection
        writer.transport.abort()

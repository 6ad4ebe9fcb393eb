"""Server address and port: what clients dial, and where the server listens."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import grpc

from client_code.connection import BOTH_ENDS
from workshop.errors import FederationError, NotThisMachine
from workshop.federation.seats import Seats
from workshop.federation.tls import Certificates
from workshop.federation.transport import (
    ClientMessage,
    FlowerServiceServicer,
    GrpcBridge,
    GrpcClientProxy,
    ServerMessage,
    add_FlowerServiceServicer_to_server,
)

SPARE_CONNECTIONS = 32  # for those who come back while their old connection is still open, and for strangers
OPTIONS = [
    *BOTH_ENDS,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # clients ask every 20 s
    ("grpc.so_reuseport", 0),  # two servers at one port would share the clients
]


class Place(NamedTuple):
    """Where the server is: the address that clients dial, and the one that it listens at."""

    address: str
    listen: str


def place(host: str, port: int = 0, *, forwarded: bool = True) -> Place:
    """Find the server's place; port 0 lets the machine choose a free one.

    Parameters
    ----------
    host : str
        The address in the VPC of the machine that the server stands for, its notebook instance's.
    forwarded : bool
        Whether calls to that address arrive at this machine's loopback where the address is not its own: the embedded
        AWS brings them. AWS does not.

    Raises
    ------
    NotThisMachine
        If the address is another machine's.
    FederationError
        If the port is taken.
    """
    here = host
    with socket.socket() as probe:
        # As Flower's own socket: connections of an earlier run that are still closing do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                probe.bind((host, port))
            except OSError as error:
                if not forwarded or error.errno != errno.EADDRNOTAVAIL:
                    raise
                here = "127.0.0.1"
                probe.bind((here, port))
        except OSError as error:
            failure = f"cannot listen at {here}:{port} ({error.strerror})"
            if error.errno == errno.EADDRNOTAVAIL:
                raise NotThisMachine(
                    f"{failure}: not an address of this machine: run this on the server's notebook instance. If it is "
                    "this one, its address has changed over a stop: its owner runs `python -m workshop upload server`, "
                    "then run 00_start_here again"
                ) from error
            taken = "another program listens there: end it, or run 02_connect_accounts with another PORT"
            raise FederationError(
                f"{failure}: {taken if error.errno == errno.EADDRINUSE else 'choose another'}"
            ) from error
        taken = probe.getsockname()[1]
    return Place(f"{host}:{taken}", f"{here}:{taken}")


class _Connection(GrpcClientProxy):
    """A client's connection, which this side can cut."""

    def __init__(self, cid: str, bridge: GrpcBridge, cancel: Callable[[], object]) -> None:
        super().__init__(cid, bridge)
        self.cancel = cancel


class _Service(FlowerServiceServicer):
    """Flower's service, whose connections can be ended by this side also while an answer is awaited."""

    def Join(self, request_iterator: Iterator[ClientMessage], context: grpc.ServicerContext) -> Iterator[ServerMessage]:
        def proxy(cid: str, bridge: GrpcBridge) -> GrpcClientProxy:
            return _Connection(cid, bridge, context.cancel)

        yield from FlowerServiceServicer(self.client_manager, grpc_client_proxy_factory=proxy).Join(
            request_iterator, context
        )


@contextlib.contextmanager
def listening(listen: str, seats: Seats, certificates: Certificates) -> Iterator[None]:
    """Serve Flower's gRPC service at ``host:port`` while the block runs; then say good-bye and close the port.

    Raises
    ------
    FederationError
        If the port has been taken meanwhile.
    """
    # What strangers do to a connection is told by the seats, in one line each; gRPC would print tracebacks.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    n_connections = 2 * len(seats.all_seats) + SPARE_CONNECTIONS
    server = grpc.server(
        ThreadPoolExecutor(max_workers=n_connections), options=OPTIONS, maximum_concurrent_rpcs=n_connections
    )
    add_FlowerServiceServicer_to_server(_Service(seats), server)
    try:
        server.add_secure_port(listen, grpc.ssl_server_credentials([(certificates.server_key, certificates.server)]))
    except RuntimeError as error:
        raise FederationError(f"cannot listen at {listen}: another program has taken the port meanwhile") from error
    server.start()
    try:
        yield
    finally:
        seats.close()
        server.stop(grace=0.5).wait(timeout=5)

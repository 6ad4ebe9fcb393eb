"""A client's wait for the server, by gRPC and TLS, straight and through the gateway's proxy."""

from __future__ import annotations

import datetime
import importlib
import socket
import sys
import time
from concurrent import futures
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import grpc
import pytest

from embedded_aws.network.flows import Flows
from embedded_aws.network.gateway import HOST, Gateway
from embedded_aws.network.model import LOCAL, Group, Interface, Route, RouteTable, Rule, Snapshot, Subnet, Vpc
from workshop.federation import tls

ADDRESS, ALL = "10.0.0.5", IPv4Network("0.0.0.0/0")
RANGE = IPv4Network("10.0.0.0/24")
STATE = Snapshot(
    vpcs={"vpc": Vpc("vpc", "111122223333", (RANGE,))},
    subnets={"subnet": Subnet("subnet", "vpc", "111122223333", RANGE)},
    tables={"rtb": RouteTable("rtb", "vpc", True, frozenset(), (Route(RANGE, LOCAL),))},
    groups={"sg": Group("sg", "111122223333", "vpc", (Rule(cidr=ALL),), (Rule(cidr=ALL),))},
    interfaces={
        name: Interface(name, "111122223333", "vpc", "subnet", (IPv4Address(address),), ("sg",))
        for name, address in (("job", "10.0.0.4"), ("server", ADDRESS))
    },
)


@pytest.fixture(scope="module")
def client():
    """Return connection.py as a job imports it."""
    folder = str(Path(__file__).parents[2] / "client_code")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("connection")
    finally:
        sys.path.remove(folder)


def wait(client, address, *, deadline, root_certificates):
    with client.dial(address, root_certificates) as channel:
        client.wait_for_server(channel, address, deadline=deadline)


@pytest.fixture
def proxied(monkeypatch):
    """Lead this process' gRPC through a gateway, as a job's."""
    gateway = Gateway(lambda: STATE, lambda one: HOST if one.id == "server" else None, Flows(lambda records: None))
    gateway.start(lambda at: lambda: None, 0)
    for name, value in gateway.admit("job", "job").environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def serve():
    """Return a function that starts a gRPC server on loopback and returns its port."""
    servers = []

    def start(certificates):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        pair = [(certificates.server_key, certificates.server)]
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair))
        server.start()
        servers.append(server)
        return port

    yield start
    for server in servers:
        server.stop(None)


def test_the_wait_ends_when_the_server_answers(client, proxied, serve):
    certificates = tls.make_certificates(ADDRESS)
    wait(client, f"{ADDRESS}:{serve(certificates)}", deadline=5, root_certificates=certificates.authority)


def test_the_wait_needs_no_proxy(client, serve):
    certificates = tls.make_certificates("127.0.0.1")
    wait(client, f"127.0.0.1:{serve(certificates)}", deadline=5, root_certificates=certificates.authority)


def test_a_jobs_loopback_is_its_own(client, proxied, serve):
    certificates = tls.make_certificates("127.0.0.1")
    with pytest.raises(client.ServerError, match="connection refused"):
        wait(client, f"127.0.0.1:{serve(certificates)}", deadline=1, root_certificates=certificates.authority)


def test_a_stranger_with_another_authority_is_told_at_once(client, proxied, serve):
    port, mine = serve(tls.make_certificates(ADDRESS)), tls.make_certificates(ADDRESS)
    started = time.monotonic()
    with pytest.raises(
        client.ServerError, match="a certificate that is not signed by the authority this job was given"
    ):
        wait(client, f"{ADDRESS}:{port}", deadline=30, root_certificates=mine.authority)
    assert time.monotonic() - started < 5


def test_a_certificate_for_another_address_is_told_at_once(client, proxied, serve):
    # TLS is checked end to end: against the server's address in its VPC, not against the gateway's.
    certificates = tls.make_certificates("10.0.0.77")
    with pytest.raises(client.ServerError, match="or for another address"):
        wait(client, f"{ADDRESS}:{serve(certificates)}", deadline=30, root_certificates=certificates.authority)


@pytest.mark.parametrize(("days", "told"), [(30, "is not valid yet"), (-40, "is not valid any more")])
def test_a_certificate_that_is_out_of_date_is_told_with_the_clock(client, proxied, serve, days, told):
    moment = datetime.datetime.now(datetime.UTC)
    certificates = tls.make_certificates(ADDRESS, now=moment + datetime.timedelta(days=days))
    address = f"{ADDRESS}:{serve(certificates)}"
    with pytest.raises(client.ServerError, match="compare the clocks of the server's machine and this one's") as failed:
        wait(client, address, deadline=30, root_certificates=certificates.authority)
    assert f"the certificate of the server at {address} {told} by this job's clock ({moment:%Y-%m-%d} " in str(
        failed.value
    )
    assert "not signed" not in str(failed.value)


@pytest.mark.parametrize(
    ("host", "told"), [(ADDRESS, "connection refused"), ("127.0.0.1", "connection refused"), ("10.0.0.9", "no answer")]
)
def test_a_server_that_does_not_come_is_named_with_the_time_and_what_to_check(client, proxied, host, told):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(client.ServerError) as failed:
        wait(client, f"{host}:{port}", deadline=1, root_certificates=tls.make_certificates(host).authority)
    assert str(failed.value) == (
        f"no Flower server at {host}:{port} within 1 s ({told}): is the server's notebook running, and do routes, "
        "peering and security groups let this subnet reach it?"
    )


def test_a_server_that_comes_late_is_found(client, proxied, serve):
    certificates = tls.make_certificates(ADDRESS)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    server = grpc.server(futures.ThreadPoolExecutor(2))
    with futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait, client, f"{ADDRESS}:{port}", deadline=20, root_certificates=certificates.authority)
        assert not futures.wait([waiting], timeout=1).done  # it keeps asking
        credentials = grpc.ssl_server_credentials([(certificates.server_key, certificates.server)])
        server.add_secure_port(f"127.0.0.1:{port}", credentials)
        server.start()
        waiting.result(10)
    server.stop(None)

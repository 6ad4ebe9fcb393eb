"""A world of VPCs on an embedded AWS, once behind the gateway and once in network namespaces."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import moto.ec2.urls
import network_world
import probing
import probing_desk
import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends
from network_world import World
from networks import Networks
from probing_desk import Desk

from embedded_aws import control
from embedded_aws.network import netns
from embedded_aws.services.ec2 import network as ec2


@dataclass
class Live:
    """A running embedded AWS with the world in it."""

    mode: str
    aws: Any
    process: subprocess.Popen[bytes]
    world: World
    namespace: str | None  # of the server
    desks: dict[str, Desk] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)  # of the jobs that knock

    @property
    def listens_at(self) -> str:
        """Where the server's notebook listens."""
        return "127.0.0.1" if self.namespace is None else "10.0.0.10"

    def desk(self, account: str) -> Desk:
        """Return what starts jobs in an account."""
        if account not in self.desks:
            self.desks[account] = probing_desk.open_desk(self.aws.session(account), account)
        return self.desks[account]

    def records(self, account: str) -> list[list[str]]:
        """Return the fields of every record in an account's flow log."""
        logs = self.aws.session(account).client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=network_world.FLOW_LOG)
        return [event["message"].split() for page in pages for event in page["events"]]


def _live(mode: str, serve_aws: Any, home: Path) -> Iterator[Live]:
    process, aws = serve_aws(home, EMBEDDED_AWS_NETWORK=mode)
    try:
        port, other, closed = probing.free_ports(3)
        world = network_world.build(aws.session, port=port, other=other, closed=closed)
        namespace = json.loads(control.Files(home).record.read_text()).get("namespace")
        if namespace:  # the wiring follows the state within a tenth of a second
            wired = lambda: "10.0.0.10" in probing.inside(namespace, probing.addresses)  # noqa: E731
            probing_desk.until(wired, "the server's interface does not appear")
        yield Live(mode, aws, process, world, namespace)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def mended_ec2() -> Iterator[None]:
    """Put the mended EC2 in the place of moto's, in this very process."""
    before, paths = ec2_backends.backend, moto.ec2.urls.url_paths
    ec2.install(None)
    yield
    ec2_backends.backend, moto.ec2.urls.url_paths = before, paths
    ec2_backends.clear()


@pytest.fixture
def networks(mended_ec2) -> Iterator[Networks]:
    """Return empty networks of the server and four clients, in this very process."""
    with mock_aws():
        yield Networks()


@pytest.fixture(scope="module", params=["gateway", "namespaces"])
def live(request, serve_aws, tmp_path_factory) -> Iterator[Live]:
    """Return the world on an embedded AWS, in one mode after the other."""
    if request.param == "namespaces" and (lacking := netns.missing()):
        pytest.skip(lacking)
    yield from _live(request.param, serve_aws, tmp_path_factory.mktemp(request.param))

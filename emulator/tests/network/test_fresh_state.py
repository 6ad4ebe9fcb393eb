"""The network's state is read once for all who ask, and again after whatever has changed it."""

import pytest

from embedded_aws import accounts
from embedded_aws.network.flows import Flows
from embedded_aws.network.model import Snapshot
from embedded_aws.services.ec2 import interfaces, snapshot, switchboard

REGION = accounts.REGION


class NoWires:
    def __init__(self, read, host_of, seen: Flows) -> None:
        self.read = read


@pytest.fixture
def readings(monkeypatch):
    """Return a switchboard, and the list of its readings."""
    made: list[Snapshot] = []
    read = snapshot.read
    monkeypatch.setattr(snapshot, "read", lambda region: made.append(read(region)) or made[-1])
    monkeypatch.setattr(switchboard, "FRESH_SECONDS", 3600.0)
    return switchboard.Switchboard(NoWires), made


def test_who_asks_again_is_told_the_same(readings):
    board, made = readings
    board.snapshot()
    board.snapshot()
    assert len(made) == 1
    snapshot.changed()
    board.snapshot()
    assert len(made) == 2


def test_an_interface_of_a_service_s_own_is_there_at_once_and_gone_at_once(networks, readings):
    board, _ = readings
    subnet = networks.subnet("server", networks.vpc("server", "10.0.0.0/16"), "10.0.0.0/24")
    backend = interfaces.ec2_backends[accounts.FIRST][REGION]
    board.snapshot()
    made = interfaces.make(backend, subnet, [], note="a service's")
    assert made.id in board.snapshot().interfaces
    interfaces.drop(backend, made.id)
    assert made.id not in board.snapshot().interfaces


def test_what_nobody_has_told_of_is_seen_after_a_while(readings, monkeypatch):
    board, made = readings
    monkeypatch.setattr(switchboard, "FRESH_SECONDS", 0.0)
    board.snapshot()
    board.snapshot()
    assert len(made) == 2

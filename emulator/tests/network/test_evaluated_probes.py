"""The table of probes, asked of the evaluator on the state that the same API calls make in moto."""

from __future__ import annotations

from ipaddress import IPv4Address

import network_world
import pytest
from moto import mock_aws
from network_world import ACCOUNTS, JOBS, PROBES, REGION, session

from embedded_aws.network import reachability
from embedded_aws.services.ec2 import interfaces, snapshot


@pytest.fixture(scope="module")
def state(mended_ec2):
    """Return the world's ids, its snapshot, and the interface of each job."""
    with mock_aws():
        world = network_world.build(session, port=8080, other=8081, closed=8082)
        enis = {
            name: interfaces.attach(
                world.vpc_config(job), account=ACCOUNTS[job.account], region=REGION, job_arn=f"arn:job/{name}"
            )
            for name, job in JOBS.items()
            if job.subnet and not job.isolated
        }
        return world, snapshot.read(REGION), enis


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe[0]}-{probe[1]}-{probe[2]}")
def test_the_evaluator_gives_the_verdict_of_the_table(state, probe):
    (world, now, enis), (job, target, outcome, reason) = state, probe
    if job not in enis:
        pytest.skip("has no interface: the gateway's business")
    host, port = world.target(target)
    verdict = reachability.connection(now, now.interfaces[enis[job]], IPv4Address(host), port)
    assert (verdict.allowed, reason in verdict.reason) == (outcome != "dropped", True), verdict.reason


def test_the_server_reaches_no_job(state):
    _, now, enis = state
    server = next(one for one in now.interfaces.values() if str(one.address) == "10.0.0.10")
    verdict = reachability.connection(now, server, now.interfaces[enis["good"]].address, 8080)
    assert not verdict.allowed
    assert "no egress rule" in verdict.reason


def test_a_jobs_interface_says_whose_it_is_and_has_an_address_of_its_subnet(state):
    world, now, enis = state
    made = now.interfaces[enis["good"]]
    assert made.note.endswith("arn:job/good")
    assert made.is_job
    assert made.address in now.subnets[world.subnets["client-1", "routed"]].cidr
    assert made.groups == (world.groups["client-1", "to-server"],)


def test_no_two_interfaces_share_an_address_in_a_vpc(state):
    _, now, _ = state
    taken = [(one.vpc, address) for one in now.interfaces.values() for address in one.addresses]
    assert len(taken) == len(set(taken))


def test_a_peering_of_overlapping_vpcs_has_failed_as_on_aws(state):
    world, now, _ = state
    states = {client: now.peerings[name].state for client, name in world.peerings.items()}
    assert states == {
        "client-1": "active",
        "client-2": "active",
        "client-3": "failed",
        "client-4": "pending-acceptance",
    }

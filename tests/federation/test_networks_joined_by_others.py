"""Networks that the platform teams have routed to each other (``Way=routed``): the kit opens one port, and no more.

A peering that the teams make stands for their transit gateway, of which the embedded AWS has none.
"""

import pytest

from workshop.aws import peering
from workshop.aws.choices import Choices
from workshop.lessons import rehearsal
from workshop.owners import doctor


@pytest.fixture(scope="module")
def stage(own_accounts):
    own_accounts(1)
    stage = rehearsal.connect_accounts(n_clients=1, choices=Choices(parameters={"Way": "routed"}))
    yield stage
    rehearsal.clean_up(stage)


def test_the_kit_makes_no_peering_and_the_doctor_misses_the_routes(stage):
    for session in stage.sessions.values():
        assert not session.client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]
    (line,) = peering.table(stage.sessions, stage.accounts.outputs).to_dict("records")
    assert line == {
        "peering": None, "route there": False, "route back": False, "job may call": True, "server listens": True,
    }  # fmt: skip
    found = doctor.examine(stage.accounts)
    assert set(found[~found["ok"]]["checked"]) == {"route there", "route back"}
    assert set(found[~found["ok"]]["remedy"]) == {"ask the platform teams for a route between the two networks"}


def test_a_federation_trains_over_the_teams_routes(stage):
    outputs = {name: stage.accounts.outputs[name]["fl-network"] for name in stage.sessions}
    server, client = (stage.sessions[name].client("ec2") for name in ("server", "client-1"))
    pcx = server.create_vpc_peering_connection(
        VpcId=outputs["server"]["VpcId"], PeerVpcId=outputs["client-1"]["VpcId"], PeerOwnerId=stage.clients[0].account
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    client.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for name, ec2 in (("server", server), ("client-1", client)):
        ec2.create_route(
            RouteTableId=outputs[name]["RouteTableId"], DestinationCidrBlock="10.80.0.0/16", VpcPeeringConnectionId=pcx
        )
    assert doctor.examine(stage.accounts)["ok"].all()
    result, _ = rehearsal.federate(stage, rounds=1)
    assert [entry.round for entry in result.history] == [1]
    server.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for name, ec2 in (("server", server), ("client-1", client)):
        ec2.delete_route(RouteTableId=outputs[name]["RouteTableId"], DestinationCidrBlock="10.80.0.0/16")

"""All stacks of all accounts are made and deleted again and again; failures in between leave nothing that stays."""

import contextlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from workshop.aws import agreement, blueprint, cleanup, deployment, peering, stacks
from workshop.aws.members import Members
from workshop.aws.stacks import Stack
from workshop.aws.steps import placements
from workshop.errors import AgreementError, StackError
from workshop.owners import doctor

IMAGE = "x.dkr.ecr.us-east-1.amazonaws.com/image:1"

NOBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def sessions(own_accounts):
    return own_accounts(2)


@pytest.fixture
def federation(sessions):
    yield deployment.meet(sessions, network="10.80.0.0/16")
    cleanup.delete_all(sessions)


def test_three_times_in_a_row_nothing_is_left(sessions):
    for _ in range(3):
        federation = deployment.meet(sessions, network="10.80.0.0/16")
        first = deployment.deploy(federation)
        assert set(first["did"]) == {"created"}
        assert set(deployment.deploy(federation)["did"]) == {"unchanged"}
        assert len(cleanup.left_over(sessions)) > 50
        deleted = cleanup.delete_all(sessions)
        assert deleted["stacks"].sum() == len(first)
        assert cleanup.left_over(sessions).empty
        assert not cleanup.delete_all(sessions).to_numpy().any()


def test_the_kit_is_sent_once_and_its_progress_told(sessions, federation, tmp_path, monkeypatch):
    kit = tmp_path / "kit.tar"
    kit.write_bytes(bytes(24_000_000))
    monkeypatch.setattr(deployment.bundle, "KIT", kit)
    monkeypatch.setattr(blueprint, "_kit_digest", lambda: deployment.bundle.sha256(kit))
    told = []
    deployment.deploy(federation, progress=lambda place, *line: told.append(line))
    sent = [line for line in told if "of the kit" in line[0]]
    assert sent[-1] == ("24 of 24 MB of the kit are sent", 24, 24)
    assert 3 <= len(sent) <= 10
    bucket = federation.outputs["server"]["fl-storage"]["Bucket"]
    s3 = sessions["server"].client("s3")
    assert s3.get_object(Bucket=bucket, Key=deployment.KIT)["Body"].read() == kit.read_bytes()
    told.clear()
    deployment.deploy(federation, progress=lambda place, *line: told.append(line))
    assert not [line for line in told if "of the kit" in line[0]]


def test_a_kit_that_does_not_arrive_is_told_with_what_was_sent(sessions, federation, tmp_path, monkeypatch):
    kit = tmp_path / "kit.tar"
    kit.write_bytes(bytes(1000))
    monkeypatch.setattr(deployment.bundle, "KIT", kit)
    deployment.deploy(federation)
    monkeypatch.setattr(blueprint, "_kit_digest", lambda: deployment.bundle.sha256(kit))
    bucket = federation.outputs["server"]["fl-storage"]["Bucket"]
    policy = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/bundle/*",
    }
    s3 = sessions["server"].client("s3")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    with pytest.raises(StackError, match=r"did not get the kit, 0 MB were sent: .*AccessDenied"):
        deployment.deploy(federation)


def test_a_resource_that_cannot_be_made_is_named_with_a_remedy_and_the_rest_can_be_deleted(sessions, federation):
    iam = sessions["client-2"].client("iam")
    iam.create_role(RoleName="FL-kickoff-client-job", AssumeRolePolicyDocument=json.dumps(NOBODY))
    with pytest.raises(StackError) as error:
        deployment.deploy(federation)
    told = str(error.value)
    assert "account client-2, stack fl-client-access: KickoffRole (AWS::IAM::Role)" in told
    assert "already exists" in told
    assert "delete it, or rename what made it" in told
    left = cleanup.delete_all(sessions)
    assert left["stacks"].sum() > 10
    assert cleanup.left_over(sessions).to_numpy().tolist() == [["client-2", "role", "FL-kickoff-client-job"]]
    iam.delete_role(RoleName="FL-kickoff-client-job")
    assert set(deployment.deploy(federation)["did"]) == {"created"}


def test_what_one_account_does_not_delete_holds_up_no_other(sessions, federation):
    deployment.deploy(federation)
    iam, role = sessions["client-1"].client("iam"), "FL-client-job-execution"
    by_hand = iam.create_policy(
        PolicyName="by-hand", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
        }),
    )["Policy"]["Arn"]  # fmt: skip
    iam.attach_role_policy(RoleName=role, PolicyArn=by_hand)
    with pytest.raises(StackError, match=f"account client-1, stack fl-client-job: .*{role}"):
        cleanup.delete_all(sessions)
    left = cleanup.left_over(sessions)
    assert set(left["account"]) == {"client-1"}
    assert {"fl-client-job", "fl-network"} <= set(left["name"])
    iam.detach_role_policy(RoleName=role, PolicyArn=by_hand)
    iam.delete_policy(PolicyArn=by_hand)
    cleanup.delete_all(sessions)
    assert cleanup.left_over(sessions).empty


def test_after_a_failed_attempt_the_same_cell_goes_on_where_it_stopped(sessions, federation):
    iam = sessions["client-1"].client("iam")
    iam.create_role(RoleName="FL-accept-peering", AssumeRolePolicyDocument=json.dumps(NOBODY))
    with pytest.raises(StackError, match="client-1, stack fl-peering-accepter"):
        deployment.deploy(federation)
    iam.delete_role(RoleName="FL-accept-peering")
    did = deployment.deploy(federation)["did"]
    assert did["client-1", "fl-network"] == "unchanged"
    assert did["client-1", "fl-peering-accepter"] == "created"


def test_a_changed_agreement_is_shown_as_a_change_set_before_it_is_made(sessions, federation):
    deployment.deploy(federation)
    shown = []
    federation.agreed.__dict__["port"] = 9000
    did = deployment.deploy(federation, review=lambda place, changes: shown.append((place.account, changes)))
    assert set(did["did"]) == {"changed", "unchanged"}
    by_server = [change for account, changes in shown if account == "server" for change in changes]
    assert {(change.action, change.resource) for change in by_server} == {("Modify", "ClientMayCall")}
    assert peering.table(sessions, federation.outputs).drop(columns="peering").to_numpy().all()


def test_a_change_that_is_not_wanted_is_not_made(sessions, federation):
    deployment.deploy(federation, blueprint.NETWORKS[:2])
    stack = deployment.stack_of(federation, next(placements(blueprint.NETWORKS[0], ["server"])))
    changed = Stack(stack.template, "server", {"ArtefactDays": "7"})

    def refuse(changes):
        assert [change.resource for change in changes] == ["Bucket"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stacks.deploy(sessions["server"], changed, review=refuse)
    assert stacks.deploy(sessions["server"], stack).did == "unchanged"
    assert stacks.deploy(sessions["server"], changed).did == "changed"


def test_addresses_that_overlap_are_refused_before_anything_is_created(sessions):
    ids = {"server": "1", "client-1": "2"}
    agreed = agreement.Agreement(ids, {"server": "10.0.0.0/24", "client-1": "10.0.0.128/25"}, 8080, "", "", {})
    with pytest.raises(AgreementError, match=r"server \(10\.0\.0\.0/24\) and client-1 \(10\.0\.0\.128/25\) overlap"):
        agreement.check(agreed)
    for network in ("8.8.0.0/16", "10.0.0.0/24", "10.0.0.1/16", "ten"):
        with pytest.raises(AgreementError, match="NETWORK"):
            agreement.agree(ids, network=network, requester="")
    with pytest.raises(AgreementError, match="server and client-1 are both account 1"):
        agreement.agree({"server": "1", "client-1": "1"}, network="10.0.0.0/16", requester="")
    assert cleanup.left_over(sessions).empty


def examined(federation, image=IMAGE):
    return doctor.examine(federation, image=image)


def wrong(findings):
    return sorted((of, line["checked"]) for of, line in findings.iterrows() if not line["ok"])


def test_the_doctor_names_each_thing_that_is_wrong_and_what_to_do(sessions, federation):
    deployment.deploy(federation)
    for name, session in sessions.items():
        session.client("s3").put_object(Bucket=federation.outputs[name]["fl-storage"]["Bucket"], Key="data/x", Body=b"")
    assert wrong(examined(federation)) == []

    ec2, mine = sessions["client-1"].client("ec2"), federation.outputs["client-1"]["fl-network"]
    theirs = federation.outputs["server"]["fl-network"]["VpcCidr"]
    route = {"RouteTableId": mine["RouteTableId"], "DestinationCidrBlock": theirs}
    ec2.delete_route(**route)
    findings = examined(federation)
    assert wrong(findings) == [("client-1", "route there")]
    (remedy,) = findings[~findings["ok"]]["remedy"]
    assert remedy == "deploy fl-peering-routes in the client's account"
    ec2.create_route(**route, VpcPeeringConnectionId=federation.outputs["server"]["fl-peering-client-1"]["PeeringId"])

    (endpoint,) = ec2.describe_vpc_endpoints(
        Filters=[{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    )["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    findings = examined(federation)
    assert wrong(findings) == [("client-1", "AWS's services")]
    assert "missing: s3" in findings[~findings["ok"]]["found"].iloc[0]

    stacks.delete(sessions["client-2"], "fl-client-access", account="client-2")
    assert {("client-2", "kick-off role"), ("client-2", "stacks")} <= set(wrong(examined(federation)))
    sessions["server"].client("s3").delete_object(
        Bucket=federation.outputs["server"]["fl-storage"]["Bucket"], Key="data/x"
    )
    assert ("server", "own bucket") in wrong(examined(federation))
    assert ("all", "training image") in wrong(examined(federation, "x.dkr.ecr.eu-west-1.amazonaws.com/image:1"))
    mixed = Members({**sessions, "client-2": sessions["client-1"]}, federation.agreed, federation.outputs)
    assert {("client-2", "account"), ("all", "accounts differ")} <= set(wrong(examined(mixed)))


def write_record(session, action, *, ago=0.0, port=8080):
    """Write what a flow log would: client-1's job calls the server."""
    logs, now = session.client("logs"), time.time() - ago
    record = f"2 1 eni-1 10.80.1.9 10.80.0.5 40000 {port} 6 1 60 {now - 1:.0f} {now:.0f} {action} OK"
    stream = {"logGroupName": "/fl/flow-log", "logStreamName": "eni-1-all"}
    with contextlib.suppress(ClientError):
        logs.create_log_stream(**stream)
    logs.put_log_events(**stream, logEvents=[{"timestamp": int(1000 * now), "message": record}])


def test_the_doctor_says_at_which_interface_packets_were_refused(sessions, federation):
    deployment.deploy(federation)
    network, port = federation.outputs["server"]["fl-network"], federation.agreed.port
    assert federation.agreed.cidrs["server"] == "10.80.0.0/24"
    assert federation.agreed.cidrs["client-1"] == "10.80.1.0/24"
    packets = lambda: examined(federation).query("checked == 'packets'").loc["client-1"]  # noqa: E731
    assert packets()["found"] == "no refusal in the flow logs of the last hour, so far"
    write_record(sessions["client-1"], "ACCEPT", ago=60, port=port)
    write_record(sessions["server"], "REJECT", ago=59, port=port)
    line = packets()
    assert line["found"] == f"REJECT 10.80.1.9 → 10.80.0.5:{port} seen at server's interface eni-1"
    assert line["ok"]  # the door is open by now
    ec2 = sessions["server"].client("ec2")
    ports = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    rule = {**ports, "IpRanges": [{"CidrIp": "10.80.1.0/24"}]}
    ec2.revoke_security_group_ingress(GroupId=network["FederationGroupId"], IpPermissions=[rule])
    line = packets()
    assert (line["ok"], line["remedy"]) == (False, "deploy fl-peering for this client in the server's account")
    write_record(sessions["server"], "ACCEPT", port=port)  # a later packet came in
    assert packets()["found"].startswith("no refusal")
    ec2.authorize_security_group_ingress(GroupId=network["FederationGroupId"], IpPermissions=[rule])


def test_requests_and_connections_of_others_do_not_hold_a_clients_network(sessions, federation):
    deployment.deploy(federation)
    stranger, mine = sessions["client-1"].client("ec2"), federation.outputs["client-2"]["fl-network"]["VpcId"]
    vpc = stranger.create_vpc(CidrBlock="10.90.0.0/24")["Vpc"]["VpcId"]
    named = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "Name", "Value": "fl-mine"}]}]
    asked = stranger.create_vpc_peering_connection(
        VpcId=vpc, PeerVpcId=mine, PeerOwnerId=federation.ids["client-2"], TagSpecifications=named
    )
    about = {"VpcPeeringConnectionIds": [asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]]}
    alone = {"client-2": sessions["client-2"]}
    cleanup.delete_all(alone)  # the server's stack of the peering still stands
    assert cleanup.left_over(alone).empty
    (told,) = stranger.describe_vpc_peering_connections(**about)["VpcPeeringConnections"]
    assert told["Status"]["Code"] == "rejected"
    stranger.delete_vpc(VpcId=vpc)


@pytest.mark.parametrize("alone", ["server", "client-1"])
def test_the_doctor_looks_at_the_half_of_an_owner_who_is_alone(sessions, federation, alone):
    deployment.deploy(federation)
    mine = Members({alone: sessions[alone]}, federation.agreed, federation.outputs)
    found = examined(mine)
    assert wrong(found) == [(alone, "own bucket")]
    seen = {"server": {"route back", "server listens"}, "client-1": {"route there", "job may call"}}
    both = set().union(*seen.values())
    assert (
        set(found.loc["client-1" if alone == "client-1" else ["client-1", "client-2"], "checked"]) & both == seen[alone]
    )

    peering_id = federation.outputs["server"]["fl-peering-client-1"]["PeeringId"]
    sessions["server"].client("ec2").delete_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    line = examined(mine).query("checked == 'peering' and of == 'client-1'")
    assert line["ok"].tolist() == [False]
    assert line["found"].tolist() == ["deleted"]


def test_the_doctor_says_what_an_owner_who_has_just_begun_still_has_to_do(sessions, federation):
    deployment.deploy(federation, blueprint.NETWORKS[:2])
    found = examined(Members({"client-1": sessions["client-1"]}, federation.agreed, {n: {} for n in federation.ids}))
    line = found.loc["client-1"].set_index("checked").loc["stacks"]
    assert line["found"].startswith("missing: fl-client-job")
    assert "workshop deploy client-1" in line["remedy"]
    assert ("client-1", "own bucket") in wrong(found)


def test_the_doctor_names_a_port_that_is_taken(sessions, federation):
    import socket

    deployment.deploy(federation)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        federation.agreed.__dict__["port"] = taken.getsockname()[1]
        findings = examined(federation)
    assert ("server", "port") in wrong(findings)
    assert "another program listens there" in findings.loc["server"].set_index("checked").loc["port", "found"]

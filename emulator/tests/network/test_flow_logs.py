"""Flow log records: the default format, the interval, which flow logs get them, and which roles may write.

Expected values: AWS, VPC user guide, "Flow log records" (fields of version 2), "Publish flow logs to CloudWatch Logs".
"""

import json
import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from moto.ec2.models import ec2_backends
from moto.logs.models import logs_backends
from network_world import ACCOUNTS, REGION, session

from embedded_aws.network.flows import FIRST_SECONDS, INTERVAL, Connection, Flow, Flows, Record, seen_of_syn
from embedded_aws.network.model import Interface
from embedded_aws.network.reachability import Stage, Verdict
from embedded_aws.services.ec2 import flow_logs

JOB = Interface("eni-job", "444455556666", "vpc-c", "subnet-c", (IPv4Address("10.1.0.9"),), ("sg-c",))
SERVER = Interface("eni-server", "111122223333", "vpc-s", "subnet-s", (IPv4Address("10.0.0.5"),), ("sg-s",))
ASKED = Connection(JOB, 40000, SERVER.address, 8080)
THERE, BACK = (40000, 8080), (8080, 40000)
DEFAULT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)


def test_a_record_has_the_fields_of_the_default_format_in_their_order():
    record = Record(ASKED.there(JOB, "REJECT"), 1_700_000_000.7, packets=3, bytes=180, end=1_700_000_007.2)
    expected = "2 444455556666 eni-job 10.1.0.9 10.0.0.5 40000 8080 6 3 180 1700000000 1700000007 REJECT OK"
    assert flow_logs.line(DEFAULT, record) == expected
    assert flow_logs.line("${action} ${pkt-srcaddr} ${dstport}", record) == "REJECT - 8080"


@pytest.mark.parametrize(
    ("stage", "to", "seen"),
    [
        (Stage.HELD_BACK, None, {("eni-job", THERE, "REJECT")}),
        (Stage.LOST, None, {("eni-job", THERE, "ACCEPT")}),
        (Stage.TURNED_AWAY, SERVER, {("eni-job", THERE, "ACCEPT"), ("eni-server", THERE, "REJECT")}),
        (
            Stage.NO_WAY_BACK,
            SERVER,
            {("eni-job", THERE, "ACCEPT"), ("eni-server", THERE, "ACCEPT"), ("eni-server", BACK, "ACCEPT")},
        ),
        (Stage.CONNECTED, SERVER, {(eni, way, "ACCEPT") for eni in ("eni-job", "eni-server") for way in (THERE, BACK)}),
    ],
)
def test_where_a_packet_is_seen(stage, to, seen):
    flows = seen_of_syn(ASKED, Verdict(stage is Stage.CONNECTED, to=to, stage=stage))
    assert {(one.interface.id, (one.source_port, one.target_port), one.action) for one in flows} == seen


def test_packets_of_a_flow_are_added_up_over_the_interval():
    now = [1000.0]
    flows = Flows(lambda _: None, clock=lambda: now[0])
    flow = ASKED.there(JOB)
    flows.add(flow, 1, 60)
    assert flows.due() == []
    now[0] += FIRST_SECONDS
    flows.add(flow, 2, 100)
    (first,) = flows.due()
    assert (first.packets, first.bytes, first.start, first.end) == (3, 160, 1000.0, 1000.0 + FIRST_SECONDS)
    flows.add(flow, 1, 60)
    now[0] += INTERVAL - 1
    flows.add(flow, 1, 60)
    assert flows.due() == []
    now[0] += 1
    (second,) = flows.due()
    assert (second.packets, second.bytes) == (2, 120)


def test_flows_are_apart_by_interface_direction_port_and_action():
    now = [1000.0]
    flows = Flows(lambda _: None, clock=lambda: now[0])
    other = replace(ASKED, source_port=40001)
    apart = [ASKED.there(JOB), ASKED.there(SERVER), ASKED.back(JOB), ASKED.there(JOB, "REJECT"), other.there(JOB)]
    for flow in apart:
        flows.add(flow, 1, 60)
    now[0] += FIRST_SECONDS
    assert {record.flow for record in flows.due()} == set(apart)


@pytest.fixture
def place(networks):
    """Return a network with a flow log of everything, written by a role that may; its interface, and its parts."""
    vpc = networks.vpc("server", "10.0.0.0/16")
    subnet, made = networks.subnet("server", vpc, "10.0.0.0/24"), session("server")
    role = made.client("iam").create_role(RoleName="flow", AssumeRolePolicyDocument=trust())["Role"]["Arn"]
    made.client("iam").put_role_policy(RoleName="flow", PolicyName="write", PolicyDocument=allow("logs:*"))
    made.client("logs").create_log_group(logGroupName="flows")
    return Place(networks.ec2("server"), made, vpc, subnet, role)


def trust(service="vpc-flow-logs.amazonaws.com", **more):
    return document({"Principal": {"Service": service}, "Action": "sts:AssumeRole", **more})


def allow(*actions):
    return document({"Action": list(actions), "Resource": "*"})


def document(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


class Place:
    def __init__(self, ec2, made, vpc, subnet, role):
        self.ec2, self.session, self.vpc, self.subnet, self.role = ec2, made, vpc, subnet, role
        self.eni = Interface("eni-0", ACCOUNTS["server"], vpc, subnet, (IPv4Address("10.0.0.9"),), ())

    def log(self, *, of=None, kind="VPC", traffic="ALL", group="flows"):
        request = {"ResourceIds": [of or self.vpc], "ResourceType": kind, "TrafficType": traffic}
        self.ec2.create_flow_logs(LogGroupName=group, DeliverLogsPermissionArn=self.role, **request)

    def deliver(self, *actions):
        there = (IPv4Address("10.0.0.9"), 40000, IPv4Address("10.1.0.5"), 8080)
        flow_logs.deliver([Record(Flow(self.eni, *there, action), time.time()) for action in actions], REGION)

    def written(self, group="flows"):
        streams = logs_backends[ACCOUNTS["server"]][REGION].groups[group].streams
        return {name: [event.message.split()[12] for event in stream.events] for name, stream in streams.items()}

    def status(self):
        (log,) = self.ec2.describe_flow_logs()["FlowLogs"]
        return log["DeliverLogsStatus"], log.get("DeliverLogsErrorMessage")


def test_records_go_to_the_stream_of_their_interface(place):
    place.log()
    place.deliver("ACCEPT", "REJECT")
    assert place.written() == {"eni-0-all": ["ACCEPT", "REJECT"]}
    assert place.status() == ("SUCCESS", None)


@pytest.mark.parametrize(("traffic", "kept"), [("REJECT", ["REJECT"]), ("ACCEPT", ["ACCEPT"])])
def test_a_flow_log_of_one_action_gets_no_other(place, traffic, kept):
    place.log(traffic=traffic)
    place.deliver("ACCEPT", "REJECT")
    assert place.written() == {"eni-0-all": kept}


def test_a_flow_log_of_the_subnet_gets_them_too_and_another_networks_none(place, networks):
    place.log(of=place.subnet, kind="Subnet")
    far = networks.vpc("server", "10.5.0.0/16")
    place.session.client("logs").create_log_group(logGroupName="far")
    place.log(of=far, group="far")
    place.deliver("ACCEPT")
    assert place.written() == {"eni-0-all": ["ACCEPT"]}
    assert place.written("far") == {}


@pytest.mark.parametrize(
    "lacking", ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:DescribeLogGroups"]
)
def test_a_role_without_one_of_the_rights_writes_nothing_and_the_status_says_so(place, lacking):
    place.log()
    has = {"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:DescribeLogGroups"}
    iam = place.session.client("iam")
    iam.put_role_policy(RoleName="flow", PolicyName="write", PolicyDocument=allow(*sorted(has - {lacking})))
    place.deliver("ACCEPT")
    assert place.written() == {}
    assert place.status() == ("FAILED", "Access error")
    iam.put_role_policy(RoleName="flow", PolicyName="write", PolicyDocument=allow(*sorted(has)))
    place.deliver("ACCEPT")
    assert place.status() == ("SUCCESS", None)


@pytest.mark.parametrize(
    "document",
    [
        trust("ec2.amazonaws.com"),
        trust(Condition={"StringEquals": {"aws:SourceAccount": "444455556666"}}),
    ],
)
def test_a_role_that_the_service_may_not_take_writes_nothing(place, document):
    place.log()
    place.session.client("iam").update_assume_role_policy(RoleName="flow", PolicyDocument=document)
    place.deliver("ACCEPT")
    assert (place.written(), place.status()) == ({}, ("FAILED", "Access error"))


def test_a_log_group_that_is_gone_is_an_access_error(place):
    place.log()
    place.session.client("logs").delete_log_group(logGroupName="flows")
    place.deliver("ACCEPT")
    assert place.status() == ("FAILED", "Access error")
    assert "flows" not in logs_backends[ACCOUNTS["server"]][REGION].groups
    assert ec2_backends[ACCOUNTS["server"]][REGION].flow_logs

"""The table of probes, asked by real jobs: through the gateway, and of the kernel."""

from __future__ import annotations

import json
import socket
import time

import pytest
from network_world import JOBS, PROBES, RANGES, RECORDS, route, unroute
from probing import greeting, inside, knocking, talking
from probing_desk import until


@pytest.fixture(scope="module")
def outcomes(live):
    """Let every job of the world knock at every address that the table has for it; return what they print."""
    world, started = live.world, {}
    with greeting(live.namespace, (live.listens_at, world.port), (live.listens_at, world.other)):
        for name, job in JOBS.items():
            targets = {target: world.target(target) for asks, target, _, _ in PROBES if asks == name}
            network = {"VpcConfig": world.vpc_config(job), "EnableNetworkIsolation": job.isolated}
            desk = live.desk(job.account)
            started[name] = (desk, desk.start(knocking(targets), name=f"probe-{name}", **network))
        live.interfaces = interfaces_of(live, started)
        for desk, job in started.values():
            ended = desk.ended(job)
            assert ended["TrainingJobStatus"] == "Completed", ended.get("FailureReason")
    return {name: json.loads(desk.lines(job)[-1]) for name, (desk, job) in started.items()}


def interfaces_of(live, started):
    """Return the interfaces that the jobs have while they run, by job."""
    wanted, there = {name for name in started if JOBS[name].subnet}, {}

    def look():
        time.sleep(0.3)  # they are slow enough as it is
        for account in {JOBS[name].account for name in wanted}:
            for eni in live.world.ec2(account).describe_network_interfaces()["NetworkInterfaces"]:
                there[eni["Description"].rpartition("/probe-")[2]] = eni["NetworkInterfaceId"]
        return wanted <= set(there)

    until(look, "a job has no interface", within=30)
    return there


@pytest.mark.parametrize("probe", [*RECORDS], ids=lambda probe: f"{probe[0]}-{probe[1]}")
def test_the_flow_logs_of_both_ends_say_where_a_packet_was_seen(live, outcomes, probe):
    if live.mode != "gateway":
        pytest.skip("the kernel decides, and keeps no record")
    (job, target), (host, port) = probe, live.world.target(probe[1])

    def seen(account, interface):
        # version account interface source target source-port target-port protocol packets bytes start end action status
        lines = [line for line in live.records(account) if line[2] == interface and line[4:7:2] == [host, str(port)]]
        return {line[12] for line in lines}

    at_job, at_target = RECORDS[probe]
    until(lambda: seen(JOBS[job].account, live.interfaces[job]) == {at_job}, "no such record at the job's", within=15)
    if target.split("'")[0] in live.world.interfaces:
        whose = target.split("'")[0]
        mine = [line for line in live.records(whose) if line[2] == live.world.interfaces[whose] and line[4] == host]
        sources = {line[3] for line in live.records(JOBS[job].account) if line[2] == live.interfaces[job]} - {host}
        there = {line[12] for line in mine if line[3] in sources and line[6] == str(port)}
        assert there == ({at_target} if at_target else set())


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe[0]}-{probe[1]}-{probe[2]}")
def test_a_job_meets_what_the_table_says(live, outcomes, probe):
    job, target, outcome, _ = probe
    # Who has no interface at all learns so from its own kernel; AWS's network answers nothing.
    without = live.mode == "namespaces" and (JOBS[job].isolated or not JOBS[job].subnet)
    assert outcomes[job][target] == ("unreachable" if without else outcome)


def test_the_interfaces_of_ended_jobs_are_gone(live, outcomes):
    give_up = time.monotonic() + 10  # some time after their ends
    while True:
        left = live.world.ec2("client-1").describe_network_interfaces()["NetworkInterfaces"]
        if [one["NetworkInterfaceId"] for one in left] == [live.world.interfaces["client-1"]]:
            return
        assert time.monotonic() < give_up, left
        time.sleep(0.1)


def talk(live, name):
    """Start a job that holds a connection to the server."""
    world, desk = live.world, live.desk("client-1")
    script = talking(*world.target("server"))
    return desk.start(script, name=name, VpcConfig=world.vpc_config(JOBS["good"]))


def stands_still(greeter):
    """Tell whether nothing comes for a second; a job sends a line every 0.02 s."""
    seen, give_up = greeter.lines, time.monotonic() + 1
    while greeter.lines == seen:
        if time.monotonic() > give_up:
            return True
        time.sleep(0.02)
    return False


def moves(greeter):
    """Wait for the next line."""
    seen = greeter.lines
    until(lambda: greeter.lines > seen, "no line comes", within=15)


@pytest.mark.parametrize("account", ["client-1", "server"])  # the way there, and the way back
def test_a_connection_stalls_without_its_route_and_goes_on_with_it(live, account):
    other = {"client-1": "server", "server": "client-1"}[account]
    desk, world = live.desk("client-1"), live.world
    with greeting(live.namespace, (live.listens_at, world.port)) as (greeter,):
        job = talk(live, f"talk-{account}")
        moves(greeter)
        unroute(world, account, RANGES[other])
        seen = desk.describe(job)["TrainingJobStatus"]
        until(lambda: stands_still(greeter), "lines still come")
        assert (seen, desk.describe(job)["TrainingJobStatus"]) == ("InProgress", "InProgress")
        route(world, account, RANGES[other], world.peerings["client-1"])
        moves(greeter)
        desk.client("sagemaker").stop_training_job(TrainingJobName=job)
        desk.ended(job)


def test_a_security_group_rule_that_goes_leaves_a_connection_alone_and_lets_no_new_one_in(live):
    world, desk, server = live.world, live.desk("client-1"), live.world.ec2("server")
    rule = {
        "IpProtocol": "tcp",
        "FromPort": world.port,
        "ToPort": world.port,
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
    }
    change = {"GroupId": world.groups["server", "to-server"], "IpPermissions": [rule]}
    knock = knocking({"server": world.target("server")})
    with greeting(live.namespace, (live.listens_at, world.port)) as (greeter,):
        job = talk(live, "talk-tracked")
        moves(greeter)
        server.revoke_security_group_ingress(**change)
        late = desk.start(knock, name="probe-late", VpcConfig=world.vpc_config(JOBS["good"]))
        desk.ended(late)
        assert json.loads(desk.lines(late)[-1]) == {"server": "dropped"}
        moves(greeter)
        server.authorize_security_group_ingress(**change)
        desk.client("sagemaker").stop_training_job(TrainingJobName=job)
        desk.ended(job)


def test_a_route_that_comes_while_a_client_waits_lets_it_in(live):
    world, desk = live.world, live.desk("client-1")
    script = "print('knocks', flush=True)\n" + knocking({"server": world.target("server")}, seconds=12)
    unroute(world, "client-1", RANGES["server"])
    with greeting(live.namespace, (live.listens_at, world.port)):
        job = desk.start(script, name="early", VpcConfig=world.vpc_config(JOBS["good"]))
        until(lambda: "knocks" in desk.lines(job), "the job does not start")
        route(world, "client-1", RANGES["server"], world.peerings["client-1"])
        desk.ended(job)
    assert json.loads(desk.lines(job)[-1]) == {"server": "open"}


def test_the_server_reaches_no_job_even_where_one_listens(live):
    if live.namespace is None:
        pytest.skip("the gateway stands before jobs only: see the evaluator's own table")
    world, desk = live.world, live.desk("client-1")
    script = (
        "import socket, time\n"
        "address = [a for a in open('/proc/net/fib_trie').read().split() if a.startswith('10.1.0.')][0]\n"
        "server = socket.create_server((address, 8000))\nprint(address, flush=True)\ntime.sleep(30)\n"
    )
    job = desk.start(script, name="listens", VpcConfig=world.vpc_config(JOBS["open"]))
    until(lambda: desk.lines(job), "the job does not listen")
    address = desk.lines(job)[0]

    def dial():
        with pytest.raises(OSError, match=r"timed out|No route|unreachable"):
            socket.create_connection((address, 8000), timeout=1)

    inside(live.namespace, dial)
    desk.client("sagemaker").stop_training_job(TrainingJobName=job)
    desk.ended(job)


def test_without_an_endpoint_for_s3_the_job_fails_and_says_what_is_missing(live):
    world, desk, ec2 = live.world, live.desk("client-4"), live.world.ec2("client-4")
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[one["VpcEndpointId"] for one in endpoints])
    reason = desk.ended(desk.start("", name="no-s3", VpcConfig=world.vpc_config(JOBS["not-accepted"])))["FailureReason"]
    assert reason.startswith("ClientError: Data download failed: S3 cannot be reached from the job's VPC")
    assert f"{world.vpcs['client-4']} in account 000400040004 has no VPC endpoint for s3" in reason


def test_a_job_without_s3_in_its_security_group_fails_and_names_the_group(live):
    world, desk, ec2 = live.world, live.desk("client-2"), live.world.ec2("client-2")
    bare = ec2.create_security_group(GroupName="bare", Description="bare", VpcId=world.vpcs["client-2"])["GroupId"]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=bare, IpPermissions=[everything])
    network = {"SecurityGroupIds": [bare], "Subnets": [world.subnets["client-2", "routed"]]}
    reason = desk.ended(desk.start("", name="no-egress", VpcConfig=network))["FailureReason"]
    assert f"no egress rule of {bare} in account 777788889999 allows TCP 443 to the prefix list" in reason


def test_a_job_with_boto3_reaches_the_embedded_aws(live):
    script = "import boto3; print(len(boto3.client('s3').list_buckets()['Buckets']) > 0)"
    desk = live.desk("client-1")
    job = desk.start(script, name="boto", VpcConfig=live.world.vpc_config(JOBS["good"]))
    assert desk.ended(job)["TrainingJobStatus"] == "Completed"
    assert desk.lines(job) == ["True"]


def test_an_isolated_job_gets_no_credentials(live):
    script = "import os; print(sorted(name for name in os.environ if name.startswith('AWS_')))"
    desk = live.desk("client-1")
    job = desk.start(script, name="no-keys", EnableNetworkIsolation=True)
    desk.ended(job)
    assert desk.lines(job) == ["[]"]


def test_a_peering_that_is_deleted_stops_old_connections_and_new_ones(live):
    # The last one: nothing of client 1 reaches the server afterwards.
    world, desk = live.world, live.desk("client-1")
    with greeting(live.namespace, (live.listens_at, world.port)) as (greeter,):
        job = talk(live, "talk-peered")
        moves(greeter)
        world.ec2("server").delete_vpc_peering_connection(VpcPeeringConnectionId=world.peerings["client-1"])
        until(lambda: stands_still(greeter), "lines still come")
        knock = knocking({"server": world.target("server")})
        late = desk.start(knock, name="probe-peered", VpcConfig=world.vpc_config(JOBS["good"]))
        desk.ended(late)
        assert json.loads(desk.lines(late)[-1]) == {"server": "dropped"}
        desk.client("sagemaker").stop_training_job(TrainingJobName=job)
        desk.ended(job)

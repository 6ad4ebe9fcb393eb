"""Namespaces leave nothing behind, however the embedded AWS ends, and do not touch this machine's own network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import network_world
import probing
import psutil
import pytest
from network_world import JOBS
from probing_desk import open_desk, until

from embedded_aws.network import netns

pytestmark = pytest.mark.skipif(bool(netns.missing()), reason=netns.missing() or "")
SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"


def spaces():
    """Return every network namespace that a process or a descriptor of this machine holds."""
    found = set()
    for process in psutil.process_iter():
        root = Path("/proc") / str(process.pid)
        try:
            links = [root / "ns/net", *(root / "fd").iterdir()]
            found |= {target for link in links if (target := str(link.readlink())).startswith("net:[")}
        except OSError:
            continue
    return found


def host():
    """Return this machine's own network: devices, routes, policy rules, filters, names of namespaces, a switch."""
    commands = (["ip", "-o", "link"], ["ip", "route"], ["ip", "rule"], ["nft", "list", "ruleset"], ["ip", "netns"])
    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    return [*told, Path("/proc/sys/net/ipv4/ip_forward").read_text()]


def test_nothing_is_left_of_two_of_them_however_they_end(serve_aws, tmp_path):
    before, network = spaces(), host()
    running = [serve_aws(tmp_path / name, n_clients=4, EMBEDDED_AWS_NETWORK="namespaces") for name in "ab"]
    try:
        for _, aws in running:
            ports = probing.free_ports(3)
            world = network_world.build(aws.session, port=ports[0], other=ports[1], closed=ports[2])
            desk = open_desk(aws.session("client-1"), "client-1")
            job = desk.start(SLEEPS, name="sleeps", VpcConfig=world.vpc_config(JOBS["good"]))
            until(lambda desk=desk, job=job: "ready" in desk.lines(job), "the job does not start")
        # Each: the server, the routers of its VPC and of client 1's, and the job.
        assert len(spaces() - before) == 8
        assert host() == network
        for (_, aws), number in zip(running, (signal.SIGTERM, signal.SIGKILL), strict=True):
            os.kill(aws.pid, number)
        until(lambda: spaces() <= before, "a namespace is left", within=5)
        assert host() == network
    finally:
        for process, _ in running:
            process.kill()
            process.wait()


def test_the_command_stands_at_the_servers_interface_and_nowhere_else(tmp_path):
    script = """
import boto3, json, subprocess
ec2 = boto3.Session(profile_name="fl-server").client("ec2")
vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/25")["Subnet"]["SubnetId"]
ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.0.10")
for _ in range(500):
    addresses = subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True).stdout
    if "10.0.0.10" in addresses: break
print(json.dumps(sorted(line.split()[3] for line in addresses.splitlines())))
"""
    command = [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "--clients", "1"]
    command += ["--network", "namespaces", "run", "--", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout) == ["10.0.0.10/32", "127.0.0.1/8"], done.stderr


def test_a_network_that_nobody_knows_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "start"]
    environment = {**os.environ, "EMBEDDED_AWS_NETWORK": "tokenring"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "EMBEDDED_AWS_NETWORK is 'tokenring'; it takes gateway or namespaces\n"

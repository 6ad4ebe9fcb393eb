"""Connecting clusters: images pushed, the server's address made, agents up, and what notebooks need to know of it.

Each step is one owner's, with that owner's own session; nothing here needs two at once.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pandas as pd

from workshop import state
from workshop.aws import accounts
from workshop.aws.cleanup import CLUSTER
from workshop.aws.members import Members
from workshop.clusters import access, images, manifests
from workshop.clusters.access import Cluster
from workshop.clusters.agents import Agent
from workshop.errors import StackError
from workshop.federation.tls import Authority

SECRET = "authority"  # noqa: S105 - its name
AUTHORITY_DAYS = 397
ADDRESS_SECONDS = 600.0  # a load balancer takes AWS minutes
PAUSE = 0.2


def folder(name: str) -> Path:
    """Return where an owner's manifests are written."""
    return state.home() / "clusters" / name


def push(sessions: Mapping[str, boto3.Session], members: Members, *, layout: Path | None = None) -> dict[str, str]:
    """See that every account's own repository holds its image; return its name there, by account.

    On the embedded AWS it is built here. On AWS its owner builds it: a folder to push, or what was pushed last.

    Parameters
    ----------
    layout : Path
        The image as an OCI layout; a folder.

    Raises
    ------
    MissingStep
        If there is no image on AWS; with the commands that make one.
    """
    if layout is None and accounts.target() == "embedded":
        images.build(layout := state.home() / "clusters" / "image")
    digests = {}
    for name, session in sessions.items():
        repository = members.outputs[name]["fl-registry"]["RepositoryName"]
        found = images.push(session, repository, layout) if layout else images.newest(session, repository, account=name)
        digests[name] = found
    return {name: f"{members.outputs[name]['fl-registry']['RepositoryUri']}@{digests[name]}" for name in sessions}


def find(sessions: Mapping[str, boto3.Session]) -> dict[str, Cluster]:
    """Find every account's cluster, and write kubectl's file; return them by account."""
    clusters = {name: access.find(session, CLUSTER, account=name) for name, session in sessions.items()}
    access.write_kubeconfig(manifests.kubeconfig(), clusters)
    return clusters


def open_server(members: Members) -> tuple[str, str]:
    """Apply the server's manifests; return the address that agents dial, and the authority (PEM) that they trust.

    Raises
    ------
    StackError
        If kubectl fails, or the load balancer has no address in time; with what the cluster says of that.
    """
    cidrs = members.agreed.cidrs
    values = manifests.ServerValues(
        members.agreed.port, tuple(cidrs[name] for name in members.clients), cidrs["server"]
    )
    manifests.apply("server", manifests.write_server(folder("server"), values))
    return _address(), _authority()


def _address() -> str:
    give_up = time.monotonic() + ADDRESS_SECONDS
    while time.monotonic() < give_up:
        service = json.loads(manifests.kubectl("server", ["get", "service", "federation", "-o", "json"]))
        for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
            # AWS tells a name, which leads to private addresses; the embedded AWS tells one of these too.
            return entry.get("ip") or entry["hostname"]
        if failed := _failure("server", "Service"):
            raise StackError(f"account server: the Service has no load balancer: {failed}")
        time.sleep(PAUSE)
    raise StackError(f"account server: the Service has no address after {ADDRESS_SECONDS:.0f} s")


def _failure(account: str, kind: str) -> str:
    """Return what the cluster last warned of about objects of a kind; empty if of nothing."""
    selector = f"type=Warning,involvedObject.kind={kind}"
    listed = json.loads(manifests.kubectl(account, ["get", "events", "--field-selector", selector, "-o", "json"]))
    return listed["items"][-1]["message"] if listed["items"] else ""


def _authority() -> str:
    """Return the federation's authority; made once, its key goes into the cluster's Secret and nowhere else."""
    there = manifests.kubectl("server", ["get", "secret", SECRET, "--ignore-not-found", "-o", "json"])
    if there.strip():
        return base64.b64decode(json.loads(there)["data"]["authority.pem"]).decode()
    made = Authority.make(days=AUTHORITY_DAYS)
    with tempfile.TemporaryDirectory() as scratch:
        made.save(Path(scratch))
        files = [f"--from-file={Path(scratch) / name}" for name in ("authority.pem", "authority.key")]
        manifests.kubectl("server", ["create", "secret", "generic", SECRET, *files])
    return made.certificate.decode()


def agent_values(members: Members, name: str, *, host: str, authority: str, image: str) -> manifests.AgentValues:
    """Return what a hospital's manifests are filled in with: its own outputs, and what the server's card tells."""
    return manifests.AgentValues(
        name, members.outputs[name]["fl-storage"]["Bucket"], host, members.agreed.port, members.agreed.cidrs["server"],
        authority, image,
    )  # fmt: skip


def start_agents(
    values: Mapping[str, manifests.AgentValues],
    *,
    progress: Callable[[str, str], None] = lambda name, what: None,
    seconds: float = 300.0,
) -> None:
    """Apply every hospital's manifests and wait until its agent is there, all at once.

    Raises
    ------
    StackError
        Names the first account whose agent is not, with what its cluster says.
    """

    def bring_up(name: str) -> None:
        manifests.apply(name, manifests.write_agent(folder(name), values[name]))
        progress(name, "applied")
        wait_for_agent(name, seconds=seconds)
        progress(name, "up")

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(bring_up, values))


def wait_for_agent(name: str, *, seconds: float = 300.0) -> None:
    """Wait until a hospital's agent is up and ready.

    Raises
    ------
    StackError
        If it is not in time, with the reason that the cluster gives.
    """
    try:
        manifests.kubectl(
            name, ["rollout", "status", "deployment/agent", f"--timeout={seconds:.0f}s"], seconds=seconds + 30
        )
    except StackError as error:
        raise StackError(f"{error}; {_failure(name, 'Pod') or 'see kubectl describe pods'}") from error


def agents(members: Members) -> tuple[Agent, ...]:
    """Return the agents whom a run invites: the roles that the hospitals' cards tell."""
    return tuple(
        Agent(name, members.ids[name], members.outputs[name]["fl-agent-access"]["AgentRoleArn"].rpartition("/")[2])
        for name in members.clients
    )


def connection_data(members: Members, *, host: str, image: str, instance: str | None) -> dict[str, Any]:
    """Gather what the notebooks that start runs need to know, as JSON values."""
    server = members.outputs["server"]
    return {
        "agents": [vars(agent) for agent in agents(members)],
        "launcher_role": server["fl-run-access"]["LauncherRoleArn"],
        "serving_caller": server["fl-run-access"]["LauncherRoleArn"],
        "serving_role": server["fl-serving"]["ModelRoleArn"],
        "server_bucket": server["fl-storage"]["Bucket"],
        "server_host": host,
        "server_port": members.agreed.port,
        "image": image,
        "instance": instance,
    }


def ways_out(account: str, policy: str) -> list[dict[str, Any]]:
    """Return where a NetworkPolicy lets pods connect to: range of addresses and port, each pair once."""
    spec = json.loads(manifests.kubectl(account, ["get", "networkpolicy", policy, "-o", "json"]))["spec"]
    return [
        {"cidr": peer["ipBlock"]["cidr"], "port": port["port"]}
        for rule in spec.get("egress", ())
        for peer in rule.get("to", ())
        for port in rule.get("ports", ())
    ]


def pods(names: list[str]) -> pd.DataFrame:
    """Return one line per agent's pod: is it ready, how often was it started again, where does it run."""
    lines = []
    for name in names:
        listed = json.loads(manifests.kubectl(name, ["get", "pods", "-o", "json"]))
        for pod in listed["items"]:
            containers = pod["status"].get("containerStatuses", [])
            lines.append(
                {
                    "account": name,
                    "pod": pod["metadata"].get("labels", {}).get("app.kubernetes.io/name", ""),
                    "phase": pod["status"].get("phase", ""),
                    "ready": all(each["ready"] for each in containers) and bool(containers),
                    "restarts": sum(each["restartCount"] for each in containers),
                    "address": pod["status"].get("podIP", ""),
                }
            )
    columns = ["account", "pod", "phase", "ready", "restarts", "address"]
    return pd.DataFrame(lines, columns=columns).set_index("account")

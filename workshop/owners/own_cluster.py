"""An owner's cluster: image pushed, manifests applied, agent or address up; and the doctor's look at it.

What the server's cluster is reached at travels with the server's card, beside the outputs of its stacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workshop import state
from workshop.aws import accounts, stacks
from workshop.aws.cleanup import CLUSTER
from workshop.aws.members import Members
from workshop.clusters import access, connect
from workshop.errors import MissingStep, WorkshopError

TOLD = "cluster"  # in the server's card: where agents dial, and the authority that they trust
Finding = tuple[str, str, bool, str, str]  # as a line of the doctor's


def bring_up(name: str, members: Members, *, layout: Path | None = None) -> list[str]:
    """Push an owner's image and apply its manifests; return what was done, a line each.

    Parameters
    ----------
    members : Members
        The owner's session, and what the others' cards tell.
    layout : Path
        The image that this owner has built, as an OCI layout; by default the kit's own on the embedded AWS, and on AWS
        what was pushed last.

    Raises
    ------
    MissingStep
        If its stacks do not stand, or the server's card does not tell yet where agents dial.
    """
    session = members.sessions[name]
    members.outputs[name] = own_outputs(session)
    if missing := [stack for stack in ("fl-registry", "fl-nodes") if stack not in members.outputs[name]]:
        raise MissingStep(f"{name} has no stack {missing[0]}: `fl deploy {name} --platform kubernetes` first")
    told = members.outputs["server"].get(TOLD, {})
    if name != "server" and not told:
        raise MissingStep(
            "the server's card does not tell where agents dial: ask its owner to run `fl cluster server` and for a new "
            "card, and join it"
        )
    image = connect.push({name: session}, members, layout=layout)[name]
    connect.find({name: session})
    done = [f"image {image.partition('@')[2][:19]} is in {name}'s registry"]
    if name != "server":
        values = connect.agent_values(members, name, host=told["Host"], authority=told["Authority"], image=image)
        connect.start_agents({name: values})
        return [*done, f"the agent is up and waits for runs at {told['Host']}:{members.agreed.port}"]
    host, authority = connect.open_server(members)
    state.save(cluster={"Host": host, "Authority": authority})
    done.append(f"agents dial {host}:{members.agreed.port}; send every hospital your new card")
    if absent := [client for client in members.clients if "fl-agent-access" not in members.outputs[client]]:
        return [*done, f"not known yet, for want of their cards: the agents of {', '.join(absent)}"]
    known = connect.connection_data(members, host=host, image=image, instance=accounts.instance())
    state.save(accounts=known)
    return [*done, f"{len(known['agents'])} agents may be invited: heart/03_run_federation starts runs"]


def own_outputs(session: Any) -> dict[str, dict[str, str]]:
    """Return the outputs of all stacks of the kit's in an account, by stack."""
    return {
        name: stacks.outputs(session, stacks.Stack(name.removeprefix(stacks.PREFIX), ""))
        for name in stacks.names(session)
        if not name.startswith("fl-peering-client")
    }


def for_card() -> dict[str, Mapping[str, str]]:
    """Return what the server's card tells of its cluster; nothing before that is up."""
    return {TOLD: known} if (known := state.entry("cluster")) else {}


def examine(members: Members) -> Iterator[Finding]:
    """Yield the doctor's lines on the clusters at hand."""
    for name, session in members.sessions.items():
        remedy = f"`fl deploy {name} --platform kubernetes`; on AWS a cluster takes a quarter of an hour"
        try:
            cluster = access.find(session, CLUSTER, account=name)
        except WorkshopError as error:
            yield "cluster", name, False, str(error), remedy
            continue
        yield "cluster", name, True, "ACTIVE", ""
        ready, found, remedy = _look(name, access.api(session, cluster))
        yield "address" if name == "server" else "agent", name, ready, found, remedy


def _look(name: str, api: Any) -> tuple[bool, str, str]:
    """Return whether an owner's address or agent is up, what was found, and what to do if it is not."""
    import urllib3  # kubernetes' own; both take half a second to import, and commands for jobs need neither

    from kubernetes import client

    remedy = f"`fl cluster {name}`; then kubectl -n federation get events"
    try:
        if name == "server":
            core: Any = client.CoreV1Api(api)
            entries = core.read_namespaced_service("federation", access.NAMESPACE).status.load_balancer.ingress or []
            return bool(entries), f"{len(entries)} of the load balancer", "" if entries else remedy
        apps: Any = client.AppsV1Api(api)
        number = apps.read_namespaced_deployment("agent", access.NAMESPACE).status.available_replicas or 0
        return number == 1, f"{number} of 1 up", "" if number == 1 else remedy
    except client.ApiException as error:
        if error.status == 404:
            return False, "not there", remedy
        return False, f"its API answers {error.status} {error.reason}", "look at the access entries of your cluster"
    except (urllib3.exceptions.HTTPError, OSError) as error:
        found = f"its API does not answer from here ({type(error).__name__})"
        return False, found, "ask from inside its VPC, or set OwnerAddresses of cluster.yaml"

"""Preflight checks (the doctor): all that must be right before a federation; each line passes, or says what to do."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import combinations

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop import federation
from workshop.aws import accounts, blueprint, connections, images, peering, quotas, stacks
from workshop.aws.cleanup import NOTEBOOK_LOGS
from workshop.aws.members import Members
from workshop.aws.stacks import Stack
from workshop.errors import NotThisMachine, WorkshopError
from workshop.owners import own_cluster

Line = tuple[str, str, bool, str, str]  # what was checked, of whom, whether it is right, what was found, what to do
KIT_REPORT = "model/kit.json"  # cloudformation/install-on-notebook.sh writes it
CLOCK_SECONDS = 60  # AWS refuses signatures that are five minutes off


def examine(federation: Members, *, image: str = "") -> pd.DataFrame:
    """Check accounts, networks, roles, buckets, the server's place: of every account at hand its own half.

    Parameters
    ----------
    federation : Members
        The owners' sessions at hand; what the others' cards do not tell yet is not checked.
    image : str
        The training image's address; else the one that SageMaker has in this region.

    Returns
    -------
    DataFrame
        One line per check: what, of whom, whether it is right, what was found, and what to do if it is not.
    """
    clusters = federation.choices.platform == "kubernetes"
    before = (_identities, _deployer, _clocks, _stacks, _networks, _connections, _packets)
    checks = (
        *before, _cluster_endpoints, _flow_logs, _trusts, _buckets, own_cluster.examine,
    ) if clusters else (
        *before, _endpoints, _flow_logs, _roles, _trusts, _buckets, _quotas, _kit, _place, partial(_image, image=image),
    )  # fmt: skip
    lines = [line for check in checks for line in _asked(check, federation)]
    return pd.DataFrame(lines, columns=["checked", "of", "ok", "found", "remedy"]).set_index("of")


def _asked(check: Callable[[Members], Iterator[Line]], members: Members) -> Iterator[Line]:
    try:
        yield from check(members)
    except (WorkshopError, BotoCoreError, ClientError) as error:
        yield "can be asked", "somebody", False, str(error), "read the message; then ask again"


def _line(checked: str, of: str, ok: bool, found: object, remedy: str) -> Line:
    return checked, of, bool(ok), str(found), "" if ok else remedy


def _identities(members: Members) -> Iterator[Line]:
    identities = {name: accounts.identity(name, session) for name, session in members.sessions.items()}
    regions = {who.region for who in identities.values()}
    for name, who in identities.items():
        expected = members.ids[name]
        yield _line("account", name, who.account == expected, who.account, f"point profile fl-{name} at {expected}")
    twice = len({who.account for who in identities.values()}) < len(identities)
    yield _line("accounts differ", "all", not twice, len(identities), "give every member an account of its own")
    yield _line(
        "one region", "all", len(regions) == 1, ", ".join(sorted(regions)), "set the same region in every profile"
    )


def _deployer(members: Members) -> Iterator[Line]:
    """Whether the clients' accepter roles trust who deploys for the server; an owner made anew is somebody else."""
    if "server" not in members.sessions:
        return
    arn, unique_id = accounts.principal("server", members.sessions["server"])
    agreed = members.agreed
    same = arn == agreed.requester and agreed.requester_id in ("", unique_id)
    deployer = (
        f"{arn}, as agreed" if same else f"{arn} ({unique_id}); agreed on is {agreed.requester} ({agreed.requester_id})"
    )
    remedy = (
        "agree again, with the same clients (`python -m workshop agree`, or notebook 02), `python -m workshop deploy "
        "server`, and send every client your new card: join it, and `python -m workshop deploy client-...`"
    )
    yield _line("who deploys", "server", same, deployer, remedy)


def _clocks(members: Members) -> Iterator[Line]:
    session = next(iter(members.sessions.values()))
    answer = session.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    off = abs((parsedate_to_datetime(answer["date"]) - datetime.now(UTC)).total_seconds())
    yield _line("clock", "this machine", off < CLOCK_SECONDS, f"{off:.0f} s off", "set the clock (chronyc, Settings)")


def _stacks(members: Members) -> Iterator[Line]:
    """Every account at hand: what of the blueprint does not stand there; and take over what stands."""
    for name, session in members.sessions.items():
        there = set(stacks.names(session))
        places = blueprint.of(members.choices).placements(members)
        wanted = [Stack(place.step.template, name, peer=place.peer) for place in places if place.account == name]
        members.outputs[name] = {stack.name: stacks.outputs(session, stack) for stack in wanted if stack.name in there}
        missing = [stack.name for stack in wanted if stack.name not in there]
        finding = f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} stand"
        yield _line("stacks", name, not missing, finding, f"run notebook 02, or `python -m workshop deploy {name}`")


def _networks(members: Members) -> Iterator[Line]:
    cidrs = {
        name: outputs["fl-network"]["VpcCidr"] for name, outputs in members.outputs.items() if "fl-network" in outputs
    }
    for (name, first), (other, second) in combinations(cidrs.items(), 2):
        if ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second)):
            yield _line(
                "addresses apart", f"{name}, {other}", False, f"{first}, {second}", "agree on another network (in 02)"
            )
            return
    yield _line("addresses apart", "all", True, ", ".join(cidrs.values()), "")


_OPENS = {
    "peering": "the client deploys fl-peering-accepter and sends its card; the server's owner joins it, deploys, and "
    "sends the new card back: join it, and deploy",
    "route there": "deploy fl-peering-routes in the client's account",
    "route back": "deploy fl-peering for this client in the server's account",
    "job may call": "deploy fl-peering-routes in the client's account",
    "server listens": "deploy fl-peering for this client in the server's account",
}
_ROUTED = "ask the platform teams for a route between the two networks"


def _connections(members: Members) -> Iterator[Line]:
    for name, row in peering.table(members.sessions, members.outputs).iterrows():
        by_others = dict.fromkeys(("route there", "route back"), _ROUTED) if row["peering"] is None else {}
        for what, remedy in (_OPENS | by_others).items():
            if row[what] is not None:
                yield _line(what, name, row[what] is True or row[what] == "active", row[what], remedy)


def _packets(members: Members) -> Iterator[Line]:
    """What the flow logs last said of each client's packets to the server, if the door is not open by now."""
    doors = peering.table(members.sessions, members.outputs)
    for name, seen in peering.refused(members.sessions, members.outputs).items():
        if name not in doors.index:
            continue  # of neither end's account at hand
        if not seen:
            yield _line("packets", name, True, "no refusal in the flow logs of the last hour, so far", "")
        for account, refusal in seen.items():
            at = "server listens" if account == "server" else "job may call"
            yield _line("packets", name, doors.loc[name, at] is True, refusal, _OPENS[at])


def _cluster_endpoints(members: Members) -> Iterator[Line]:
    return _services(members, lambda name: blueprint.cluster_endpoints(server=name == "server"), "fl-cluster-endpoints")


def _endpoints(members: Members) -> Iterator[Line]:
    wanted = lambda name: blueprint.endpoints(members.choices, server=name == "server")  # noqa: E731
    return _services(members, wanted, "fl-endpoints")


def _services(members: Members, wanted_by: Callable[[str], Sequence[str]], stack: str) -> Iterator[Line]:
    for name, session in members.sessions.items():
        if not (network := members.outputs[name].get("fl-network")):
            continue
        inside = [{"Name": "vpc-id", "Values": [network["VpcId"]]}]
        endpoints = session.client("ec2").describe_vpc_endpoints(Filters=inside)["VpcEndpoints"]
        there = {
            re.sub(r"^com\.amazonaws\.[^.]+\.", "", item["ServiceName"])
            for item in endpoints
            if item["State"].lower() == "available"
        }
        wanted = wanted_by(name)
        missing = [service for service in wanted if service not in there]
        finding = f"missing: {', '.join(missing)}" if missing else f"endpoints: {', '.join(wanted)}"
        yield _line(
            "AWS's services", name, not missing, finding, f"deploy fl-network and {stack}; wait until available"
        )


def _flow_logs(members: Members) -> Iterator[Line]:
    """A right that the flow log's role lacks shows nowhere else."""
    for name, session in members.sessions.items():
        if not (network := members.outputs[name].get("fl-network")):
            continue
        status = flow_log_status(session, network["VpcId"])
        yield _line("flow log", name, status == "SUCCESS", status, "deploy fl-network of this version")


def flow_log_status(session: boto3.Session, vpc: str) -> str:
    """Return what AWS says of the delivery of a VPC's flow logs: ``SUCCESS``, why not, or ``none``."""
    inside = [{"Name": "resource-id", "Values": [vpc]}]
    logs = session.client("ec2").describe_flow_logs(Filters=inside)["FlowLogs"]
    words = (f"{log.get('DeliverLogsStatus', '')} {log.get('DeliverLogsErrorMessage', '')}".strip() for log in logs)
    return ", ".join(dict.fromkeys(words)) or "none"


def _roles(members: Members) -> Iterator[Line]:
    if not (access := members.outputs["server"].get("fl-server-access")) or "server" not in members.sessions:
        return
    try:
        server = accounts.notebook_session(access["NotebookRoleArn"])
    except WorkshopError as error:
        remedy = "deploy fl-server-access with your own ARN as OperatorArn"
        yield _line("notebook role", "server", False, error, remedy)
        return
    yield _line("notebook role", "server", True, "can be taken", "")
    for name in members.clients:
        if "fl-client-access" not in members.outputs[name]:
            yield _line("kick-off role", name, False, "not told of", "ask its owner for a new card, and join it")
            continue
        try:
            accounts.borrow(server, connections.client_account(members, name), session_name="doctor")
        except WorkshopError as error:
            remedy = f"send {name}'s owner your new card: join it, and `python -m workshop deploy {name}`"
            yield _line("kick-off role", name, False, error, remedy)
        else:
            yield _line("kick-off role", name, True, "can be borrowed", "")


_TRUSTS = {  # the stack, the output that names its role, and whom it trusts
    "trust": ("fl-client-access", "KickoffRoleArn", "the server's notebook role"),
    "accepter's trust": ("fl-peering-accepter", "AccepterRoleArn", "who deploys for the server"),
}


def _trusts(members: Members) -> Iterator[Line]:
    """Whether a client's roles trust whom the server has now: IAM keeps the unique id of whom a policy names.

    In place of somebody who is gone a trust policy shows that id, and it lends nothing to a new one of the same name.
    """
    unique_ids = {
        "trust": members.outputs["server"].get("fl-server-access", {}).get("NotebookRoleId", ""),
        "accepter's trust": members.agreed.requester_id,
    }
    for name, session in members.sessions.items():
        for what, (stack, output, _) in _TRUSTS.items():
            if stack in members.outputs[name]:
                role = members.outputs[name][stack][output].rpartition("/")[2]
                yield _trust(name, session, what, role, unique_ids[what])


def _trust(name: str, session: boto3.Session, what: str, role: str, unique_id: str) -> Line:
    """Compare a role's trust policy with the unique id that the server's card tells."""
    whom = _TRUSTS[what][2]
    deploy = f"`python -m workshop deploy {name}`"
    try:
        policy = session.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    except ClientError as error:
        return _line(what, name, False, error, deploy)
    ghosts = [
        trusted for each in policy["Statement"] if not (trusted := str(each["Principal"].get("AWS"))).startswith("arn:")
    ]
    newer = bool(unique_id) and unique_id not in json.dumps(policy)
    if newer:
        return _line(what, name, False, f"trusts {whom} as it was before; the card tells of {unique_id}", deploy)
    ask = f"ask the server's owner to deploy, and for the new card; join it, and {deploy}"
    return _line(what, name, not ghosts, f"trusts {ghosts[0]}, who is gone" if ghosts else f"trusts {whom}", ask)


def _buckets(members: Members) -> Iterator[Line]:
    for name, session in members.sessions.items():
        if not (storage := members.outputs[name].get("fl-storage")):
            continue
        remedy = f"upload this owner's files with notebook 02, or `python -m workshop upload {name}`"
        try:
            keys = session.client("s3").list_objects_v2(Bucket=storage["Bucket"], Prefix="data/")["KeyCount"]
            yield _line("own bucket", name, keys > 0, f"{keys} objects below data/", remedy)
        except ClientError as error:
            yield _line("own bucket", name, False, error, "deploy fl-storage")


def _image(members: Members, image: str) -> Iterator[Line]:
    regions = {session.region_name for session in members.sessions.values()}
    image = image or images.training_image(min(regions))
    fits = any(f".{region}." in image for region in regions) or "." not in image.split("/")[0]
    image_name = image.rpartition("/")[2]
    yield _line(
        "training image", "all", fits, image_name, "run notebook 02 again: the image's address is of another region"
    )


def _quotas(members: Members) -> Iterator[Line]:
    for name, session in members.sessions.items():
        need = quotas.needed(name, members.choices)
        remedy = f"ask for {need.at_least}: `python -m workshop quotas {name} --request`; AWS takes minutes to days"
        try:
            has = quotas.value(session, need.quota)
        except WorkshopError as error:
            yield _line("quota", name, False, error, "allow servicequotas:GetServiceQuota, or look at AWS's console")
            continue
        yield _line("quota", name, has >= need.at_least, f"{need.quota}: {has:.0f}", remedy)


def _kit(members: Members) -> Iterator[Line]:
    """What the notebook instance wrote down when it had installed the kit, or could not."""
    instance = members.outputs["server"].get("fl-notebook-instance", {})
    storage = members.outputs["server"].get("fl-storage")
    if "server" not in members.sessions or not storage or instance.get("BundleSha256", "none") == "none":
        return
    client, expected = members.sessions["server"].client("s3"), instance["BundleSha256"]
    remedy = "wait some minutes after a start; then read install.log there, or the log group of " + NOTEBOOK_LOGS
    try:
        report = json.loads(client.get_object(Bucket=storage["Bucket"], Key=KIT_REPORT)["Body"].read())
    except client.exceptions.NoSuchKey:
        yield _line("kit", "server", False, "the notebook instance has not told that it is there", remedy)
        return
    except ValueError:
        report = {}
    if report.get("bundle") != expected:
        remedy = "stop and start the notebook instance: it installs the kit that was deployed last"
        yield _line("kit", "server", False, f"another one is installed ({str(report.get('bundle'))[:12]})", remedy)
        return
    yield _line(
        "kit", "server", report.get("ready") is True, "installed" if report.get("ready") else "not ready", remedy
    )


def _place(members: Members) -> Iterator[Line]:
    instance = members.outputs["server"].get("fl-notebook-instance")
    if "server" not in members.sessions or not instance:
        return
    host = connections.server_host(members.sessions["server"], instance)
    here = accounts.target() == "embedded"
    try:
        place = federation.place(host, members.agreed.port, forwarded=here)
    except NotThisMachine:
        yield _line("port", "server", True, f"{host}:{members.agreed.port}, on {instance['NotebookInstanceName']}", "")
    except WorkshopError as error:
        yield _line("port", "server", False, error, "run the federation where the message says")
    else:
        yield _line("port", "server", True, f"{place.listen} is free", "")

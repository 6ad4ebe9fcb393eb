"""Clean-up: delete what the workshop created, in every account, and show what is left."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pandas as pd
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from workshop.aws import blueprint, choices, refusals, stacks
from workshop.aws.jobs import LOG_GROUP
from workshop.aws.pace import pauses
from workshop.aws.stacks import Stack
from workshop.errors import AccountError, StackError, WorkshopError

PREFIX = "fl-"
CLUSTER = "federation"  # as cluster.yaml calls it
NOTEBOOK_LOGS = "/aws/sagemaker/NotebookInstances"
# Groups that AWS makes and others use too: of these only the streams whose names begin as ours do.
SHARED_LOGS = (LOG_GROUP, NOTEBOOK_LOGS, "/aws/sagemaker/TransformJobs", "/aws/sagemaker/ProcessingJobs")
ENDPOINT_LOGS = f"/aws/sagemaker/Endpoints/{PREFIX}"  # a group for each endpoint
# Stacks that SageMaker needs until it has taken its network interfaces back: their roles, and the network itself.
_NEEDED_BY_INTERFACES = ("fl-client-job", "fl-server-access", "fl-network")
# Of a cluster's stacks, those that none of the others needs any more.
_TOGETHER = ("registry", "nodes", "agent-access", "run-access")
INTERFACE_SECONDS = 45 * 60.0
_SERVED = {
    "model endpoint": ("list_endpoints", "EndpointName"),
    "endpoint configuration": ("list_endpoint_configs", "EndpointConfigName"),
    "model": ("list_models", "ModelName"),
}
_NAMED = [{"Name": "tag:Name", "Values": ["fl-*"]}]


def delete_jobs(session: boto3.Session) -> int:
    """Stop the ``fl-*`` training jobs that are running, wait for their end, delete all; return how many there were."""
    client = session.client("sagemaker")
    jobs = _jobs(client)
    for name, status in jobs.items():
        if status == "InProgress":
            _stop(client, name)
    waiter = client.get_waiter("training_job_completed_or_stopped")
    for name, status in jobs.items():
        if status in ("InProgress", "Stopping"):
            with contextlib.suppress(WaiterError):  # it failed instead of stopping: that is an end too
                waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
        client.delete_training_job(TrainingJobName=name)
    return len(jobs)


def delete_served(session: boto3.Session) -> None:
    """Delete the ``fl-*`` endpoints, which cost for as long as they are up, their configurations, and the models.

    An endpoint that is still being made cannot be deleted before it has come up, or has failed.
    """
    client, give_up = session.client("sagemaker"), time.monotonic() + INTERFACE_SECONDS
    while standing := {each["EndpointName"]: each["EndpointStatus"] for each in _served(client, "model endpoint")}:
        for name, status in standing.items():
            if status not in ("Creating", "Deleting"):
                client.delete_endpoint(EndpointName=name)
        if time.monotonic() > give_up:
            break  # it is listed as left over
        time.sleep(0.2)
    for each in _served(client, "endpoint configuration"):
        client.delete_endpoint_config(EndpointConfigName=each["EndpointConfigName"])
    for each in _served(client, "model"):
        client.delete_model(ModelName=each["ModelName"])


def _served(client, kind: str) -> list[dict[str, Any]]:
    operation, name = _SERVED[kind]
    return [each for each in all_of(client, operation, NameContains=PREFIX) if each[name].startswith(PREFIX)]


def _stop(client, name: str) -> None:
    try:
        client.stop_training_job(TrainingJobName=name)
    except ClientError:
        if client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress":
            raise  # else it has ended meanwhile


def delete_all(
    sessions: Mapping[str, boto3.Session],
    *,
    progress: Callable[[str, str, str, int, int], None] = lambda *_: None,
    deadline: float = INTERFACE_SECONDS,
) -> pd.DataFrame:
    """Delete jobs, stacks and logs, what depends on others first; doing it twice is harmless.

    Parameters
    ----------
    progress : callable
        Called with account, stack, its status, how many of its resources are left to say so, and of how many; while
        SageMaker's network interfaces are waited for, with their number.
    deadline : float
        Seconds to wait for these.

    Returns
    -------
    DataFrame
        One line per account: how many jobs and stacks it had.

    Raises
    ------
    StackError, AccountError
        Names the stack and resource that could not be deleted, or the account that did not answer, for each account;
        what the others have is deleted all the same.
    """
    refused: dict[str, WorkshopError] = {}
    with ThreadPoolExecutor(max_workers=8) as pool:

        def each(names: Iterable[str], work: Callable[[str], object]) -> dict[str, Any]:
            """Do it for every account that has not refused yet; one that does holds up no other."""

            def one(name: str) -> object:
                try:
                    return work(name)
                except (AccountError, StackError) as error:
                    return refused.setdefault(name, error)

            left = [name for name in dict.fromkeys(names) if name not in refused]
            return dict(zip(left, pool.map(one, left), strict=True))

        jobs = each(sessions, lambda name: _asked(delete_jobs)(name, sessions[name]))
        each(sessions, lambda name: _asked(delete_served)(name, sessions[name]))
        stack_names = each(sessions, lambda name: _asked(stacks.names)(name, sessions[name]))
        for wave in _waves({name: names for name, names in stack_names.items() if name not in refused}):
            by_account = {name: [stack for owner, stack in wave if owner == name] for name, _ in wave}
            if any(stack in _NEEDED_BY_INTERFACES for _, stack in wave):
                each(by_account, lambda name: _wait_for_interfaces(name, sessions[name], progress, deadline))
            networks = [name for name, stack in wave if stack == "fl-network"]
            each(networks, lambda name: _asked(end_peerings)(name, sessions[name]))
            each(by_account, lambda name, own=by_account: _delete_stacks(sessions[name], name, own[name], progress))
        each(sessions, lambda name: _asked(_delete_logs)(name, sessions[name]))
    if refused:
        first = next(iter(refused.values()))
        raise type(first)("\n".join(map(str, refused.values())))
    lines = [(name, jobs[name], len(stack_names[name])) for name in sessions]
    return pd.DataFrame(lines, columns=["account", "jobs", "stacks"]).set_index("account")


def _asked(what: Callable) -> Callable:
    """Return a function of an account's name and session whose errors name the account."""

    def ask(account: str, session: boto3.Session):
        try:
            return what(session)
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account {account}: {error}; run the clean-up again") from error

    return ask


def _pairs(sessions: Mapping[str, boto3.Session]) -> tuple[Iterable[str], Iterable[boto3.Session]]:
    return sessions.keys(), sessions.values()


def _delete_stacks(session: boto3.Session, account: str, names: Iterable[str], progress: Callable) -> None:
    """Delete stacks of one account at once."""

    def delete(stack: str) -> None:
        stacks.delete(
            session, stack, account=account,
            progress=lambda status, done, of: progress(account, stack, status, done, of),
            again=f"`python -m workshop delete {account}` (or 99_clean_up)",
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(delete, names))


def _waves(stack_names: Mapping[str, list[str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield the stacks of all accounts in the blueprint's order turned round; first those that no blueprint knows."""
    templates = [item.template for item in blueprint.ALL]

    def step(stack: str) -> int:
        if stack.removeprefix(PREFIX) in _TOGETHER:
            return max(map(templates.index, _TOGETHER))
        fits = [number for number, name in enumerate(templates) if stack in (PREFIX + name,)]
        fits += [number for number, name in enumerate(templates) if name == "peering" and _is_peering(stack)]
        return fits[0] if fits else len(templates)

    entries = [(account, stack) for account, names in stack_names.items() for stack in names]
    for number in sorted({step(stack) for _, stack in entries}, reverse=True):
        yield [entry for entry in entries if step(entry[1]) == number]


def end_peerings(session: boto3.Session) -> None:
    """End what others have with the workshop's VPC: AWS deletes none with an active peering or a request for it.

    Requests of others are rejected; a connection that is active, whose stack its owner has not deleted, is deleted.
    """
    ec2 = session.client("ec2")
    vpcs = [vpc["VpcId"] for vpc in all_of(ec2, "describe_vpcs", Filters=_NAMED)]
    for side in ("requester", "accepter") if vpcs else ():
        mine = [{"Name": f"{side}-vpc-info.vpc-id", "Values": vpcs}]
        for peering in list(all_of(ec2, "describe_vpc_peering_connections", Filters=mine)):
            about, state = {"VpcPeeringConnectionId": peering["VpcPeeringConnectionId"]}, peering["Status"]["Code"]
            if state == "active" or (state == "pending-acceptance" and side == "requester"):
                ec2.delete_vpc_peering_connection(**about)
            elif state == "pending-acceptance":
                ec2.reject_vpc_peering_connection(**about)


def _wait_for_interfaces(name: str, session: boto3.Session, progress: Callable, deadline: float) -> None:
    """Wait until SageMaker has taken back the network interfaces of jobs and notebooks.

    It does so some time after their end (minutes, seen up to half an hour), with the job's own role: were that deleted
    before, or the network, the interface would stay, and hold subnet and security group.

    Raises
    ------
    StackError
        If they are still there after ``deadline`` seconds; nothing that they need is deleted then.
    """
    ec2, began = session.client("ec2"), time.monotonic()
    for pause in pauses(ec2, most=15.0):
        left = [
            interface["NetworkInterfaceId"] for interface in _interfaces(ec2) if refusals.is_of_sagemaker(interface)
        ]
        if not left:
            return
        waited = time.monotonic() - began
        progress(name, "SageMaker's network interfaces", f"waited for {waited / 60:.0f} min", 0, len(left))
        if waited > deadline:
            raise StackError(
                f"account {name}: SageMaker has not taken back {', '.join(left)} after {waited / 60:.0f} minutes: "
                "delete again later; what they need still stands"
            )
        time.sleep(pause)


def _is_peering(stack: str) -> bool:
    return stack.startswith("fl-peering-") and stack not in ("fl-peering-accepter", "fl-peering-routes")


def left_over(sessions: Mapping[str, boto3.Session]) -> pd.DataFrame:
    """List what is still there of the workshop, one line per resource; an empty table is what you want.

    A KMS key that waits for its deletion (AWS keeps it for seven days, unusable and free of charge) is not listed.

    Raises
    ------
    AccountError
        Names the first account that did not answer.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        lists = pool.map(_asked(lambda session: list(_resources(session))), *_pairs(sessions))
    lines = [(name, *resource) for name, resources in zip(sessions, lists, strict=True) for resource in resources]
    return pd.DataFrame(lines, columns=["account", "kind", "name"])


def _resources(session: boto3.Session) -> Iterator[tuple[str, str]]:
    sagemaker, iam, logs = (session.client(name) for name in ("sagemaker", "iam", "logs"))
    yield from (("stack", name) for name in stacks.names(session))
    yield from (("training job", name) for name in sorted(_jobs(sagemaker)))
    for kind, (_, name) in _SERVED.items():
        yield from ((kind, each[name]) for each in _served(sagemaker, kind))
    for kind, client, operation, name, prefixes in (
        ("notebook instance", sagemaker, "list_notebook_instances", "NotebookInstanceName", PREFIX),
        (
            "lifecycle configuration",
            sagemaker,
            "list_notebook_instance_lifecycle_configs",
            "NotebookInstanceLifecycleConfigName",
            PREFIX,
        ),
        ("bucket", session.client("s3"), "list_buckets", "Name", PREFIX),
        ("image repository", session.client("ecr"), "describe_repositories", "repositoryName", PREFIX),
        ("state machine", session.client("stepfunctions"), "list_state_machines", "name", "FL-"),
        ("role", iam, "list_roles", "RoleName", _names_in_iam()),
        ("policy", iam, "list_policies", "PolicyName", _names_in_iam()),
        ("key alias", session.client("kms"), "list_aliases", "AliasName", "alias/fl-"),
        ("log group", logs, "describe_log_groups", "logGroupName", ("/fl/", f"/aws/eks/{CLUSTER}/", ENDPOINT_LOGS)),
    ):
        own = {"Scope": "Local"} if operation == "list_policies" else {}
        names = (item[name] for item in all_of(client, operation, **own))
        yield from ((kind, resource) for resource in names if resource.startswith(prefixes))
    clusters = all_of(session.client("eks"), "list_clusters")
    yield from (("cluster", name) for name in clusters if name == CLUSTER)
    yield from _network(session.client("ec2"))
    yield from (("log stream", stream) for group in SHARED_LOGS for stream in log_streams(logs, group))


def _names_in_iam() -> tuple[str, ...]:
    """Return what the names of roles and policies begin with; another prefix than ours may be that of others, too."""
    prefix = choices.load().parameters.get("NamePrefix", blueprint.NAME_PREFIX)
    whole = (
        name
        for step in blueprint.ALL
        for name in re.findall(r"\$\{NamePrefix\}([a-z-]+)", Stack(step.template, "").body)
    )
    return (blueprint.NAME_PREFIX, PREFIX, *(prefix + name for name in whole))


def _network(ec2: BaseClient) -> Iterator[tuple[str, str]]:
    vpcs = [vpc["VpcId"] for vpc in all_of(ec2, "describe_vpcs", Filters=_NAMED)]
    yield from (("VPC", vpc) for vpc in vpcs)
    for peering in all_of(ec2, "describe_vpc_peering_connections", Filters=_NAMED):
        if peering["Status"]["Code"] in ("active", "pending-acceptance", "provisioning"):
            yield "peering", peering["VpcPeeringConnectionId"]
    yield from (
        ("security group", group["GroupId"]) for group in all_of(ec2, "describe_security_groups", Filters=_NAMED)
    )
    if vpcs:
        inside = [{"Name": "vpc-id", "Values": vpcs}]
        for endpoint in all_of(ec2, "describe_vpc_endpoints", Filters=inside):
            yield "endpoint", endpoint["VpcEndpointId"]
    yield from (("network interface", interface["NetworkInterfaceId"]) for interface in _interfaces(ec2))


def _interfaces(ec2: BaseClient) -> Iterator[dict]:
    """Yield what stands in the workshop's VPC, or in its groups where the VPC is another's."""
    vpcs = [vpc["VpcId"] for vpc in all_of(ec2, "describe_vpcs", Filters=_NAMED)]
    groups = [group["GroupId"] for group in all_of(ec2, "describe_security_groups", Filters=_NAMED)]
    found = {}
    for name, values in (("vpc-id", vpcs), ("group-id", groups)):
        if values:
            inside = all_of(ec2, "describe_network_interfaces", Filters=[{"Name": name, "Values": values}])
            found |= {interface["NetworkInterfaceId"]: interface for interface in inside}
    # Those of endpoints go with their endpoint.
    yield from (interface for interface in found.values() if interface.get("InterfaceType") != "vpc_endpoint")


def all_of(client: BaseClient, operation: str, **request: object) -> Iterator[Any]:
    """Yield what an operation lists, page by page."""
    paginator = client.get_paginator(operation)
    (key, *_) = paginator.result_keys
    for page in paginator.paginate(**request):
        yield from page.get(key.expression, [])


def _jobs(client) -> dict[str, str]:
    jobs = all_of(client, "list_training_jobs", NameContains=PREFIX)
    return {
        job["TrainingJobName"]: job["TrainingJobStatus"] for job in jobs if job["TrainingJobName"].startswith(PREFIX)
    }


def log_streams(logs: BaseClient, group: str) -> list[str]:
    """Return the names of this kit's streams in a log group; none where there is no such group."""
    try:
        streams = all_of(logs, "describe_log_streams", logGroupName=group, logStreamNamePrefix=PREFIX)
        return [stream["logStreamName"] for stream in streams]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise


def _delete_logs(session: boto3.Session) -> None:
    logs = session.client("logs")
    for group in SHARED_LOGS:
        for stream in log_streams(logs, group):
            logs.delete_log_stream(logGroupName=group, logStreamName=stream)
    for group in list(all_of(logs, "describe_log_groups", logGroupNamePrefix=ENDPOINT_LOGS)):
        logs.delete_log_group(logGroupName=group["logGroupName"])

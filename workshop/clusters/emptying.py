"""Emptying clusters before their stacks are deleted: runs first, then load balancers and claims, then the namespace.

A load balancer that a Service has made, and the disk behind a claim, are in no stack: were the cluster deleted first,
they would stay, cost money, and hold the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.cleanup import CLUSTER
from workshop.clusters import access
from workshop.clusters.access import NAMESPACE
from workshop.errors import AccountError, StackError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Progress = Callable[[str, str, str, int, int], None]
SECONDS = 600.0  # for AWS to take a load balancer back
PAUSE = 0.3
COLUMNS = ["account", "runs", "load balancers", "claims", "namespaces"]


def empty(
    sessions: Mapping[str, boto3.Session], *, progress: Progress = lambda *_: None, seconds: float = SECONDS
) -> pd.DataFrame:
    """Delete what the federation has in the clusters of these accounts; those that have none are passed over.

    Returns
    -------
    DataFrame
        One line per account that has a cluster: how much of each kind there was.

    Raises
    ------
    StackError, AccountError
        Names the account and what does not go; the others are emptied all the same.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        done = list(pool.map(lambda name: _outcome(name, sessions[name], progress, seconds), sessions))
    if failed := [outcome for outcome in done if isinstance(outcome, Exception)]:
        raise type(failed[0])("\n".join(map(str, failed)))
    return pd.DataFrame([line for line in done if line], columns=COLUMNS).set_index("account")


def _outcome(name: str, session: boto3.Session, progress: Progress, seconds: float) -> Any:
    try:
        return _empty(name, session, progress, seconds)
    except (AccountError, StackError) as error:
        return error


def _empty(name: str, session: boto3.Session, progress: Progress, seconds: float) -> tuple | None:
    from urllib3.exceptions import HTTPError

    from kubernetes import client

    if not _has_cluster(name, session):
        return None
    cluster = access.find(session, CLUSTER, account=name)
    api = access.api(session, cluster)
    give_up = time.monotonic() + seconds
    try:
        return (name, *(_delete(step, api, name, progress, give_up) for step in _steps(api)))
    except client.ApiException as error:
        raise StackError(f"account {name}: cluster {CLUSTER} does not let go: {error.status} {error.reason}") from error
    except HTTPError as error:
        raise StackError(
            f"account {name}: the API of cluster {CLUSTER} does not answer ({type(error).__name__}): empty it from "
            "inside its VPC, or let it be reached (OwnerAddresses of cluster.yaml)"
        ) from error


def _has_cluster(name: str, session: boto3.Session) -> bool:
    eks = session.client("eks")
    try:
        return eks.describe_cluster(name=CLUSTER)["cluster"]["status"] not in ("DELETING", "FAILED", "CREATING")
    except eks.exceptions.ResourceNotFoundException:
        return False
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {name}: EKS does not tell of cluster {CLUSTER}: {error}") from error


def _steps(api: ApiClient) -> list[tuple[str, Callable[[], list[Any]], Callable[[Any], object]]]:
    """Return each kind of thing: what it is called, how it is listed, how one is deleted; in the order to do it."""
    from kubernetes import client

    core: Any = client.CoreV1Api(api)
    batch: Any = client.BatchV1Api(api)

    def of(thing: Any) -> tuple[str, str]:
        return thing.metadata.name, thing.metadata.namespace

    return [
        (
            "runs",
            lambda: batch.list_namespaced_job(NAMESPACE).items,
            lambda each: batch.delete_namespaced_job(*of(each), propagation_policy="Foreground"),
        ),
        (
            "load balancers",
            lambda: [each for each in core.list_service_for_all_namespaces().items if each.spec.type == "LoadBalancer"],
            lambda each: core.delete_namespaced_service(*of(each)),
        ),
        (
            "claims",
            lambda: core.list_namespaced_persistent_volume_claim(NAMESPACE).items,
            lambda each: core.delete_namespaced_persistent_volume_claim(*of(each)),
        ),
        (
            "namespaces",
            lambda: [each for each in core.list_namespace().items if each.metadata.name == NAMESPACE],
            lambda each: core.delete_namespace(each.metadata.name),
        ),
    ]


def _delete(
    step: tuple[str, Callable[[], list[Any]], Callable[[Any], object]],
    api: ApiClient,
    name: str,
    progress: Progress,
    give_up: float,
) -> int:
    """Delete all of a kind and wait until it is gone; return how many there were."""
    from kubernetes import client

    what, listed, delete = step
    there = listed()
    for each in there:
        if each.metadata.deletion_timestamp is None:
            try:
                delete(each)
            except client.ApiException as error:
                if error.status not in (404, 409):  # somebody was faster
                    raise
    while left := listed():
        progress(name, what, "DELETE_IN_PROGRESS", len(there) - len(left), len(there))
        if time.monotonic() > give_up:
            names = ", ".join(each.metadata.name for each in left)
            raise StackError(f"account {name}: {what} do not go: {names}; see `kubectl describe`, then delete again")
        time.sleep(PAUSE)
    if there:
        progress(name, what, "DELETE_COMPLETE", len(there), len(there))
    return len(there)

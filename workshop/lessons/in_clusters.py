"""Experiments of the lessons on clusters: what a cluster must refuse, and what hospitals keep of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.cleanup import all_of
from workshop.clusters import access
from workshop.clusters.access import NAMESPACE, Cluster
from workshop.clusters.agents import Agent
from workshop.errors import AccountError

MODELS = "artefacts/models/"  # as ``client_code/own_bucket.py`` has it


def refused(session: boto3.Session, cluster: Cluster, kind: str) -> str:
    """Ask a cluster for what it must not tell; return its words.

    Parameters
    ----------
    kind : str
        ``pods`` or ``secrets``, of the federation's namespace.

    Raises
    ------
    AccountError
        If the cluster answers.
    """
    from kubernetes import client

    core = client.CoreV1Api(access.api(session, cluster))
    ask: Callable[[str], Any] = {"pods": core.list_namespaced_pod, "secrets": core.list_namespaced_secret}[kind]
    return _refusal(lambda: ask(NAMESPACE), f"{kind} of {cluster.name}")


def refused_pod(session: boto3.Session, cluster: Cluster, **odd: Any) -> str:
    """Ask for a pod whose container has something odd in its security context; return the cluster's words.

    Raises
    ------
    AccountError
        If the cluster takes it.
    """
    from kubernetes import client

    container = {"name": "odd", "image": "none", "securityContext": odd}
    pod: Any = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "odd-", "namespace": NAMESPACE},
        "spec": {"containers": [container]},
    }  # fmt: skip
    core = client.CoreV1Api(access.api(session, cluster))
    return _refusal(lambda: core.create_namespaced_pod(NAMESPACE, pod, dry_run="All"), "a pod")


def _refusal(act: Callable[[], object], what: str) -> str:
    from kubernetes import client

    try:
        act()
    except client.ApiException as error:
        if error.status in (401, 403):
            message = json.loads(error.body or "{}").get("message", error.reason)
            return re.sub(
                r"\b(odd-)[a-z0-9]+", r"\1...", re.sub(r"(assumed-role/[\w+=,.@-]+/)[\w+=,.@-]+", r"\1...", message)
            )
        raise AccountError(f"the cluster failed, but refused nothing: {error.status} {error.reason}") from error
    raise AccountError(f"the cluster gave {what}, and must not: do not go on before it is clear why")


def models_kept(session_of: Callable[[str], boto3.Session], agents: Sequence[Agent], *, run: str) -> dict[str, bool]:
    """Return which hospitals have a run's model in their own buckets, each asked with its own session.

    Raises
    ------
    AccountError
        If an account does not answer.
    """
    kept = {}
    for agent in agents:
        client = session_of(agent.name).client("s3")
        try:
            buckets = [each["Name"] for each in all_of(client, "list_buckets") if each["Name"].startswith("fl-")]
            listed = [client.list_objects_v2(Bucket=name, Prefix=f"{MODELS}{run}/") for name in buckets]
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account {agent.name} does not show its bucket: {error}") from error
        kept[agent.name] = any(answer.get("KeyCount") for answer in listed)
    return kept

"""Sessions of pods: whether a pod gets its role, and the temporary credentials if it does.

Sources: AWS, EKS user guide, "Learn how EKS Pod Identity grants pods access to AWS services", "Configure IAM roles for
Pod Identity", "Grant Pods access to AWS resources based on tags"; EKS Auth API reference, AssumeRoleForPodIdentity.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

from moto.sts.models import AssumedRole, sts_backends

from embedded_aws.gate import principals
from embedded_aws.gate.roles import role_may
from embedded_aws.policies.conditions import PolicyError
from embedded_aws.policies.policy import Policy, Request, evaluate
from embedded_aws.services.eks import addons, nodes, places, pod_identities, roles
from embedded_aws.services.eks.state import Cluster, Told

LIFE_SECONDS = 6 * 3600
AGENT_ADDRESS, AGENT_PORT = IPv4Address("169.254.170.23"), 80
ACTION = "eks-auth:AssumeRoleForPodIdentity"
# Source: the user guide's page on tags; these are transitive.
TAGS = (
    "eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name",
    "kubernetes-pod-uid",
)  # fmt: skip


class NoCredentials(Exception):
    """A pod gets no credentials; ``code`` is that of the EKS Auth API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Pod:
    """A pod that runs on a node of a cluster."""

    namespace: str
    service_account: str
    name: str
    uid: str
    node: str = ""


@dataclass(frozen=True)
class Lent:
    """A session that a pod has got, and by which association."""

    session: AssumedRole
    association: Told

    @property
    def expires(self) -> datetime:
        """When it ends."""
        return self.session.expiration.replace(tzinfo=UTC)


def lend(cluster: Cluster, pod: Pod) -> Lent:
    """Take the role of a pod's service account.

    Raises
    ------
    NoCredentials
        If the agent does not run, its node may not ask, there is no association, or the role does not trust EKS's pods
        for this cluster and this pod.
    """
    _check_agent(cluster, pod)
    association = pod_identities.of(cluster, pod.namespace, pod.service_account)
    if association is None:
        raise NoCredentials(
            "AccessDeniedException",
            f"Unauthorized Exception! EKS does not have permissions to assume the associated role: there is no pod "
            f"identity association for {pod.namespace}/{pod.service_account} in {cluster.name}",
        )
    tags = {} if association["disableSessionTags"] else tags_of(cluster, pod)
    if why := untrusted(association["roleArn"], cluster, tags):
        raise NoCredentials("AccessDeniedException", f"{association['roleArn']} does not trust {roles.PODS}: {why}")
    sts: Any = sts_backends[cluster.account]["aws"]
    session = sts.assume_role(
        region_name=cluster.region,
        role_session_name=session_name(cluster.name, pod.name),
        role_arn=association["roleArn"],
        policy=None,
        duration=LIFE_SECONDS,
        external_id=None,
    )
    session.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    if eni := _interface(cluster, pod):
        places.signs(cluster, eni, session.access_key_id)
    return Lent(session, association)


def _check_agent(cluster: Cluster, pod: Pod) -> None:
    addons.look_again(cluster)
    if not addons.is_active(cluster, addons.POD_IDENTITY):
        raise NoCredentials(
            "ServiceUnavailableException",
            f"nothing answers at the pod identity agent's address: the add-on {addons.POD_IDENTITY} of {cluster.name} "
            "is not ACTIVE",
        )
    role = nodes.role_of(cluster, pod.node) if pod.node else next(iter(_node_roles(cluster)), None)
    if role is None:
        raise NoCredentials("InvalidRequestException", f"{cluster.name} has no node {pod.node}".rstrip())
    if (own := cluster.pods.get(pod.uid)) and not places.lets_out(own, AGENT_ADDRESS, AGENT_PORT):
        raise NoCredentials(
            "ServiceUnavailableException",
            f"no NetworkPolicy of pod {pod.namespace}/{pod.name} lets out TCP {AGENT_PORT} to {AGENT_ADDRESS}, the pod "
            "identity agent",
        )
    eni = nodes.interface_of(cluster, pod.node) if pod.node else None
    if eni and (why := places.service_not_reached(cluster, eni, "eks-auth")):
        raise NoCredentials("ServiceUnavailableException", f"the pod identity agent does not reach eks-auth: {why}")
    decision = role_may(role, ACTION, cluster.arn, region=cluster.region)
    if not decision.allowed:
        raise NoCredentials(
            "AccessDeniedException",
            f"User: {role} is not authorized to perform: {ACTION} on resource: {cluster.arn} {decision.why}".rstrip(),
        )


def _interface(cluster: Cluster, pod: Pod) -> str | None:
    """Return where a pod stands: at its own network interface if it has one, else at its node's."""
    return cluster.pods.get(pod.uid) or (nodes.interface_of(cluster, pod.node) if pod.node else None)


def _node_roles(cluster: Cluster) -> list[str]:
    return [group.told["nodeRole"] for group in cluster.nodegroups.values() if group.nodes]


def tags_of(cluster: Cluster, pod: Pod) -> dict[str, str]:
    """Return the tags that EKS puts on a pod's session."""
    values = (cluster.arn, cluster.name, pod.namespace, pod.service_account, pod.name, pod.uid)
    return dict(zip(TAGS, values, strict=True))


def untrusted(role_arn: str, cluster: Cluster, tags: Mapping[str, str]) -> str:
    """Return why a role's trust policy does not let EKS take it for a pod; empty if it does.

    Both ``sts:AssumeRole`` and ``sts:TagSession`` must be allowed, whether there are tags or not.
    """
    role = principals.find_role(role_arn)
    if role is None:
        return "the role does not exist"
    context = {
        "aws:sourceaccount": (cluster.account,), "aws:sourcearn": (cluster.arn,),
        "aws:principalisawsservice": ("true",), "aws:principalservicename": (roles.PODS,),
        **{f"aws:requesttag/{key}": (value,) for key, value in tags.items()},
        **({"aws:tagkeys": tuple(tags), "sts:transitivetagkeys": tuple(tags)} if tags else {}),
    }  # fmt: skip
    trust = Policy.of(f"trust policy of {role.name}", role.assume_role_policy_document)
    for action in ("sts:AssumeRole", "sts:TagSession"):
        request = Request(roles.PODS, "", action, role_arn, context)
        try:
            finding = evaluate([trust], request, resource_policy=True)
        except PolicyError as error:
            return f"the embedded AWS does not know what to make of {error}"
        if finding.effect == "Deny":
            return f"{action} is denied explicitly"
        if finding.effect != "Allow":
            return f"its trust policy does not allow {action} for {cluster.arn}"
    return ""


def session_name(cluster: str, pod: str) -> str:
    """Make up a session's name, as EKS does: at most 64 characters, and no two alike.

    >>> session_name("a" * 100, "pod-0").startswith("eks-aaaa") and len(session_name("a" * 100, "b" * 100))
    64
    """
    plain = re.sub(r"[^\w+=,.@-]", "-", f"eks-{cluster[:24]}-{pod}", flags=re.ASCII)
    return f"{plain[:53].rstrip('-')}-{secrets.token_hex(5)}"


def told(lent: Lent) -> dict[str, Any]:
    """Return credentials as a process of a pod asks for them; botocore's container provider reads these names."""
    session = lent.session
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": f"{lent.expires:%Y-%m-%dT%H:%M:%SZ}",
        "AccountId": lent.association["roleArn"].split(":")[4],
    }

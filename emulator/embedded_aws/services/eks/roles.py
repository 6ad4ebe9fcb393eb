"""Roles that are handed to EKS: who trusts them, and what nodes may do with them."""

from __future__ import annotations

import json

from embedded_aws.gate.principals import find_role
from embedded_aws.gate.roles import role_may, service_may_assume
from embedded_aws.policies import grammar
from embedded_aws.services.eks.errors import invalid_parameter
from embedded_aws.services.eks.state import Cluster

EKS, EC2, PODS = "eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com"
# The account from which EKS hands out the images of its add-ons in most regions.
# Source: AWS, EKS user guide, "View Amazon container image registries for Amazon EKS add-ons".
REGISTRY = "602401143452"
PULLS = ("BatchGetImage", "GetDownloadUrlForLayer")


def check_cluster_role(role_arn: str, *, account: str, cluster_arn: str) -> None:
    """Raise if EKS may not take a role for a cluster."""
    if role_arn.split(":")[4:5] != [account]:
        raise invalid_parameter(f"Cross-account pass role is not allowed: {role_arn}")
    if not service_may_assume(EKS, role_arn, account=account, source_arn=cluster_arn).allowed:
        raise invalid_parameter(
            f"Role with arn: {role_arn}, could not be assumed because it does not exist or the trusted entity is not "
            "correct"
        )


def check_node_role(role_arn: str, *, account: str) -> None:
    """Raise if EC2 may not take a role for machines."""
    if role_arn.split(":")[4:5] != [account]:
        raise invalid_parameter(f"Cross-account pass role is not allowed: {role_arn}")
    if find_role(role_arn) is None:
        raise invalid_parameter(f"The role with name {role_arn.rpartition('/')[2]} cannot be found.")
    if not service_may_assume(EC2, role_arn, account=account, source_arn="").allowed:
        raise invalid_parameter(
            f"Following required service principals [{EC2}] were not found in the trust relationships of nodeRole "
            f"{role_arn}"
        )


def check_pod_role(role_arn: str, *, account: str) -> None:
    """Raise if a pod's role is another account's, or says nothing of EKS's pods; its conditions are for later."""
    if role_arn.split(":")[4:5] != [account]:
        raise invalid_parameter(f"Cross-account pass role is not allowed: {role_arn}")
    role = find_role(role_arn)
    if role is None:
        raise invalid_parameter(f"Role provided in the request does not exist: {role_arn}")
    trusted: set[str] = set()
    for statement in grammar.statements(grammar.read(_text(role.assume_role_policy_document))):
        named = statement.get("Principal", {})
        if isinstance(named, dict) and statement.get("Effect") == "Allow":
            trusted |= set(grammar.listed(named.get("Service", [])))
    if PODS not in trusted:
        raise invalid_parameter(
            f"Trust policy of role {role_arn} does not allow {PODS} sts:AssumeRole and sts:TagSession"
        )


def _text(document: object) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def node_lacks(cluster: Cluster, role_arn: str) -> str:
    """Return what a node's role may not do and a node needs to join its cluster; empty if nothing.

    Source: AWS, EKS user guide, "Amazon EKS node IAM role" (AmazonEKSWorkerNodePolicy and
    AmazonEC2ContainerRegistryPullOnly).
    """
    if find_role(role_arn) is None:
        return f"the role {role_arn} does not exist"
    images = f"arn:aws:ecr:{cluster.region}:{REGISTRY}:repository/eks/pause"
    needed = [("eks:DescribeCluster", cluster.arn), ("ec2:DescribeInstances", "*"), ("ecr:GetAuthorizationToken", "*")]
    for action, resource in [*needed, *((f"ecr:{pull}", images) for pull in PULLS)]:
        decision = role_may(role_arn, action, resource, region=cluster.region)
        if not decision.allowed:
            return f"the node role {role_arn} may not {action} on {resource} {decision.why}"
    return ""

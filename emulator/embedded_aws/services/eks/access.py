"""Access entries: which principals may use a cluster's API, under which name, in which groups, with which policies.

Source: AWS, EKS user guide, "Create access entries", "Associate access policies with access entries".
"""

from __future__ import annotations

import re
from typing import Any

from moto.iam.models import iam_backends

from embedded_aws.gate.principals import find_role
from embedded_aws.services.eks import policies, state
from embedded_aws.services.eks.errors import in_use, invalid_parameter, invalid_request, not_found
from embedded_aws.services.eks.requests import Answer, Asked, page
from embedded_aws.services.eks.state import Cluster, Entry

# What EKS calls nodes, and the groups in which they are.
NODES = {"EC2_LINUX": ("system:bootstrappers", "system:nodes")}
_PRINCIPAL = re.compile(r"arn:aws:iam::(?P<account>\d{12}):(?P<kind>role|user)/(?P<name>[\w+=,.@/-]+)", re.ASCII)
_RESERVED = ("system:", "eks:", "aws:", "amazon:", "iam:")


def create(asked: Asked) -> Answer:
    """CreateAccessEntry."""
    cluster = state.usable(asked.account, asked.region, asked.p["clusterName"])
    p, kind = asked.p, asked.p.get("type", "STANDARD")
    if kind not in ("STANDARD", *NODES):
        raise NotImplementedError(f"type {kind} of CreateAccessEntry")
    if p["principalArn"] in cluster.entries:
        raise in_use("The specified access entry resource is already in use on this cluster.")
    if kind in NODES and ("username" in p or p.get("kubernetesGroups")):
        raise invalid_parameter(f"The username and kubernetesGroups cannot be set for type {kind}")
    _check(p)
    entry = make(cluster, p["principalArn"], kind=kind)
    entry.told["tags"] = dict(p.get("tags", {}))
    entry.told["username"] = p.get("username") or entry.told["username"]
    if kind == "STANDARD":
        entry.told["kubernetesGroups"] = list(p.get("kubernetesGroups", []))
    return {"accessEntry": entry.told}


def _check(p: Any) -> None:
    name = p.get("username", "")
    if name.startswith(_RESERVED):
        raise invalid_parameter(f"The username {name} must not begin with {', '.join(_RESERVED)}")
    for group in p.get("kubernetesGroups", []):
        if group.startswith(_RESERVED):
            raise invalid_parameter(f"The kubernetes group name {group} is invalid, it cannot start with system:")


def make(cluster: Cluster, principal: str, *, kind: str) -> Entry:
    """Make the access entry of a user or a role, with the name that EKS gives it.

    Raises
    ------
    EksError
        If there is no such principal.
    """
    match = _PRINCIPAL.fullmatch(principal)
    unique = unique_id(principal)
    if match is None or unique is None:
        raise invalid_parameter("The specified principalArn is invalid: invalid principal.")
    if kind in NODES and match["kind"] != "role":
        raise invalid_parameter(f"The specified principalArn is not supported for type {kind}")
    username = principal
    if match["kind"] == "role":
        role = match["name"].rpartition("/")[2]
        username = f"arn:aws:sts::{match['account']}:assumed-role/{role}/{{{{SessionName}}}}"
    now = state.now()
    arn = cluster.new_arn("access-entry", match["kind"], match["account"], match["name"].rpartition("/")[2])
    told = {
        "clusterName": cluster.name, "principalArn": principal, "kubernetesGroups": [],
        "accessEntryArn": f"{arn}/{state.new_id()}", "createdAt": now, "modifiedAt": now, "tags": {},
        "username": "system:node:{{EC2PrivateDNSName}}" if kind in NODES else username, "type": kind,
    }  # fmt: skip
    if kind in NODES:
        told["kubernetesGroups"] = list(NODES[kind])
    cluster.entries[principal] = entry = Entry(told, unique)
    return entry


def unique_id(principal: str) -> str | None:
    """Return IAM's id of a user or a role: one who is made later under the same name has another."""
    match = _PRINCIPAL.fullmatch(principal)
    if match is None:
        return None
    if match["kind"] == "role":
        role = find_role(principal)
        return role.id if role else None
    users = iam_backends[match["account"]]["aws"].users.values() if match["account"] in iam_backends else ()
    return next((user.id for user in users if user.arn == principal), None)


def admit_creator(cluster: Cluster) -> None:
    """Make whoever creates a cluster its administrator, as ``bootstrapClusterCreatorAdminPermissions`` says."""
    entry = make(cluster, cluster.creator, kind="STANDARD")
    _associate(entry, f"{policies.PREFIX}AmazonEKSClusterAdminPolicy", {"type": "cluster", "namespaces": []})


def admit_nodes(cluster: Cluster, role_arn: str) -> None:
    """Make the entry that EKS makes by itself for the role of managed nodes."""
    if role_arn not in cluster.entries and unique_id(role_arn):
        make(cluster, role_arn, kind="EC2_LINUX")


def find(asked: Asked) -> Entry:
    """Return the entry that a request names."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    entry = cluster.entries.get(asked.p["principalArn"])
    if entry is None:
        raise not_found(
            "The specified principalArn could not be found. You can view your available access entries with 'aws eks "
            "list-access-entries'."
        )
    return entry


def describe(asked: Asked) -> Answer:
    """DescribeAccessEntry."""
    return {"accessEntry": find(asked).told}


def enlist(asked: Asked) -> Answer:
    """ListAccessEntries."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    policy = asked.p.get("associatedPolicyArn")
    found = [name for name, entry in sorted(cluster.entries.items()) if policy is None or policy in entry.policies]
    return page(asked, "accessEntries", found)


def update(asked: Asked) -> Answer:
    """UpdateAccessEntry."""
    entry = find(asked)
    if entry.told["type"] in NODES:
        raise invalid_request(f"An access entry of type {entry.told['type']} cannot be changed")
    _check(asked.p)
    entry.told["kubernetesGroups"] = list(asked.p.get("kubernetesGroups", entry.told["kubernetesGroups"]))
    entry.told["username"] = asked.p.get("username", entry.told["username"])
    entry.told["modifiedAt"] = state.now()
    return {"accessEntry": entry.told}


def delete(asked: Asked) -> Answer:
    """DeleteAccessEntry; who had it may use the cluster no more."""
    principal = find(asked).told["principalArn"]
    del state.find(asked.account, asked.region, asked.p["clusterName"]).entries[principal]
    return {}


def associate(asked: Asked) -> Answer:
    """AssociateAccessPolicy; again with another scope replaces the first."""
    entry, policy, scope = find(asked), asked.p["policyArn"], asked.p["accessScope"]
    if policy not in policies.ARNS:
        raise invalid_parameter(f"The policyArn {policy} is not an access policy of EKS that is known here")
    if entry.told["type"] in NODES:
        raise invalid_request(
            f"An access policy cannot be associated with an access entry of type {entry.told['type']}"
        )
    spaces = list(scope.get("namespaces", []))
    if scope.get("type") not in ("cluster", "namespace") or (scope["type"] == "namespace") != bool(spaces):
        raise invalid_parameter("The accessScope must be of type cluster, or of type namespace with namespaces")
    told = _associate(entry, policy, {"type": scope["type"], "namespaces": spaces})
    return {**_of(asked), "associatedAccessPolicy": told}


def _associate(entry: Entry, policy: str, scope: dict[str, Any]) -> dict[str, Any]:
    now = state.now()
    began = entry.policies.get(policy, {}).get("associatedAt", now)
    entry.policies[policy] = told = {
        "policyArn": policy, "accessScope": scope, "associatedAt": began, "modifiedAt": now,
    }  # fmt: skip
    return told


def disassociate(asked: Asked) -> Answer:
    """DisassociateAccessPolicy."""
    if find(asked).policies.pop(asked.p["policyArn"], None) is None:
        raise not_found(f"The access policy {asked.p['policyArn']} is not associated with the access entry")
    return {}


def associated(asked: Asked) -> Answer:
    """ListAssociatedAccessPolicies."""
    found = list(find(asked).policies.values())
    return {**_of(asked), **page(asked, "associatedAccessPolicies", found)}


def _of(asked: Asked) -> Answer:
    return {"clusterName": asked.p["clusterName"], "principalArn": asked.p["principalArn"]}


def known(asked: Asked) -> Answer:
    """ListAccessPolicies: those that are understood here."""
    return page(asked, "accessPolicies", [{"name": name, "arn": arn} for arn, name in sorted(policies.ARNS.items())])

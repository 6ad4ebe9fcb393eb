"""Permissions that calls of EKS need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon Elastic Kubernetes
Service"; EKS user guide, "Encrypt Kubernetes secrets with KMS" (kms:DescribeKey and kms:CreateGrant of who creates).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from embedded_aws.gate import tags
from embedded_aws.gate.asks import passed
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.services.eks import roles, state

# Operations of which no one cluster is asked for.
FREE = ("CreateCluster", "ListClusters", "DescribeAddonVersions", "ListAccessPolicies")
_PASSED = {
    "CreateCluster": ("roleArn", roles.EKS),
    "CreateNodegroup": ("nodeRole", roles.EC2),
    "CreatePodIdentityAssociation": ("roleArn", roles.PODS),
    "UpdatePodIdentityAssociation": ("roleArn", roles.PODS),
}
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_KEY = re.compile(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", re.ASCII)


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call asks for."""
    p = call.parameters
    context = _context(call) | _tags(call)
    for resource in _resources(call, caller.account):
        yield Ask(call.action, resource, {**context, **_of_entry(call, caller.account, resource)})
    member, receiver = _PASSED.get(call.operation, ("", ""))
    if member and _ROLE.fullmatch(role := str(p.get(member, ""))):  # EKS refuses what is no role's ARN
        yield passed(role, receiver)
    for wanted in p.get("encryptionConfig", []):
        if _KEY.fullmatch(key := wanted.get("provider", {}).get("keyArn", "")):
            for action in ("DescribeKey", "CreateGrant"):
                via = {"kms:viaservice": (f"eks.{call.region}.amazonaws.com",), "aws:viaawsservice": ("true",)}
                yield Ask(f"kms:{action}", key, via)


def _tags(call: Call) -> tags.Values:
    if call.operation == "UntagResource":  # one key, as it came in the query
        return {"aws:tagkeys": (str(call.parameters.get("tagKeys", "")),)}
    return tags.in_request(call)


def _resources(call: Call, account: str) -> Iterator[str]:
    p = call.parameters
    if call.operation in FREE:
        yield "*"
        return
    if "resourceArn" in p:
        yield p["resourceArn"]
        return
    name = p.get("name") or p.get("clusterName") or ""
    here = f"arn:aws:eks:{call.region}:{account}"
    cluster = state.look(account, call.region, name)
    whole = f"{here}:cluster/{name}"
    if call.operation == "DescribeUpdate":
        yield whole
        yield from _parts(cluster, f"{here}:{{}}/{name}", {n: p[n] for n in ("nodegroupName", "addonName") if n in p})
    elif call.operation.startswith("Create") or (call.operation.startswith("List") and "principalArn" not in p):
        yield whole
    elif principal := p.get("principalArn"):
        entry = cluster.entries.get(principal) if cluster else None
        yield entry.told["accessEntryArn"] if entry else _entry_arn(here, name, principal)
    elif association := p.get("associationId"):
        yield f"{here}:podidentityassociation/{name}/{association}"
    else:
        yield from list(_parts(cluster, f"{here}:{{}}/{name}", p)) or [whole]


def _parts(cluster: state.Cluster | None, pattern: str, p: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ARNs of the node group and the add-on of a request: of one that is not there, all that may be."""
    if group := p.get("nodegroupName"):
        known = cluster.nodegroups.get(group) if cluster else None
        yield known.told["nodegroupArn"] if known else f"{pattern.format('nodegroup')}/{group}/*"
    if addon := p.get("addonName"):
        told = cluster.addons.get(addon) if cluster else None
        yield told["addonArn"] if told else f"{pattern.format('addon')}/{addon}/*"


def _entry_arn(here: str, cluster: str, principal: str) -> str:
    parts = principal.split(":")
    kind, _, name = parts[5].partition("/") if len(parts) == 6 else ("role", "", principal)
    return f"{here}:access-entry/{cluster}/{kind}/{parts[4] if len(parts) == 6 else '*'}/{name.rpartition('/')[2]}/*"


def _context(call: Call) -> dict[str, tuple[str, ...]]:
    p, found = call.parameters, {}
    settings: Mapping[str, Any] = p.get("accessConfig", {})
    if "authenticationMode" in settings:
        found["eks:authenticationmode"] = (str(settings["authenticationMode"]),)
    if "bootstrapClusterCreatorAdminPermissions" in settings:
        found["eks:bootstrapclustercreatoradminpermissions"] = (
            str(settings["bootstrapClusterCreatorAdminPermissions"]).lower(),
        )
    if "supportType" in p.get("upgradePolicy", {}):
        found["eks:supporttype"] = (str(p["upgradePolicy"]["supportType"]),)
    if call.operation in ("CreateCluster", "UpdateClusterConfig"):
        for row in p.get("logging", {}).get("clusterLogging", []):
            for kind in row.get("types", []):
                found[f"eks:loggingtype/{kind.lower()}"] = (str(bool(row.get("enabled"))).lower(),)
    if call.operation == "CreateAccessEntry":
        found["eks:accessentrytype"] = (str(p.get("type", "STANDARD")),)
        found |= {f"eks:{name.lower()}": (str(p[name]),) for name in ("principalArn", "username") if name in p}
        if p.get("kubernetesGroups"):
            found["eks:kubernetesgroups"] = tuple(p["kubernetesGroups"])
    if call.operation in ("AssociateAccessPolicy", "DisassociateAccessPolicy"):
        found["eks:policyarn"] = (str(p.get("policyArn", "")),)
        scope = p.get("accessScope", {})
        if "type" in scope:
            found["eks:accessscope"] = (str(scope["type"]),)
        if scope.get("namespaces"):
            found["eks:namespaces"] = tuple(scope["namespaces"])
    return found


def _of_entry(call: Call, account: str, resource: str) -> dict[str, tuple[str, ...]]:
    """Return the condition keys of an access entry that is there."""
    if ":access-entry/" not in resource:
        return {}
    name = call.parameters.get("name") or call.parameters.get("clusterName") or ""
    cluster = state.look(account, call.region, name)
    entry = cluster.entries.get(call.parameters.get("principalArn", "")) if cluster else None
    if entry is None:
        return {"eks:clustername": (name,)}
    told = entry.told
    groups = {"eks:kubernetesgroups": tuple(told["kubernetesGroups"])} if told["kubernetesGroups"] else {}
    return {
        "eks:clustername": (name,), "eks:principalarn": (told["principalArn"],), "eks:username": (told["username"],),
        "eks:accessentrytype": (told["type"],), **groups,
    }  # fmt: skip

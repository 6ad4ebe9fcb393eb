"""Add-ons: the few that a private cluster needs; each is ACTIVE when there is somewhere for it to run.

Sources: AWS, EKS API reference, CreateAddon, UpdateAddon, DescribeAddonVersions; EKS user guide, "AWS add-ons". The
numbers behind ``eksbuild`` are made up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.services.eks import state
from embedded_aws.services.eks.cluster_requests import VERSIONS, begun
from embedded_aws.services.eks.errors import in_use, invalid_parameter, not_found
from embedded_aws.services.eks.later import later
from embedded_aws.services.eks.requests import Answer, Asked, page
from embedded_aws.services.eks.state import Cluster, Told

POD_IDENTITY = "eks-pod-identity-agent"
# Name -> its version for a version of Kubernetes, and what kind of add-on it is.
_PROXY = {version: f"v{version}.0-eksbuild.1" for version in VERSIONS}
ADDONS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "vpc-cni": (dict.fromkeys(VERSIONS, "v1.20.4-eksbuild.1"), "networking"),
    "coredns": (dict.fromkeys(VERSIONS, "v1.12.4-eksbuild.1"), "networking"),
    "kube-proxy": (_PROXY, "networking"),
    POD_IDENTITY: (dict.fromkeys(VERSIONS, "v1.3.9-eksbuild.3"), "security"),
}
# Of a Deployment: without a node its pods stay Pending. DaemonSets have nothing to run and are content.
_NEEDS_A_NODE = ("coredns",)


def create(asked: Asked) -> Answer:
    """CreateAddon."""
    cluster = state.usable(asked.account, asked.region, asked.p["clusterName"])
    p, name = asked.p, asked.p["addonName"]
    if name not in ADDONS:
        raise invalid_parameter(
            f"Addon {name} specified is not supported in {cluster.told['version']} kubernetes version"
        )
    if name in cluster.addons:
        raise in_use("Addon already exists.")
    now = state.now()
    told: Told = {
        "addonName": name, "clusterName": cluster.name, "status": "CREATING", "addonVersion": _version(cluster, p),
        "health": {"issues": []}, "addonArn": cluster.new_arn("addon", name, state.new_id()), "createdAt": now,
        "modifiedAt": now, "tags": dict(p.get("tags", {})), "owner": "aws", "publisher": "eks", **_values(asked),
    }  # fmt: skip
    cluster.addons[name] = told
    later(lambda: _settle(cluster, told))
    return {"addon": told}


def _version(cluster: Cluster, p: Mapping[str, Any]) -> str:
    only = ADDONS[p["addonName"]][0][cluster.told["version"]]
    wanted = p.get("addonVersion") or only
    # Another cluster's version of kube-proxy is none of this one's.
    if not re.match(re.escape(only.partition("-")[0].rpartition(".")[0]) + r"\.\d+-eksbuild\.\d+$", wanted):
        raise invalid_parameter("Addon version specified is not supported")
    return wanted


def _values(asked: Asked) -> dict[str, str]:
    told = {}
    if values := asked.p.get("configurationValues"):
        try:
            if not isinstance(json.loads(values), dict):
                raise ValueError
        except ValueError:
            raise invalid_parameter("ConfigurationValue provided in request is not supported: no JSON object") from None
        told["configurationValues"] = values
    return told


def _settle(cluster: Cluster, told: Told) -> None:
    if told["status"] not in ("CREATING", "UPDATING", "DEGRADED"):
        return
    ready = any(group.nodes and group.told["status"] == "ACTIVE" for group in cluster.nodegroups.values())
    if told["addonName"] in _NEEDS_A_NODE and not ready:
        issue = {
            "code": "InsufficientNumberOfReplicas", "resourceIds": [],
            "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
        }  # fmt: skip
        told["status"], told["health"] = "DEGRADED", {"issues": [issue]}
        return
    told["status"], told["health"] = "ACTIVE", {"issues": []}


def look_again(cluster: Cluster) -> None:
    """Let add-ons that waited for a node run; whoever looks at one calls this."""
    for told in cluster.addons.values():
        if told["status"] == "DEGRADED":
            _settle(cluster, told)


def find(asked: Asked) -> tuple[Cluster, Told]:
    """Return the cluster and the add-on that a request names."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    look_again(cluster)
    if asked.p["addonName"] not in cluster.addons:
        raise not_found(f"No addon: {asked.p['addonName']} found in cluster: {cluster.name}")
    return cluster, cluster.addons[asked.p["addonName"]]


def describe(asked: Asked) -> Answer:
    """DescribeAddon."""
    return {"addon": find(asked)[1]}


def enlist(asked: Asked) -> Answer:
    """ListAddons."""
    return page(asked, "addons", sorted(state.find(asked.account, asked.region, asked.p["clusterName"]).addons))


def update(asked: Asked) -> Answer:
    """UpdateAddon."""
    cluster, told = find(asked)
    if told["status"] in ("CREATING", "UPDATING", "DELETING"):
        raise in_use(f"Addon {told['addonName']} is {told['status']}")
    values = _values(asked)
    version = _version(cluster, asked.p) if "addonVersion" in asked.p else told["addonVersion"]
    told["status"], told["modifiedAt"] = "UPDATING", state.now()
    update_ = begun(cluster, "AddonUpdate", {"AddonVersion": version})

    def done() -> None:
        told.update(values, addonVersion=version)
        _settle(cluster, told)
        update_["status"] = "Successful"

    later(done)
    return {"update": update_}


def delete(asked: Asked) -> Answer:
    """DeleteAddon."""
    cluster, told = find(asked)
    told["status"] = "DELETING"
    later(lambda: cluster.addons.pop(told["addonName"], None))
    return {"addon": told}


def versions(asked: Asked) -> Answer:
    """DescribeAddonVersions."""
    name, wanted = asked.p.get("addonName"), asked.p.get("kubernetesVersion")
    found = []
    for addon, (table, kind) in sorted(ADDONS.items()):
        fits = [version for version in table if wanted in (None, version)]
        if name in (None, addon) and fits:
            numbers = sorted({table[version] for version in fits}, reverse=True)
            rows = [
                {
                    "addonVersion": number, "architecture": ["amd64", "arm64"], "requiresConfiguration": False,
                    "compatibilities": [
                        {"clusterVersion": version, "platformVersions": ["*"], "defaultVersion": True}
                        for version in fits
                        if table[version] == number
                    ],
                }
                for number in numbers
            ]  # fmt: skip
            found.append({"addonName": addon, "type": kind, "addonVersions": rows, "publisher": "eks", "owner": "aws"})
    return page(asked, "addons", found)


def is_active(cluster: Cluster, name: str) -> bool:
    """Tell whether a cluster's add-on runs."""
    return cluster.addons.get(name, {}).get("status") == "ACTIVE"

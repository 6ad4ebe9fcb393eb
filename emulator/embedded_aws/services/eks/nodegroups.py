"""Operations on managed node groups: machines that join their cluster, or say why they do not.

Sources: AWS, EKS API reference, CreateNodegroup, UpdateNodegroupConfig; EKS user guide, "Troubleshoot problems with
Amazon EKS clusters and nodes" ("Nodes fail to join cluster").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.services.eks import access, nodes, places, roles, state
from embedded_aws.services.eks.cluster_requests import VERSIONS, begun
from embedded_aws.services.eks.errors import EksError, in_use, invalid_parameter, not_found
from embedded_aws.services.eks.later import later
from embedded_aws.services.eks.machines import IMAGES, MACHINES
from embedded_aws.services.eks.requests import Answer, Asked, page
from embedded_aws.services.eks.state import Cluster, Nodegroup, Told

FAILED = "Instances failed to join the kubernetes cluster"
DISK_GIB = 20
_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)


def create(asked: Asked) -> Answer:
    """CreateNodegroup."""
    cluster = state.usable(asked.account, asked.region, asked.p["clusterName"])
    p, name = asked.p, asked.p["nodegroupName"]
    if not _NAME.fullmatch(name):
        raise invalid_parameter(f"The nodegroup name {name!r} is not valid: at most 63 letters, digits, - and _")
    if name in cluster.nodegroups:
        raise in_use(f"NodeGroup already exists with name {name} and cluster name {cluster.name}")
    roles.check_node_role(p["nodeRole"], account=asked.account)
    if not p["subnets"]:
        raise invalid_parameter("Subnets cannot be empty")
    places.check_node_subnets(cluster, p["subnets"])
    now = state.now()
    told: Told = {
        "nodegroupName": name, "nodegroupArn": cluster.new_arn("nodegroup", name, state.new_id()),
        "clusterName": cluster.name, **_version(cluster, p), "createdAt": now, "modifiedAt": now, "status": "CREATING",
        "capacityType": p.get("capacityType", "ON_DEMAND"), "scalingConfig": _scaling(p.get("scalingConfig", {})),
        "subnets": list(p["subnets"]), **_machine(p), "nodeRole": p["nodeRole"], "labels": dict(p.get("labels", {})),
        "taints": list(p.get("taints", [])), "diskSize": p.get("diskSize", DISK_GIB), "health": {"issues": []},
        "updateConfig": dict(p.get("updateConfig", {"maxUnavailable": 1})), "tags": dict(p.get("tags", {})),
        "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{state.new_id()}"}]},
    }  # fmt: skip
    group = Nodegroup(told)
    access.admit_nodes(cluster, p["nodeRole"])
    cluster.nodegroups[name] = group
    later(lambda: _settle(cluster, group))
    return {"nodegroup": told}


def _version(cluster: Cluster, p: Mapping[str, Any]) -> dict[str, str]:
    version = p.get("version", cluster.told["version"])
    if version not in VERSIONS or VERSIONS.index(version) > VERSIONS.index(cluster.told["version"]):
        raise invalid_parameter(f"Requested Nodegroup version {version} is not supported by the cluster {cluster.name}")
    return {"version": version, "releaseVersion": f"{version}.0-20261101"}


def _machine(p: Mapping[str, Any]) -> dict[str, Any]:
    kinds = list(p.get("instanceTypes") or ["t3.medium"])
    for kind in kinds:
        if kind not in MACHINES:
            raise NotImplementedError(f"the instance type {kind} of CreateNodegroup: there are {', '.join(MACHINES)}")
    image = (
        p.get("amiType") or f"AL2023_{'ARM_64' if MACHINES[kinds[0]].architecture == 'arm64' else 'x86_64'}_STANDARD"
    )
    if image not in IMAGES:
        raise NotImplementedError(f"the amiType {image} of CreateNodegroup: there are {', '.join(IMAGES)}")
    if wrong := [kind for kind in kinds if MACHINES[kind].architecture != IMAGES[image]]:
        raise invalid_parameter(f"[{', '.join(wrong)}] is not a valid instance type for requested amiType {image}")
    return {"instanceTypes": kinds, "amiType": image}


def _scaling(wanted: Mapping[str, int], before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return how many nodes there are to be.

    Source: AWS, EKS API reference, NodegroupScalingConfig: desiredSize 2 unless given.
    """
    sizes = {"minSize": 1, "maxSize": 2, "desiredSize": 2, **(before or {}), **wanted}
    if sizes["maxSize"] < 1 or sizes["minSize"] < 0:
        raise invalid_parameter("Minimum capacity must be at least 0 and maximum capacity at least 1")
    if sizes["minSize"] > sizes["desiredSize"]:
        raise invalid_parameter(
            f"Minimum capacity {sizes['minSize']} can't be greater than desired size {sizes['desiredSize']}"
        )
    if sizes["desiredSize"] > sizes["maxSize"]:
        raise invalid_parameter(
            f"desired capacity {sizes['desiredSize']} can't be greater than max size {sizes['maxSize']}"
        )
    return sizes


def _settle(cluster: Cluster, group: Nodegroup) -> None:
    """Bring a group to its size; what keeps its machines from joining stands in its health."""
    told = group.told
    if told["status"] not in ("CREATING", "UPDATING"):
        return
    wanted = told["scalingConfig"]["desiredSize"]
    nodes.remove(cluster, group, list(group.nodes)[wanted:])
    try:
        new = nodes.place(cluster, group, wanted - len(group.nodes))
    except EksError as error:
        _fail(group, "InsufficientFreeAddresses", str(error), [])
        return
    why = roles.node_lacks(cluster, told["nodeRole"])
    why = why or next(filter(None, (places.not_reached(cluster, eni) for eni in new.values())), "")
    if why and new:
        if told["status"] == "UPDATING":  # those that have joined stay; the others are ended
            nodes.remove(cluster, group, list(new))
        _fail(group, "NodeCreationFailure", f"{FAILED}: {why}", list(new.values()))
        return
    nodes.join(cluster, group, list(new))
    told["status"], told["health"] = "ACTIVE", {"issues": []}


def _fail(group: Nodegroup, code: str, message: str, about: list[str]) -> None:
    told = group.told
    told["status"] = "CREATE_FAILED" if told["status"] == "CREATING" else "DEGRADED"
    told["health"] = {"issues": [{"code": code, "message": message, "resourceIds": about}]}


def find(asked: Asked) -> tuple[Cluster, Nodegroup]:
    """Return the cluster and the node group that a request names."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    if asked.p["nodegroupName"] not in cluster.nodegroups:
        raise not_found(f"No node group found for name: {asked.p['nodegroupName']}.")
    return cluster, cluster.nodegroups[asked.p["nodegroupName"]]


def describe(asked: Asked) -> Answer:
    """DescribeNodegroup."""
    return {"nodegroup": find(asked)[1].told}


def enlist(asked: Asked) -> Answer:
    """ListNodegroups."""
    return page(asked, "nodegroups", sorted(state.find(asked.account, asked.region, asked.p["clusterName"]).nodegroups))


def update_config(asked: Asked) -> Answer:
    """UpdateNodegroupConfig: how many nodes, and their labels."""
    cluster, group = find(asked)
    told = group.told
    if told["status"] not in ("ACTIVE", "DEGRADED"):
        raise in_use(f"Nodegroup cannot be updated as it is currently not in Active State: {told['status']}")
    params: dict[str, Any] = {}
    if "scalingConfig" in asked.p:
        told["scalingConfig"] = _scaling(asked.p["scalingConfig"], told["scalingConfig"])
        params |= {name[0].upper() + name[1:]: str(value) for name, value in asked.p["scalingConfig"].items()}
    if labels := asked.p.get("labels"):
        told["labels"] = {**told["labels"], **labels.get("addOrUpdateLabels", {})}
        for name in labels.get("removeLabels", []):
            told["labels"].pop(name, None)
        params |= {"LabelsToAdd": labels.get("addOrUpdateLabels", {}), "LabelsToRemove": labels.get("removeLabels", [])}
    told["status"], told["modifiedAt"] = "UPDATING", state.now()
    update = begun(cluster, "ConfigUpdate", params)

    def done() -> None:
        _settle(cluster, group)
        nodes.relabel(cluster, group, asked.p.get("labels", {}))
        update["status"] = "Successful" if told["status"] == "ACTIVE" else "Failed"
        update["errors"] = [
            {"errorCode": issue["code"], "errorMessage": issue["message"], "resourceIds": issue["resourceIds"]}
            for issue in told["health"]["issues"]
        ]

    later(done)
    return {"update": update}


def delete(asked: Asked) -> Answer:
    """DeleteNodegroup: its nodes leave the cluster, and give their addresses back."""
    cluster, group = find(asked)
    if group.told["status"] in ("CREATING", "UPDATING", "DELETING"):
        raise in_use(f"Nodegroup {group.told['nodegroupName']} is {group.told['status']}")
    group.told["status"] = "DELETING"

    def gone() -> None:
        nodes.remove(cluster, group, list(group.nodes))
        cluster.nodegroups.pop(group.told["nodegroupName"], None)

    later(gone)
    return {"nodegroup": group.told}

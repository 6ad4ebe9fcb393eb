"""Nodes of a node group: network interfaces in its subnets, and the Node objects of the cluster."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from embedded_aws.services.eks import clusters, places
from embedded_aws.services.eks.machines import IMAGES, MACHINES
from embedded_aws.services.eks.state import Cluster, Nodegroup, now

NOTE = "EKS node of {} in {}"
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


def place(cluster: Cluster, group: Nodegroup, count: int) -> dict[str, str]:
    """Make the network interfaces of new machines, by turns in the group's subnets; return them by node's name."""
    subnets, made = group.told["subnets"], {}
    for number in range(len(group.nodes), len(group.nodes) + count):
        note = NOTE.format(group.told["nodegroupName"], cluster.name)
        eni = places.stand(cluster, subnets[number % len(subnets)], [cluster.group], note)
        made[_name(cluster, places.address_of(cluster, eni))] = eni
    group.nodes |= made
    return made


def _name(cluster: Cluster, address: str) -> str:
    domain = "ec2.internal" if cluster.region == "us-east-1" else f"{cluster.region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def join(cluster: Cluster, group: Nodegroup, names: list[str]) -> None:
    """Put machines into the cluster as nodes that are ready."""
    for name in names:
        clusters.add_node(cluster, _node(cluster, group, name))


def remove(cluster: Cluster, group: Nodegroup, names: list[str]) -> None:
    """Take nodes out of the cluster and their interfaces back."""
    for name in names:
        clusters.drop_node(cluster, name)
        places.leave(cluster, group.nodes.pop(name))


def _node(cluster: Cluster, group: Nodegroup, name: str) -> dict[str, Any]:
    told, eni = group.told, group.nodes[name]
    kind = told["instanceTypes"][0]
    machine, address = MACHINES[kind], places.address_of(cluster, eni)
    zone = places.zone_of_interface(cluster, eni)
    moment = f"{now():%Y-%m-%dT%H:%M:%SZ}"
    labels = {
        "beta.kubernetes.io/arch": machine.architecture, "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture, "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": kind, "topology.kubernetes.io/region": cluster.region,
        "topology.kubernetes.io/zone": zone, "eks.amazonaws.com/nodegroup": told["nodegroupName"],
        "eks.amazonaws.com/capacityType": told["capacityType"], **told["labels"],
    }  # fmt: skip
    taints = [taint | {"effect": _EFFECTS[taint["effect"]]} for taint in told["taints"]]
    times = {"lastHeartbeatTime": moment, "lastTransitionTime": moment}
    conditions = [
        {"type": kind_, "status": "False", "reason": f"KubeletHas{fine}", "message": f"kubelet has {words}", **times}
        for kind_, fine, words in (
            ("MemoryPressure", "SufficientMemory", "sufficient memory available"),
            ("DiskPressure", "NoDiskPressure", "no disk pressure"),
            ("PIDPressure", "SufficientPID", "sufficient PID available"),
        )
    ]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "providerID": f"aws:///{zone}/i-{secrets.token_hex(8)}{secrets.token_hex(1)[:1]}",
            **({"taints": taints} if taints else {}),
        },
        "status": {
            "capacity": machine.capacity(told["diskSize"]),
            "allocatable": machine.allocatable(told["diskSize"]),
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [*conditions, {**ready, **times}],
            "nodeInfo": {
                "architecture": IMAGES[told["amiType"]], "operatingSystem": "linux", "osImage": "Amazon Linux 2023",
                "kubeletVersion": f"v{told['version']}.0-eks-0000000", "containerRuntimeVersion": "embedded-aws://1",
                "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
            },
        },
    }  # fmt: skip


def interface_of(cluster: Cluster, node: str) -> str | None:
    """Return the network interface of a node, by the node's name; pods stand at it, too."""
    return next((group.nodes[node] for group in cluster.nodegroups.values() if node in group.nodes), None)


def role_of(cluster: Cluster, node: str) -> str | None:
    """Return the ARN of a node's role, with which the kubelet pulls images and asks for pods' credentials."""
    return next((group.told["nodeRole"] for group in cluster.nodegroups.values() if node in group.nodes), None)


def relabel(cluster: Cluster, group: Nodegroup, change: Mapping[str, Any]) -> None:
    """Change the labels of a group's nodes."""

    def how(node: dict[str, Any]) -> None:
        labels = node["metadata"]["labels"]
        labels.update(change.get("addOrUpdateLabels", {}))
        for name in change.get("removeLabels", []):
            labels.pop(name, None)

    for name in group.nodes if change else ():
        clusters.change_node(cluster, name, how)

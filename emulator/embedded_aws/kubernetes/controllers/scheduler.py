"""Scheduler: a node for every pod, by its requests, its node selector, taints and what the nodes have left.

Source: Kubernetes documentation, "Kubernetes Scheduler" and "Taints and Tolerations"; affinities and priorities are
refused nowhere and have no effect.
"""

from __future__ import annotations

from collections import Counter

from embedded_aws.kubernetes.controllers.desk import Desk, condition, is_ending, with_condition
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.quantities import amount
from embedded_aws.kubernetes.store import Object

POD, NODE = named("Pod"), named("Node")
SOURCE = "default-scheduler"
RESOURCES = ("cpu", "memory", "ephemeral-storage")


def reconcile(desk: Desk) -> float | None:
    """Bind the pods that have no node yet; say of the others why not."""
    pods = desk.store.list(POD)
    waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not is_ending(pod)]
    if not waiting:
        return None
    nodes = desk.store.list(NODE)
    for pod in sorted(waiting, key=lambda pod: pod["metadata"]["creationTimestamp"]):
        reasons = {node["metadata"]["name"]: _unfit(pod, node, pods) for node in nodes}
        fit = [node for node in nodes if not reasons[node["metadata"]["name"]]]
        if not fit:
            _refuse(desk, pod, reasons)
            continue
        node = min(fit, key=lambda node: (_load(node, pods), node["metadata"]["name"]))["metadata"]["name"]
        pod["spec"]["nodeName"] = node
        _bind(desk, pod, node)
    return None


def _bind(desk: Desk, pod: Object, node: str) -> None:
    def bind(current: Object) -> None:
        current["spec"]["nodeName"] = node
        known = current.setdefault("status", {}).get("conditions", [])
        current["status"]["conditions"] = with_condition(known, "PodScheduled", "True", "", "", now=desk.now)

    metadata = pod["metadata"]
    desk.store.change(POD, metadata["namespace"], metadata["name"], bind)
    message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
    desk.event(pod, "Scheduled", message, source=SOURCE)


def _refuse(desk: Desk, pod: Object, reasons: dict[str, str]) -> None:
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(reasons.values()).items()))
    message = f"0/{len(reasons)} nodes are available: {counts}." if reasons else "no nodes available to schedule pods"

    def tell(current: Object) -> None:
        known = current.setdefault("status", {}).get("conditions", [])
        current["status"]["conditions"] = with_condition(
            known, "PodScheduled", "False", "Unschedulable", message, now=desk.now
        )
        current["status"].setdefault("phase", "Pending")

    metadata = pod["metadata"]
    desk.store.change(POD, metadata["namespace"], metadata["name"], tell)
    known = [each for each in pod.get("status", {}).get("conditions", ()) if each["type"] == "PodScheduled"]
    if not any(each.get("message") == message for each in known):
        desk.event(pod, "FailedScheduling", message, warning=True, source=SOURCE)


def _unfit(pod: Object, node: Object, pods: list[Object]) -> str:
    """Say why a node does not take a pod, in the scheduler's words; empty if it does."""
    labels = node["metadata"].get("labels", {})
    selector = pod["spec"].get("nodeSelector", {})
    if condition(node, "Ready") != "True":
        return "node(s) were not ready"
    if any(labels.get(key) != value for key, value in selector.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if taint := _taint(pod, node):
        return taint
    there = [each for each in pods if each["spec"].get("nodeName") == node["metadata"]["name"] and _counts(each)]
    room = node.get("status", {}).get("allocatable", {})
    if len(there) + 1 > _size(room.get("pods", "110")):
        return "Too many pods"
    for name in RESOURCES:
        if name in room and sum(_asked(each, name) for each in [*there, pod]) > _size(room[name]):
            return f"Insufficient {name}"
    return ""


def _taint(pod: Object, node: Object) -> str:
    """Say which of a node's taints keeps a pod away; empty if none does."""
    taints = list(node.get("spec", {}).get("taints", ()))
    if node.get("spec", {}).get("unschedulable") and not taints:
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    for taint in taints:
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint):
            if taint["key"] == "node.kubernetes.io/unschedulable":
                return "node(s) were unschedulable"
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def _tolerates(pod: Object, taint: Object) -> bool:
    for each in pod["spec"].get("tolerations", ()):
        same_key = each.get("key") in (None, "", taint["key"])
        same_value = each.get("operator", "Equal") == "Exists" or each.get("value", "") == taint.get("value", "")
        if same_key and same_value and each.get("effect") in (None, "", taint["effect"]):
            return True
    return False


def _counts(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _asked(pod: Object, resource: str) -> float:
    containers = pod["spec"].get("containers", ())
    return sum(_size(each.get("resources", {}).get("requests", {}).get(resource, "0")) for each in containers)


def _size(text: str) -> float:
    return float(amount(text) or 0)


def _load(node: Object, pods: list[Object]) -> int:
    return sum(each["spec"].get("nodeName") == node["metadata"]["name"] and _counts(each) for each in pods)

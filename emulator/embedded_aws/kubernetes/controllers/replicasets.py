"""ReplicaSets: as many pods of a template as are asked for.

Source: Kubernetes documentation, "ReplicaSet"; pods that have ended are not counted, those not ready go first.
"""

from __future__ import annotations

import contextlib
import copy

from embedded_aws.kubernetes import deleting
from embedded_aws.kubernetes.controllers.desk import Desk, Refused, is_active, is_ending, is_ready, owned_by
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.messages import Target
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import NotThere, Object

REPLICASET, POD = named("ReplicaSet"), named("Pod")
SOURCE = "replicaset-controller"


def reconcile(desk: Desk) -> float | None:
    """Make the pods that are missing, delete those that are too many, count."""
    again = None
    for replicaset in desk.store.list(REPLICASET):
        if not is_ending(replicaset) and not _settle(desk, replicaset):
            again = 1.0  # what the API refuses now it may take later: a quota, a service account that comes
    return again


def _settle(desk: Desk, replicaset: Object) -> bool:
    pods = desk.pods_of(replicaset)
    active = [pod for pod in pods if is_active(pod)]
    wanted, failed = replicaset["spec"].get("replicas", 1), ""
    for _ in range(len(active), wanted):
        try:
            pod = desk.create(pod_of(replicaset))
            desk.event(replicaset, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", source=SOURCE)
            active.append(pod)
        except Refused as refused:
            failed = str(refused)
            desk.event(replicaset, "FailedCreate", f"Error creating: {failed}", warning=True, source=SOURCE)
            break
    for pod in sorted(active, key=_first_to_go)[: max(0, len(active) - wanted)]:
        delete_pod(desk, pod)
        desk.event(replicaset, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", source=SOURCE)
        active.remove(pod)
    ready = sum(is_ready(pod) for pod in active)
    status: Object = {"replicas": len(active), "observedGeneration": replicaset["metadata"]["generation"]}
    if active:
        status["fullyLabeledReplicas"] = len(active)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    if failed:
        status["conditions"] = [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failed}
        ]
    desk.set_status(replicaset, status)
    return not failed


def pod_of(owner: Object) -> Object:
    """Return a new pod of an owner's template."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)},
            "generateName": f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owned_by(owner)],
        },
        "spec": template["spec"],
    }


def delete_pod(desk: Desk, pod: Object) -> None:
    """Delete a pod as a client would: the kubelet ends it first."""
    metadata = pod["metadata"]
    with contextlib.suppress(Refusal, NotThere):  # it is gone, or another one has its name
        deleting.delete(
            desk.store, Target(POD, metadata["namespace"], metadata["name"]),
            {"preconditions": {"uid": metadata["uid"]}},
        )  # fmt: skip


def _first_to_go(pod: Object) -> tuple:
    """Pods without a node go first, then those that are not ready, then the youngest."""
    return bool(pod["spec"].get("nodeName")), is_ready(pod), _reversed(pod["metadata"]["creationTimestamp"])


def _reversed(text: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in text)

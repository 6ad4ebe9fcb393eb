"""Deployments: a ReplicaSet per version of the template, the new one up while the old ones go down.

Source: Kubernetes documentation, "Deployments": revisions, Recreate, RollingUpdate with maxSurge and maxUnavailable,
conditions Available and Progressing.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
from collections.abc import Iterable
from datetime import datetime

from embedded_aws.kubernetes.controllers.desk import (
    Desk,
    Refused,
    controller,
    is_ending,
    owned_by,
    seconds_since,
    soonest,
    with_condition,
)
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.store import NotThere, Object

DEPLOYMENT, REPLICASET = named("Deployment"), named("ReplicaSet")
HASH, REVISION = "pod-template-hash", "deployment.kubernetes.io/revision"
SOURCE = "deployment-controller"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, so no words


def reconcile(desk: Desk) -> float | None:
    """Bring every Deployment a step further."""
    return soonest(*(_settle(desk, each) for each in desk.store.list(DEPLOYMENT) if not is_ending(each)))


def _settle(desk: Desk, deployment: Object) -> float | None:
    metadata = deployment["metadata"]
    mine = desk.store.list(REPLICASET, metadata["namespace"], where=lambda value: controller(value) == metadata["uid"])
    wanted = template_hash(deployment["spec"]["template"])
    new = next((each for each in mine if each["metadata"]["labels"].get(HASH) == wanted), None)
    old = [each for each in mine if each is not new]
    if new is None:
        new = _new_version(desk, deployment, wanted, mine)
    elif not deployment["spec"].get("paused"):
        _mark(desk, new, _last_revision(old) + 1)  # a version that was there before, and comes back
    if new is not None:
        _scale(desk, deployment, new, old)
        again = {each["metadata"]["uid"]: each for each in desk.store.list(REPLICASET, metadata["namespace"])}
        old = [again[uid] for each in old if (uid := each["metadata"]["uid"]) in again]
        new = again.get(new["metadata"]["uid"])
    return _tell(desk, deployment, new, old)


def template_hash(template: Object) -> str:
    """Return ten letters that follow from a template.

    >>> template_hash({"spec": {}}) == template_hash({"spec": {}})
    True
    """
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])


def _new_version(desk: Desk, deployment: Object, version: str, before: list[Object]) -> Object | None:
    metadata, spec = deployment["metadata"], copy.deepcopy(deployment["spec"])
    if spec.get("paused"):
        return None
    template, label = spec["template"], {HASH: version}
    template.setdefault("metadata", {}).setdefault("labels", {}).update(label)
    value = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{version}",
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION: str(_last_revision(before) + 1)},
            "ownerReferences": [owned_by(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": {
                **spec["selector"],
                "matchLabels": {**spec["selector"].get("matchLabels", {}), **label},
            },
            "template": template,
        },
    }
    try:
        return desk.create(value)
    except Refused as refused:
        desk.event(deployment, "ReplicaSetCreateError", str(refused), warning=True, source=SOURCE)
        return None


def _last_revision(replicasets: list[Object]) -> int:
    return max((int(each["metadata"].get("annotations", {}).get(REVISION, 0)) for each in replicasets), default=0)


def _mark(desk: Desk, replicaset: Object, at_least: int) -> None:
    annotations = replicaset["metadata"].setdefault("annotations", {})
    if int(annotations.get(REVISION, 0)) < at_least:
        annotations[REVISION] = str(at_least)
        metadata = replicaset["metadata"]
        desk.store.change(
            REPLICASET, metadata["namespace"], metadata["name"],
            lambda value: value["metadata"].setdefault("annotations", {}).update({REVISION: str(at_least)}),
        )  # fmt: skip


def _scale(desk: Desk, deployment: Object, new: Object, old: list[Object]) -> None:
    spec = deployment["spec"]
    wanted, strategy = spec.get("replicas", 1), spec.get("strategy", {})
    still = sum(each["spec"]["replicas"] for each in old)
    if strategy.get("type") == "Recreate":
        for each in old:
            _set_replicas(desk, deployment, each, 0)
        # The new pods come when no old one is there any more, not even on its way out.
        if not any(desk.pods_of(each) for each in old if _left(desk, each)):
            _set_replicas(desk, deployment, new, wanted)
    else:
        rolling = strategy.get("rollingUpdate", {})
        surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
        missing = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
        missing = missing if surge or missing else 1
        room = wanted + surge - still - new["spec"]["replicas"]
        target = wanted if new["spec"]["replicas"] > wanted else min(wanted, new["spec"]["replicas"] + max(0, room))
        _set_replicas(desk, deployment, new, target)
        ready = [each.get("status", {}).get("availableReplicas", 0) for each in [new, *old]]
        spare = sum(ready) - (wanted - missing)
        # What is not ready may go at any time; what is ready as far as enough others are.
        for each, available in zip(old, ready[1:], strict=True):
            idle = each["spec"]["replicas"] - available
            goes = idle + min(max(0, spare), available)
            spare -= goes - idle
            _set_replicas(desk, deployment, each, each["spec"]["replicas"] - goes)
    done = new.get("status", {}).get("availableReplicas", 0) >= wanted
    if done:
        keep = spec.get("revisionHistoryLimit", 10)
        gone = [each for each in old if not each["spec"]["replicas"] and not each.get("status", {}).get("replicas")]
        for each in sorted(gone, key=lambda value: _last_revision([value]))[: max(0, len(gone) - keep)]:
            with contextlib.suppress(NotThere):
                desk.store.remove(REPLICASET, each["metadata"]["namespace"], each["metadata"]["name"])


def _left(desk: Desk, replicaset: Object) -> bool:
    return any(pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") for pod in desk.pods_of(replicaset))


def _share(given: int | str, whole: int, *, up: bool) -> int:
    """Return a number, or a share of the whole: of surge rounded up, of what may be missing rounded down."""
    if isinstance(given, int):
        return given
    exact = whole * int(given.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def _set_replicas(desk: Desk, deployment: Object, replicaset: Object, number: int) -> None:
    before = replicaset["spec"]["replicas"]
    if before == number:
        return
    replicaset["spec"]["replicas"] = number
    metadata = replicaset["metadata"]
    desk.store.change(
        REPLICASET, metadata["namespace"], metadata["name"], lambda value: value["spec"].update(replicas=number)
    )
    how = "up" if number > before else "down"
    message = f"Scaled {how} replica set {metadata['name']} from {before} to {number}"
    desk.event(deployment, "ScalingReplicaSet", message, source=SOURCE)


def _tell(desk: Desk, deployment: Object, new: Object | None, old: list[Object]) -> float | None:
    """Write the status; return when the deadline of the progress is."""
    before = deployment.get("status", {})
    status = _counts(deployment, new, old)
    moved = status != {key: value for key, value in before.items() if key != "conditions"}
    conditions = _with_available(deployment, before.get("conditions", ()), status, now=desk.now)
    again = None
    if new is not None:
        told, again = _progress(deployment, new, status, moved=moved, now=desk.now)
        conditions = with_condition(conditions, "Progressing", *told, now=desk.now, updated=True)
    status["conditions"] = conditions
    desk.set_status(deployment, status)
    if new is not None:
        _mark_revision(desk, deployment, new)
    return again


def _counts(deployment: Object, new: Object | None, old: list[Object]) -> Object:
    """Return how many pods there are of each kind; what is none is left out, as Kubernetes does."""
    every = [each.get("status", {}) for each in [*([new] if new else []), *old]]
    counts = {
        name: sum(each.get(name, 0) for each in every) for name in ("replicas", "readyReplicas", "availableReplicas")
    }
    counts["updatedReplicas"] = new.get("status", {}).get("replicas", 0) if new else 0
    counts["unavailableReplicas"] = max(0, deployment["spec"].get("replicas", 1) - counts["availableReplicas"])
    told = {name: count for name, count in counts.items() if count}
    return {"observedGeneration": deployment["metadata"]["generation"], **told}


def _with_available(deployment: Object, conditions: Iterable[Object], status: Object, *, now: datetime) -> list[Object]:
    """Return conditions with the one that says whether there are as many pods as the strategy wants at least."""
    spec = deployment["spec"]
    wanted = spec.get("replicas", 1)
    may_lack = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable", 0)
    enough = status.get("availableReplicas", 0) >= max(0, wanted - _share(may_lack, wanted, up=False))
    return with_condition(
        list(conditions), "Available", "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability." if enough else "Deployment does not have minimum availability.",
        now=now, updated=True,
    )  # fmt: skip


def _progress(
    deployment: Object, new: Object, status: Object, *, moved: bool, now: datetime
) -> tuple[tuple[str, str, str], float | None]:
    """Return how the newest version gets on: status, reason and message; and when its deadline is, while it does."""
    name, limit = new["metadata"]["name"], deployment["spec"].get("progressDeadlineSeconds", 600)
    conditions = deployment.get("status", {}).get("conditions", ())
    known = next((each for each in conditions if each["type"] == "Progressing"), None)
    waited = 0.0 if known is None or moved else seconds_since(known["lastUpdateTime"], now)
    kinds = ("updatedReplicas", "replicas", "availableReplicas")
    if all(status.get(kind, 0) == deployment["spec"].get("replicas", 1) for kind in kinds):
        return ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'), None
    if known and known["reason"] == "NewReplicaSetAvailable" and not moved:
        return (known["status"], known["reason"], known["message"]), None
    if waited >= limit or (known and known["status"] == "False" and not moved):
        return ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.'), None
    return ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.'), limit - waited


def _mark_revision(desk: Desk, deployment: Object, new: Object) -> None:
    revision, metadata = new["metadata"].get("annotations", {}).get(REVISION, "1"), deployment["metadata"]
    if metadata.get("annotations", {}).get(REVISION) != revision:
        desk.store.change(
            DEPLOYMENT, metadata["namespace"], metadata["name"],
            lambda value: value["metadata"].setdefault("annotations", {}).update({REVISION: revision}),
        )  # fmt: skip

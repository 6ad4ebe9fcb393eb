"""Garbage collector: what belonged to something that is gone goes too; namespaces are emptied, old events forgotten.

Source: Kubernetes documentation, "Garbage Collection" and "Finalizers".
"""

from __future__ import annotations

import contextlib

from embedded_aws.kubernetes import deleting
from embedded_aws.kubernetes.controllers.desk import Desk, is_ending, seconds_since
from embedded_aws.kubernetes.kinds import KINDS, Kind, kind_of, named
from embedded_aws.kubernetes.messages import Target
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import NotThere, Object

NAMESPACE, EVENT, NODE = named("Namespace"), named("Event"), named("Node")
EVENT_SECONDS = 3600
_DEPENDENT = tuple(kind for kind in KINDS if kind.name not in ("Namespace", "Node", "Event"))
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


def reconcile(desk: Desk) -> float | None:
    """Delete what nobody owns any more, and finish what waits for it."""
    values = [value for kind in _DEPENDENT for value in desk.store.list(kind)]
    there = {value["metadata"]["uid"]: value for value in values}
    for value in values:
        owners = value["metadata"].get("ownerReferences", ())
        if not owners:
            continue
        left = [there[owner["uid"]] for owner in owners if owner["uid"] in there]
        if all(FOREGROUND in owner["metadata"].get("finalizers", ()) for owner in left) and not is_ending(value):
            # Gone, or waiting for this: what hangs on it waits in its turn.
            _delete(desk, value, "Foreground" if left else "Background")
    for value in values:
        finalizers = value["metadata"].get("finalizers", ())
        if is_ending(value) and FOREGROUND in finalizers and not _holds(values, value):
            _drop_finalizer(desk, value, FOREGROUND)
        elif is_ending(value) and ORPHAN in finalizers:
            for each in values:
                _forget_owner(desk, each, value["metadata"]["uid"])
            _drop_finalizer(desk, value, ORPHAN)
    _forget_pods_of_lost_nodes(desk, [value for value in values if value["kind"] == "Pod"])
    for space in desk.store.list(NAMESPACE):
        if is_ending(space):
            _empty(desk, space)
    for event in desk.store.list(EVENT):
        if (
            seconds_since(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"], desk.now)
            > EVENT_SECONDS
        ):
            _remove(desk, EVENT, event)
    return None


def _forget_pods_of_lost_nodes(desk: Desk, pods: list[Object]) -> None:
    nodes = {node["metadata"]["name"] for node in desk.store.list(NODE)}
    for pod in pods:
        if pod["spec"].get("nodeName", "") not in ("", *nodes):
            _delete(desk, pod, "Background", at_once=True)  # nobody is left to end it


def _holds(values: list[Object], owner: Object) -> bool:
    uid = owner["metadata"]["uid"]
    return any(
        reference["uid"] == uid and reference.get("blockOwnerDeletion")
        for value in values
        for reference in value["metadata"].get("ownerReferences", ())
    )


def _delete(desk: Desk, value: Object, how: str, *, at_once: bool = False) -> None:
    kind, metadata = kind_of(value), value["metadata"]
    if kind is None:
        return
    with contextlib.suppress(Refusal):
        deleting.delete(
            desk.store, Target(kind, metadata.get("namespace", ""), metadata["name"]),
            {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": how}
            | ({"gracePeriodSeconds": 0} if at_once else {}),
        )  # fmt: skip


def _drop_finalizer(desk: Desk, value: Object, name: str) -> None:
    def drop(current: Object) -> None:
        current["metadata"]["finalizers"] = [each for each in current["metadata"].get("finalizers", ()) if each != name]
        if not current["metadata"]["finalizers"]:
            del current["metadata"]["finalizers"]

    kind, metadata = kind_of(value), value["metadata"]
    if kind is not None:
        desk.store.change(kind, metadata.get("namespace", ""), metadata["name"], drop)


def _forget_owner(desk: Desk, value: Object, uid: str) -> None:
    references = value["metadata"].get("ownerReferences", ())
    kind = kind_of(value)
    if kind is None or not any(each["uid"] == uid for each in references):
        return

    def forget(current: Object) -> None:
        left = [each for each in current["metadata"].get("ownerReferences", ()) if each["uid"] != uid]
        current["metadata"]["ownerReferences"] = left

    desk.store.change(kind, value["metadata"].get("namespace", ""), value["metadata"]["name"], forget)


def _empty(desk: Desk, space: Object) -> None:
    """Delete all that is in a namespace that ends; then let it go."""
    name = space["metadata"]["name"]
    inside = [value for kind in KINDS if kind.namespaced for value in desk.store.list(kind, name)]
    for value in inside:
        if value["kind"] == "Event":
            _remove(desk, EVENT, value)
        elif not is_ending(value):
            _delete(desk, value, "Background")
    if not any(value["kind"] != "Event" for value in inside):

        def let_go(current: Object) -> None:
            current.setdefault("spec", {})["finalizers"] = []
            current["metadata"].pop("finalizers", None)

        desk.store.change(NAMESPACE, "", name, let_go)
        with contextlib.suppress(NotThere):
            desk.store.remove(NAMESPACE, "", name)


def _remove(desk: Desk, kind: Kind, value: Object) -> None:
    with contextlib.suppress(NotThere):
        desk.store.remove(kind, value["metadata"].get("namespace", ""), value["metadata"]["name"])

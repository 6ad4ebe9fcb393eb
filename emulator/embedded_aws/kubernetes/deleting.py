"""Deletion: at once, after a grace period by the kubelet, or when finalizers are done; evictions within budgets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from embedded_aws.kubernetes.kinds import OPTIONS, Kind, named
from embedded_aws.kubernetes.messages import Request, Target
from embedded_aws.kubernetes.refusals import Refusal, conflict, forbidden, not_found
from embedded_aws.kubernetes.schemas import Schemas
from embedded_aws.kubernetes.selectors import matches
from embedded_aws.kubernetes.store import Conflict, NotThere, Store, stamp
from embedded_aws.kubernetes.watching import selected

Object = dict[str, Any]
_PROTECTED = ("default", "kube-public", "kube-system")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
# Whose deletion is answered with the object, as clients expect; with others, by a Status.
_SHOWN = ("Pod", "Service", "ServiceAccount", "PersistentVolumeClaim")


def options(request: Request, known: Schemas) -> Object:
    """Read DeleteOptions from the body or from the query.

    Raises
    ------
    Refusal
        400, if they are none.
    """
    value: Object = known.decode(OPTIONS, request.object())[0] if request.body.strip() else {}
    for name in ("propagationPolicy", "dryRun"):
        if name in request.query:
            text = request.query[name]
            value[name] = [text] if name == "dryRun" else text
    grace = request.number("gracePeriodSeconds")
    if grace is not None:
        value["gracePeriodSeconds"] = grace
    if value.get("orphanDependents") or request.flag("orphanDependents"):
        value.setdefault("propagationPolicy", "Orphan")
    policy = value.get("propagationPolicy")
    if policy not in (None, "Background", *_FINALIZERS):
        allowed = '"Background", "Foreground", "Orphan"'
        message = f'propagationPolicy: Unsupported value: "{policy}": supported values: {allowed}'
        raise Refusal(422, f'DeleteOptions.meta.k8s.io "" is invalid: {message}')
    return value


def delete(store: Store, target: Target, wanted: Object) -> Object:
    """Delete an object, or begin to; return what is answered.

    Raises
    ------
    Refusal
    """
    kind = target.kind
    while True:
        value = store.find(kind, target.namespace, target.name)
        if value is None:
            raise not_found(kind, target.name)
        _preconditions(kind, value, wanted.get("preconditions") or {})
        if kind.name == "Namespace" and target.name in _PROTECTED:
            raise forbidden(kind, target.name, "this namespace may not be deleted")
        metadata = value["metadata"]
        finalizer = _FINALIZERS.get(wanted.get("propagationPolicy", ""))
        if finalizer and finalizer not in metadata.get("finalizers", ()):
            metadata.setdefault("finalizers", []).append(finalizer)
        grace = _grace(value, wanted)
        waits = bool(metadata.get("finalizers")) or grace > 0 or (kind.name == "Namespace" and _full(value))
        if "All" in (wanted.get("dryRun") or ()):
            return _answer(kind, value, waits=waits)
        try:
            if waits:
                return store.update(_ending(store, value, grace))
            # Only the version that has been looked at goes.
            value["metadata"] |= {"deletionTimestamp": stamp(store.now()), "deletionGracePeriodSeconds": 0}
            return _answer(kind, store.update(value), waits=False)
        except Conflict:
            continue
        except NotThere:
            raise not_found(kind, target.name) from None


def delete_all(store: Store, request: Request, target: Target, wanted: Object) -> Object:
    """Delete everything that is selected; return a list of what it was."""
    test = selected(request, target)
    values = store.list(target.kind, target.namespace, where=test)
    for value in values:
        metadata = value["metadata"]
        one = Target(target.kind, metadata.get("namespace", ""), metadata["name"])
        try:
            delete(store, one, wanted)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
    kind = target.kind
    metadata = {"resourceVersion": str(store.version)}
    return {"kind": f"{kind.name}List", "apiVersion": kind.group_version, "metadata": metadata, "items": values}


def finish(store: Store, namespace: str, name: str, uid: str) -> None:
    """Take out a pod whose processes have ended, as the kubelet does; its finalizers are waited for."""
    wanted = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    try:
        delete(store, Target(named("Pod"), namespace, name), wanted)
    except Refusal as refusal:
        if refusal.code not in (404, 409):  # gone, or another one of that name
            raise


def evict(store: Store, target: Target, body: Object) -> Object:
    """Delete a pod if the disruption budgets allow it.

    Raises
    ------
    Refusal
        429, if one does not.
    """
    pod = store.find(target.kind, target.namespace, target.name)
    if pod is None:
        raise not_found(target.kind, target.name)
    wanted = body.get("deleteOptions") or {}
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed", "Pending")
    if not ended and not pod["metadata"].get("deletionTimestamp"):
        labels = pod["metadata"].get("labels", {})
        kind = named("PodDisruptionBudget")
        found = store.list(kind, target.namespace, where=lambda v: matches(v.get("spec", {}).get("selector"), labels))
        if len(found) > 1:
            what = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise Refusal(500, what)
        if found:
            _take(store, found[0], target.name, dry="All" in (wanted.get("dryRun") or ()))
    delete(store, target, wanted)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _take(store: Store, budget: Object, pod: str, *, dry: bool) -> None:
    while True:
        status, name = budget.setdefault("status", {}), budget["metadata"]["name"]
        if status.get("disruptionsAllowed", 0) < 1:
            said = (
                f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
                f"{status.get('currentHealthy', 0)} currently"
            )
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise Refusal(429, message, details={"causes": [{"reason": "DisruptionBudget", "message": said}]})
        if dry:
            return
        status["disruptionsAllowed"] -= 1
        status.setdefault("disruptedPods", {})[pod] = stamp(store.now())
        try:
            store.update(budget)
            return
        except Conflict:
            budget = store.get(named("PodDisruptionBudget"), budget["metadata"]["namespace"], name)


def _preconditions(kind: Kind, value: Object, wanted: Object) -> None:
    for name, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        given, there = wanted.get(name), value["metadata"][name]
        if given and given != there:
            why = f"Precondition failed: {title} in precondition: {given}, {title} in object meta: {there}"
            raise conflict(kind, value["metadata"]["name"], why)


def _grace(value: Object, wanted: Object) -> int:
    if value["kind"] != "Pod":
        return 0
    spec, status = value["spec"], value.get("status", {})
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0  # nobody has to end a process
    given = wanted.get("gracePeriodSeconds")
    grace = max(int(spec.get("terminationGracePeriodSeconds", 30) if given is None else given), 0)
    if value["metadata"].get("deletionTimestamp"):  # a second deletion can only be faster
        return min(grace, value["metadata"].get("deletionGracePeriodSeconds", grace))
    return grace


def _ending(store: Store, value: Object, grace: int) -> Object:
    metadata = value["metadata"]
    if not metadata.get("deletionTimestamp") or grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = stamp(store.now() + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
    if value["kind"] == "Namespace":
        metadata.pop("deletionGracePeriodSeconds", None)
        value.setdefault("status", {})["phase"] = "Terminating"
    return value


def _full(value: Object) -> bool:
    return bool(value.get("spec", {}).get("finalizers"))


def _answer(kind: Kind, value: Object, *, waits: bool) -> Object:
    if waits or kind.name in _SHOWN:
        return value
    details = {"name": value["metadata"]["name"], "group": kind.group, "kind": kind.plural}
    details = {name: text for name, text in details.items() if text} | {"uid": value["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

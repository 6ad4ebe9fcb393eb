"""Whether an object may come into its namespace: that it is there, its service account, and pod security."""

from __future__ import annotations

import ipaddress
from typing import Any

from embedded_aws.kubernetes import security
from embedded_aws.kubernetes.kinds import Kind, named
from embedded_aws.kubernetes.refusals import Refusal, forbidden, not_found
from embedded_aws.kubernetes.store import Store

Object = dict[str, Any]
SERVICES = ipaddress.ip_network("10.100.0.0/16")  # what EKS gives services when nobody says anything
_TEMPLATES = ("Deployment", "ReplicaSet", "Job")


def admit(store: Store, kind: Kind, value: Object) -> tuple[str, ...]:
    """Refuse an object that may not be created; return what to warn of.

    Raises
    ------
    Refusal
        404 for a namespace that is not there, 403 for one that ends or that does not allow the pod.
    """
    if not kind.namespaced:
        return ()
    metadata = value["metadata"]
    space = namespace(store, kind, metadata["namespace"], metadata["name"])
    labels = space["metadata"].get("labels", {})
    if kind.name == "Service":
        _address(store, value)
    if kind.name == "Pod":
        account = value["spec"].get("serviceAccountName", "default")
        if store.find(named("ServiceAccount"), metadata["namespace"], account) is None:
            where = f"{metadata['namespace']}/{account}"
            why = f'error looking up service account {where}: serviceaccount "{account}" not found'
            raise forbidden(kind, metadata["name"], why)
        if violated := security.violation(labels, "enforce", value):
            raise forbidden(kind, metadata["name"], f"violates {violated}")
        warned = security.violation(labels, "warn", value)
        return (f"would violate {warned}",) if warned else ()
    return warnings(labels, kind, value)


def warnings(labels: Object, kind: Kind, value: Object) -> tuple[str, ...]:
    """Return what a workload's pods would violate; they are refused only when they come."""
    if kind.name not in _TEMPLATES:
        return ()
    violated = security.violation(labels, "warn", value.get("spec", {}).get("template", {}))
    return (f"would violate {violated}",) if violated else ()


def namespace(store: Store, kind: Kind, name: str, of: str) -> Object:
    """Return the namespace into which something is to come.

    Raises
    ------
    Refusal
        404 or 403.
    """
    space = store.find(named("Namespace"), "", name)
    if space is None:
        raise not_found(named("Namespace"), name)
    if space["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        refusal = forbidden(kind, of, why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        raise Refusal(403, refusal.message, details=refusal.details | {"causes": [cause]})
    return space


def _address(store: Store, value: Object) -> None:
    spec = value["spec"]
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        taken = {one["spec"].get("clusterIP") for one in store.list(named("Service"))}
        # The first ten are kept, as the cluster's own DNS has one of them.
        spec["clusterIP"] = next(str(one) for one in list(SERVICES.hosts())[10:] if str(one) not in taken)
    spec.setdefault("clusterIPs", [spec["clusterIP"]])

"""Access policies of EKS: what each lets its holder do in Kubernetes, in a whole cluster or in some namespaces.

Source: AWS, EKS user guide, "Review access policy permissions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "arn:aws:eks::aws:cluster-access-policy/"
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_WORK: Mapping[str, tuple[str, ...]] = {
    "apps": (
        "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
        "statefulsets", "statefulsets/scale",
    ),
    "autoscaling": ("horizontalpodautoscalers",),
    "batch": ("cronjobs", "jobs"),
    "networking.k8s.io": ("ingresses", "networkpolicies"),
    "policy": ("poddisruptionbudgets",),
    "": (
        "configmaps", "endpoints", "persistentvolumeclaims", "pods", "replicationcontrollers",
        "replicationcontrollers/scale", "serviceaccounts", "services",
    ),
}  # fmt: skip
_LOOK: Mapping[str, tuple[str, ...]] = {
    "apps": (
        "controllerrevisions", "daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status",
    ),
    "autoscaling": ("horizontalpodautoscalers/status",),
    "batch": ("cronjobs/status", "jobs/status"),
    "discovery.k8s.io": ("endpointslices",),
    "networking.k8s.io": ("ingresses/status",),
    "policy": ("poddisruptionbudgets/status",),
    "": (
        "bindings", "events", "limitranges", "namespaces", "namespaces/status", "persistentvolumeclaims/status",
        "pods/log", "pods/status", "replicationcontrollers/status", "resourcequotas", "resourcequotas/status",
        "services/status",
    ),
}  # fmt: skip
_INSIDE = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy")


@dataclass(frozen=True)
class Grant:
    """One rule, as a Role has them; in some namespaces, or, where those are None, everywhere."""

    namespaces: tuple[str, ...] | None
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    urls: tuple[str, ...] = ()


Row = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # groups, resources, verbs


def _view() -> Iterator[Row]:
    for table in (_WORK, _LOOK):
        yield from (((group,), resources, READ) for group, resources in table.items())


def _edit() -> Iterator[Row]:
    yield from _view()
    yield from (((group,), resources, WRITE) for group, resources in _WORK.items())
    yield ("",), ("secrets",), (*READ, *WRITE)
    yield ("",), _INSIDE, ("get", "list", "watch", *WRITE)
    yield ("",), ("events",), WRITE
    yield ("",), ("serviceaccounts",), ("impersonate",)


def _admin() -> Iterator[Row]:
    yield from _edit()
    yield ("authorization.k8s.io",), ("localsubjectaccessreviews",), ("create",)
    yield ("rbac.authorization.k8s.io",), ("rolebindings", "roles"), (*READ, *WRITE)


_ALL = ("*",)
POLICIES: Mapping[str, tuple[Row, ...]] = {
    "AmazonEKSClusterAdminPolicy": ((_ALL, _ALL, _ALL),),
    "AmazonEKSAdminPolicy": tuple(_admin()),
    "AmazonEKSAdminViewPolicy": ((_ALL, _ALL, READ),),
    "AmazonEKSEditPolicy": tuple(_edit()),
    "AmazonEKSViewPolicy": tuple(_view()),
}
ARNS = {PREFIX + name: name for name in POLICIES}


def rules_of(policies: Iterable[Mapping[str, Any]]) -> list[Grant]:
    """Return what associated policies allow.

    >>> view = {"policyArn": PREFIX + "AmazonEKSViewPolicy", "accessScope": {"type": "namespace", "namespaces": ["a"]}}
    >>> grants = rules_of([view])
    >>> {grant.namespaces for grant in grants}, any("secrets" in grant.resources for grant in grants)
    ({('a',)}, False)
    """
    grants: list[Grant] = []
    for policy in policies:
        name, scope = ARNS[policy["policyArn"]], policy["accessScope"]
        where = tuple(scope["namespaces"]) if scope["type"] == "namespace" else None
        grants += [Grant(where, *row) for row in POLICIES[name]]
        if name == "AmazonEKSClusterAdminPolicy" and where is None:
            grants.append(Grant(None, (), (), _ALL, urls=_ALL))
    return grants

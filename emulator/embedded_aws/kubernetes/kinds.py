"""API resources that a cluster serves: group, version, kind, plural, and how clients may write them short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One resource of the Kubernetes API.

    Parameters
    ----------
    group_version : str
        As objects spell it in ``apiVersion``: ``v1``, ``apps/v1``.
    name, plural : str
        ``Deployment``, ``deployments``.
    short : tuple of str
        What ``kubectl get`` takes as well.
    namespaced : bool
    categories : tuple of str
        ``kubectl get all`` lists those that are in ``all``.
    subresources : tuple of str
        ``status``, ``scale``, ``log``, ``eviction``.
    """

    group_version: str
    name: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.group_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version alone: ``v1``."""
        return self.group_version.rpartition("/")[2]

    @property
    def qualified(self) -> str:
        """As messages call the resource: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_ALL = ("all",)
_STATUS = ("status",)
KINDS = (
    Kind("v1", "Namespace", "namespaces", ("ns",), namespaced=False, subresources=_STATUS),
    Kind("v1", "Node", "nodes", ("no",), namespaced=False, subresources=_STATUS),
    Kind("v1", "ConfigMap", "configmaps", ("cm",)),
    Kind("v1", "Event", "events", ("ev",)),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",), subresources=_STATUS),
    Kind("v1", "Pod", "pods", ("po",), categories=_ALL, subresources=("status", "log", "eviction")),
    Kind("v1", "Secret", "secrets"),
    Kind("v1", "Service", "services", ("svc",), categories=_ALL, subresources=_STATUS),
    Kind("v1", "ServiceAccount", "serviceaccounts", ("sa",)),
    Kind("apps/v1", "Deployment", "deployments", ("deploy",), categories=_ALL, subresources=("status", "scale")),
    Kind("apps/v1", "ReplicaSet", "replicasets", ("rs",), categories=_ALL, subresources=("status", "scale")),
    Kind("batch/v1", "Job", "jobs", categories=_ALL, subresources=_STATUS),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", ("netpol",)),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", ("pdb",), subresources=_STATUS),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
)
# Bodies that clients send and that are in no store.
SCALE = Kind("autoscaling/v1", "Scale", "scales")
EVICTION = Kind("policy/v1", "Eviction", "evictions")
REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)
RULES_REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False)
OPTIONS = Kind("v1", "DeleteOptions", "deleteoptions", namespaced=False)
OTHERS = (SCALE, EVICTION, REVIEW, RULES_REVIEW, OPTIONS)
_BY_NAME = {(kind.group_version, kind.name): kind for kind in KINDS}
BY_PLURAL = {(kind.group_version, kind.plural): kind for kind in KINDS}


def kind_of(value: dict[str, Any]) -> Kind | None:
    """Return the kind that an object says it is; None for one that is not served."""
    return _BY_NAME.get((value.get("apiVersion", ""), value.get("kind", "")))


def named(name: str) -> Kind:
    """Return a kind by its name, each of which is in one group here.

    >>> named("Deployment").plural
    'deployments'
    """
    return next(kind for kind in KINDS if kind.name == name)

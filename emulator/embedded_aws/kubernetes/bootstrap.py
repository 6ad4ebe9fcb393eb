"""What a new cluster begins with: its namespaces, their service accounts, and the roles that everybody knows."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from embedded_aws.kubernetes import defaults
from embedded_aws.kubernetes.kinds import KINDS, Kind, named
from embedded_aws.kubernetes.rbac import GROUP, MASTERS
from embedded_aws.kubernetes.store import AlreadyThere, Store

Object = dict[str, Any]
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_READ, _WRITE = ("get", "list", "watch"), ("create", "delete", "deletecollection", "patch", "update")
# Source: Kubernetes documentation, "Using RBAC Authorization", user-facing roles: view sees no secrets, no roles and
# no nodes; edit sees and writes no roles; only cluster-admin reaches what is in no namespace.
_HIDDEN_FROM_VIEW = ("Secret", "Role", "RoleBinding")
_HIDDEN_FROM_EDIT = ("Role", "RoleBinding")
_NOT_WRITTEN = ("Event",)


def fill(store: Store) -> None:
    """Put the first objects into an empty store."""
    for name in NAMESPACES:
        add_namespace(store, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for value in (*roles(), *(_binding(role, group) for role, group in _BOUND)):
        store.create(value)


def add_namespace(store: Store, value: Object) -> Object:
    """Create a namespace, and the service account that its pods run as when they name none."""
    defaults.fill(named("Namespace"), value)
    made = store.create(value)
    account = {"name": "default", "namespace": made["metadata"]["name"]}
    with contextlib.suppress(AlreadyThere):  # of a namespace of that name that has just gone
        store.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    return made


def roles() -> list[Object]:
    """Return the roles that users are given: cluster-admin, admin, edit and view."""
    spaced = [kind for kind in KINDS if kind.namespaced]
    view = _rules([kind for kind in spaced if kind.name not in _HIDDEN_FROM_VIEW], _READ)
    view.append({"apiGroups": [""], "resources": ["namespaces"], "verbs": list(_READ)})
    seen = [kind for kind in spaced if kind.name not in _HIDDEN_FROM_EDIT]
    written = [kind for kind in seen if kind.name not in _NOT_WRITTEN]
    edit = [*view, *_rules([named("Secret")], _READ), *_rules(written, _WRITE)]
    edit.append({"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]})
    own = [kind for kind in spaced if kind.name in _HIDDEN_FROM_EDIT]
    admin = [*edit, *_rules(own, (*_READ, *_WRITE))]
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    return [
        _role("cluster-admin", everything),
        _role("admin", admin),
        _role("edit", edit),
        _role("view", view),
        _role("system:basic-user", _BASIC),
        _role("system:discovery", _DISCOVERY),
    ]


# What everybody with a name may: ask what he may, and what there is.
_BASIC: list[Object] = [
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    }
]
_DISCOVERY: list[Object] = [
    {
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
                            "/readyz", "/version", "/version/"],
        "verbs": ["get"],
    }
]  # fmt: skip
_BOUND = (
    ("cluster-admin", MASTERS),
    ("system:basic-user", "system:authenticated"),
    ("system:discovery", "system:authenticated"),
)


def _rules(kinds: Sequence[Kind], verbs: Sequence[str]) -> list[Object]:
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        subresources = [name for name in kind.subresources if name in ("status", "scale", "log")]
        if verbs != _READ:  # a status is the controllers' to write, a log nobody's
            subresources = [name for name in subresources if name == "scale"]
        every = [kind.plural, *(f"{kind.plural}/{name}" for name in subresources)]
        groups.setdefault(kind.group, []).extend(every)
    return [{"apiGroups": [group], "resources": names, "verbs": list(verbs)} for group, names in groups.items()]


def _role(name: str, rules: list[Object]) -> Object:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _binding(role: str, group: str) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
    }

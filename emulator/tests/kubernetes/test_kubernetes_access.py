"""Who may do what. Source of what is expected: Kubernetes documentation, "Using RBAC Authorization"."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_asking import Asked, pod

from embedded_aws.kubernetes.rbac import Attempt, Rule, User, covers

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"
ANN = User("ann", ("team",))


def role(name: str, *rules: dict[str, Any], kind: str = "Role") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, to: str, subject: dict[str, Any], kind: str = "Role") -> dict[str, Any]:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": to}
    return {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}


READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def grant(ask: Asked, *rules: dict[str, Any], subject: dict[str, Any] | None = None) -> None:
    spaced = f"{RBAC}/namespaces/default"
    assert ask("POST", f"{spaced}/roles", role("r", *rules))[0] == 201
    body = binding("b", "r", subject or {"kind": "User", "name": "ann"})
    assert ask("POST", f"{spaced}/rolebindings", body)[0] == 201


def test_who_has_no_role_is_refused_in_these_words(ask: Asked) -> None:
    status, said = ask.as_user(ANN)("GET", PODS)
    assert (status, said["reason"]) == (403, "Forbidden")
    assert said["message"] == (
        'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    _, said = ask.as_user(ANN)("DELETE", "/apis/apps/v1/namespaces/a/deployments/d")
    assert said["message"] == (
        'deployments.apps "d" is forbidden: User "ann" cannot delete resource "deployments" in API group "apps" '
        'in the namespace "a"'
    )
    _, said = ask.as_user(ANN)("GET", "/api/v1/nodes")
    assert said["message"].endswith('cannot list resource "nodes" in API group "" at the cluster scope')


def test_who_is_nobody_is_told_so(ask: Asked) -> None:
    assert ask.as_user(None)("GET", PODS)[1]["message"] == "Unauthorized"
    assert ask.as_user(None).response("GET", "/healthz").body == b"ok"
    assert ask.as_user(None)("GET", "/version")[1]["minor"] == "34"


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "User", "name": "ann"},
        {"kind": "Group", "name": "team"},
        {"kind": "Group", "name": "system:authenticated"},
    ],
)
def test_a_role_holds_in_its_namespace_and_for_its_verbs(ask: Asked, subject: Any) -> None:
    grant(ask, READ, subject=subject)
    ann = ask.as_user(ANN)
    assert ann("GET", PODS)[0] == 200
    assert ann("GET", "/api/v1/namespaces/kube-system/pods")[0] == 403
    assert ann("GET", "/api/v1/pods")[0] == 403
    assert ann("POST", PODS, pod())[0] == 403
    assert ann("GET", f"{PODS}/p/log")[0] == 403


def test_a_subresource_and_a_name_are_granted_apart(ask: Asked) -> None:
    grant(ask, {"apiGroups": [""], "resources": ["pods/log", "pods"], "verbs": ["get"], "resourceNames": ["p"]})
    ask("POST", PODS, pod())
    ask("POST", PODS, pod("q"))
    ann = ask.as_user(ANN)
    assert ann("GET", f"{PODS}/p")[0] == 200
    assert ann.response("GET", f"{PODS}/p/log").status == 200
    assert ann("GET", f"{PODS}/q")[0] == 403
    assert ann("GET", PODS)[0] == 403


def test_a_service_account_is_a_user_in_two_groups(ask: Asked) -> None:
    agent = ask.as_user(User("system:serviceaccount:default:agent"))
    assert agent("GET", PODS)[0] == 403
    grant(ask, READ, subject={"kind": "ServiceAccount", "name": "agent", "namespace": "default"})
    assert agent("GET", PODS)[0] == 200
    body = binding("all", "view", {"kind": "Group", "name": "system:serviceaccounts:default"}, "ClusterRole")
    assert ask("POST", f"{RBAC}/clusterrolebindings", body)[0] == 201
    assert agent("GET", "/api/v1/configmaps")[0] == 200
    assert agent("GET", "/api/v1/secrets")[0] == 403  # view does not show them


def test_a_cluster_role_is_bound_in_one_namespace(ask: Asked) -> None:
    body = binding("b", "edit", {"kind": "User", "name": "ann"}, "ClusterRole")
    ask("POST", f"{RBAC}/namespaces/default/rolebindings", body)
    ann = ask.as_user(ANN)
    assert ann("POST", PODS, pod())[0] == 201
    assert ann("GET", "/api/v1/namespaces/default/secrets")[0] == 200
    assert ann("POST", f"{RBAC}/namespaces/default/roles", role("x", READ))[0] == 403
    assert ann("GET", "/api/v1/namespaces/kube-system/pods")[0] == 403


def test_rules_of_the_cloud_hold_in_their_namespaces(ask: Asked) -> None:
    rule = Rule(("get", "list"), ("",), ("pods",), namespaces=("default",))
    user = ask.as_user(User("cloud", rules=(rule,)))
    assert user("GET", PODS)[0] == 200
    assert user("GET", "/api/v1/namespaces/kube-system/pods")[0] == 403
    assert user("GET", "/api/v1/pods")[0] == 403


def test_nobody_grants_what_he_has_not(ask: Asked) -> None:
    grant(ask, READ, {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update"]})
    ann, spaced = ask.as_user(ANN), f"{RBAC}/namespaces/default"
    assert ann("POST", f"{spaced}/roles", role("same", READ))[0] == 201
    more = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    status, said = ann("POST", f"{spaced}/roles", role("more", more))
    assert status == 403
    assert said["message"] == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "ann" (groups=["system:authenticated","team"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    bound = binding("up", "admin", {"kind": "User", "name": "ann"}, "ClusterRole")
    assert ann("POST", f"{spaced}/rolebindings", bound)[0] == 403


def test_who_may_escalate_and_bind_may(ask: Asked) -> None:
    grant(
        ask, {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "escalate", "bind"]}
    )
    ann, spaced = ask.as_user(ANN), f"{RBAC}/namespaces/default"
    assert ann("POST", f"{spaced}/roles", role("more", READ))[0] == 201
    bound = binding("up", "more", {"kind": "User", "name": "ann"})
    assert ann("POST", f"{spaced}/rolebindings", bound)[0] == 201


def test_a_review_says_what_one_may(ask: Asked) -> None:
    grant(ask, READ)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    def may(verb: str, space: str = "default") -> bool:
        asked = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": space}}}
        status, answer = ask.as_user(ANN)("POST", path, asked)
        assert status == 201
        return answer["status"]["allowed"]

    assert (may("list"), may("delete"), may("list", "kube-system")) == (True, False, False)


def test_what_rules_cover() -> None:
    assert covers(Rule(("*",), ("*",), ("*",)), Attempt("get", resource="pods/log"))
    assert covers(Rule(("get",), ("",), ("pods/*",)), Attempt("get", resource="pods/log")) is False
    assert covers(Rule(("update",), ("apps",), ("*/scale",)), Attempt("update", "apps", "deployments/scale"))
    assert covers(Rule(("get",), paths=("/apis/*",)), Attempt("get", path="/apis/apps"))
    assert not covers(Rule(("get",), ("apps",), ("pods",)), Attempt("get", resource="pods"))

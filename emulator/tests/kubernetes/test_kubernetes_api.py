"""Requests and their answers. Source of what is expected: Kubernetes documentation, "Kubernetes API Concepts"."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_asking import Asked, deployment, pod

from embedded_aws.kubernetes import deleting
from embedded_aws.kubernetes.cluster import Cluster
from embedded_aws.kubernetes.kinds import named

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


def events(ask: Asked, path: str, **query: Any) -> Iterator[Any]:
    response = ask.response("GET", path, watch="true", **query)
    for piece in response.body:
        yield from (json.loads(line) for line in piece.splitlines())


def labelled(name: str, **labels: str) -> Any:
    return pod(name) | {"metadata": {"name": name, "labels": labels}}


def run(cluster: Cluster, name: str, node: str = "n") -> None:
    """Put a pod on a node, as a scheduler does."""
    cluster.store.change(named("Pod"), "default", name, lambda value: value["spec"].update(nodeName=node))


def test_a_cluster_begins_with_namespaces_and_their_accounts(ask: Asked) -> None:
    _, listed = ask("GET", "/api/v1/namespaces")
    names = [one["metadata"]["name"] for one in listed["items"]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert ask("GET", "/api/v1/namespaces/kube-public/serviceaccounts/default")[0] == 200
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    assert ask("GET", "/api/v1/namespaces/team/serviceaccounts/default")[0] == 200
    labels = ask("GET", "/api/v1/namespaces/team")[1]["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": "team"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/namespaces/default/pods/x", 'pods "x" not found'),
        ("/apis/apps/v1/namespaces/default/deployments/x", 'deployments.apps "x" not found'),
        ("/apis/foo/v1/bars", "the server could not find the requested resource"),
        ("/api/v1/namespaces/default/replicationcontrollers", "the server could not find the requested resource"),
    ],
)
def test_what_is_not_there(ask: Asked, path: str, message: str) -> None:
    status, said = ask("GET", path)
    assert (status, said["kind"], said["reason"], said["message"]) == (404, "Status", "NotFound", message)


def test_a_name_is_taken_once(ask: Asked) -> None:
    ask("POST", PODS, pod())
    status, said = ask("POST", PODS, pod())
    assert (status, said["reason"], said["message"]) == (409, "AlreadyExists", 'pods "p" already exists')


def test_a_generated_name_has_five_more_letters(ask: Asked) -> None:
    body = pod()
    body["metadata"] = {"generateName": "job-"}
    name = ask("POST", PODS, body)[1]["metadata"]["name"]
    assert (name[:4], len(name)) == ("job-", 9)


def test_an_old_version_is_not_written_over(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    _, made = ask("POST", path, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    ask("PATCH", f"{path}/m", {"data": {"a": "2"}}, kind=MERGE)
    status, said = ask("PUT", f"{path}/m", made)
    assert (status, said["reason"]) == (409, "Conflict")
    assert said["message"] == (
        'Operation cannot be fulfilled on configmaps "m": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


def test_a_namespace_must_be_there_and_not_end(ask: Asked) -> None:
    status, said = ask("POST", "/api/v1/namespaces/nope/pods", pod())
    assert (status, said["message"]) == (404, 'namespaces "nope" not found')
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "old"}})
    _, ending = ask("DELETE", "/api/v1/namespaces/old")
    assert ending["status"]["phase"] == "Terminating"
    status, said = ask("POST", "/api/v1/namespaces/old/pods", pod())
    assert status == 403
    assert said["message"] == (
        'pods "p" is forbidden: unable to create new content in namespace old because it is being terminated'
    )


def test_an_emptied_namespace_goes(ask: Asked) -> None:
    ask("POST", "/api/v1/namespaces", {"metadata": {"name": "old"}})
    _, ending = ask("DELETE", "/api/v1/namespaces/old")
    ending["status"]["conditions"] = []
    assert ask("PUT", "/api/v1/namespaces/old/status", ending)[0] == 200
    _, ending = ask("GET", "/api/v1/namespaces/old")
    ending["spec"]["finalizers"] = []
    assert ask("PUT", "/api/v1/namespaces/old/finalize", ending)[0] == 200
    assert ask("GET", "/api/v1/namespaces/old")[0] == 404
    assert ask("DELETE", "/api/v1/namespaces/default")[0] == 403


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=a", ["one"]),
        ("tier!=a", ["two", "zero"]),
        ("tier in (a, b)", ["one", "two"]),
        ("tier notin (a),app", ["two"]),
        ("!tier", ["zero"]),
        ("tier", ["one", "two"]),
        ("app=x,tier=b", ["two"]),
    ],
)
def test_labels_select(ask: Asked, selector: str, names: list[str]) -> None:
    for body in (labelled("zero"), labelled("one", tier="a", app="x"), labelled("two", tier="b", app="x")):
        ask("POST", PODS, body)
    _, listed = ask("GET", PODS, labelSelector=selector)
    assert [one["metadata"]["name"] for one in listed["items"]] == names


def test_fields_select(ask: Asked, cluster: Cluster) -> None:
    ask("POST", PODS, pod("one"))
    ask("POST", PODS, pod("two"))
    run(cluster, "two", "node-1")

    def names(selector: str) -> list[str]:
        return [one["metadata"]["name"] for one in ask("GET", PODS, fieldSelector=selector)[1]["items"]]

    assert names("metadata.name=one") == ["one"]
    assert names("spec.nodeName=node-1,status.phase!=Failed") == ["two"]
    assert names("spec.nodeName=") == ["one"]
    status, said = ask("GET", PODS, fieldSelector="spec.color=red")
    assert status == 400
    assert said["message"].endswith("field label not supported: spec.color")


def test_a_list_comes_in_parts(ask: Asked) -> None:
    for name in "abcde":
        ask("POST", PODS, pod(name))
    seen, token = [], ""
    while True:
        _, part = ask("GET", PODS, limit=2, **({"continue": token} if token else {}))
        seen.append([one["metadata"]["name"] for one in part["items"]])
        token = part["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


def test_a_watch_without_a_version_begins_with_what_is_there(ask: Asked) -> None:
    ask("POST", PODS, pod("one"))
    watched = events(ask, PODS, timeoutSeconds=30)
    first = next(watched)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "one")
    ask("DELETE", f"{PODS}/one")
    assert next(watched)["type"] == "DELETED"


def test_a_watch_goes_on_from_its_version_and_follows_the_selector(ask: Asked) -> None:
    _, listed = ask("GET", PODS)
    version = listed["metadata"]["resourceVersion"]
    ask("POST", PODS, labelled("one", app="x"))
    ask("PATCH", f"{PODS}/one", {"metadata": {"labels": {"app": "y"}}}, kind=MERGE)
    ask("PATCH", f"{PODS}/one", {"metadata": {"labels": {"app": "x", "b": "c"}}}, kind=MERGE)
    watched = events(ask, PODS, resourceVersion=version, labelSelector="app=x", timeoutSeconds=30)
    assert [next(watched)["type"] for _ in range(3)] == ["ADDED", "DELETED", "ADDED"]


def test_a_watch_ends_in_time_with_a_bookmark(ask: Asked, cluster: Cluster) -> None:
    version = cluster.store.version
    found = list(events(ask, PODS, resourceVersion=version, timeoutSeconds=1, allowWatchBookmarks="true"))
    assert [one["type"] for one in found] == ["BOOKMARK"]
    assert found[0]["object"]["metadata"]["resourceVersion"] == str(version)


def test_a_watch_from_too_far_back_is_told_to_list_again(ask: Asked) -> None:
    from embedded_aws.kubernetes.store import HISTORY

    path = "/api/v1/namespaces/default/configmaps"
    ask("POST", path, {"metadata": {"name": "m"}, "data": {"a": "x"}})
    store = ask.cluster.store
    for number in range(HISTORY + 1):
        store.change(named("ConfigMap"), "default", "m", lambda value, text=str(number): value["data"].update(a=text))
    (only,) = events(ask, path, resourceVersion="2", timeoutSeconds=30)
    assert (only["type"], only["object"]["code"], only["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_tables_have_the_columns_of_kubectl(ask: Asked) -> None:
    ask("POST", PODS, pod())
    _, table = ask("GET", PODS, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    names = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert names == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_bound_pod_is_left_to_the_kubelet(ask: Asked, cluster: Cluster) -> None:
    _, made = ask("POST", PODS, pod(terminationGracePeriodSeconds=7))
    run(cluster, "p")
    _, ending = ask("DELETE", f"{PODS}/p")
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 7
    assert "deletionTimestamp" in ask("GET", f"{PODS}/p")[1]["metadata"]
    deleting.finish(cluster.store, "default", "p", "another-uid")
    assert ask("GET", f"{PODS}/p")[0] == 200
    deleting.finish(cluster.store, "default", "p", made["metadata"]["uid"])
    assert ask("GET", f"{PODS}/p")[0] == 404


def test_a_pod_without_a_node_or_without_grace_goes_at_once(ask: Asked, cluster: Cluster) -> None:
    ask("POST", PODS, pod("a"))
    ask("DELETE", f"{PODS}/a")
    assert ask("GET", f"{PODS}/a")[0] == 404
    ask("POST", PODS, pod("b"))
    run(cluster, "b")
    ask("DELETE", f"{PODS}/b", gracePeriodSeconds=0)
    assert ask("GET", f"{PODS}/b")[0] == 404


def test_finalizers_are_waited_for(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    ask("POST", path, {"metadata": {"name": "m", "finalizers": ["example.com/x"]}})
    assert "deletionTimestamp" in ask("DELETE", f"{path}/m")[1]["metadata"]
    assert ask("GET", f"{path}/m")[0] == 200
    ask("PATCH", f"{path}/m", {"metadata": {"finalizers": None}}, kind=MERGE)
    assert ask("GET", f"{path}/m")[0] == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_policies_leave_their_finalizers_to_the_controllers(ask: Asked, policy: str, finalizer: str) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    ask("POST", path, deployment())
    _, ending = ask("DELETE", f"{path}/web", {"propagationPolicy": policy})
    assert ending["metadata"]["finalizers"] == [finalizer]


def test_preconditions_hold(ask: Asked) -> None:
    ask("POST", PODS, pod())
    status, said = ask("DELETE", f"{PODS}/p", {"preconditions": {"uid": "u"}})
    assert (status, said["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: u" in said["message"]


def test_a_collection_is_deleted_by_its_selector(ask: Asked) -> None:
    ask("POST", PODS, labelled("one", app="x"))
    ask("POST", PODS, labelled("two", app="y"))
    assert ask("DELETE", PODS, labelSelector="app=x")[0] == 200
    assert [one["metadata"]["name"] for one in ask("GET", PODS)[1]["items"]] == ["two"]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_dry_run_changes_nothing(ask: Asked, method: str) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    body = {"metadata": {"name": "m"}, "data": {"a": "1"}}
    new = {"metadata": {"name": "n"}} if method == "POST" else {"metadata": {"name": "m"}, "data": {"a": "2"}}
    ask("POST", path, body)
    version = ask.cluster.store.version
    where = path if method == "POST" else f"{path}/m"
    sent = None if method == "DELETE" else new
    status, _ = ask(method, where, sent, kind=MERGE if method == "PATCH" else "application/json", dryRun="All")
    assert status in (200, 201)
    assert ask.cluster.store.version == version


def test_a_status_is_written_at_its_own_path(ask: Asked) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    _, made = ask("POST", path, deployment())
    body = made | {"status": {"replicas": 9}, "spec": made["spec"] | {"replicas": 5}}
    _, now = ask("PUT", f"{path}/web", body)
    assert (now["spec"]["replicas"], now["status"]) == (5, {})
    now["status"], now["spec"]["replicas"] = {"replicas": 9}, 1
    _, now = ask("PUT", f"{path}/web/status", now)
    assert (now["spec"]["replicas"], now["status"]) == (5, {"replicas": 9})


def test_generations_count_the_changes_of_the_spec(ask: Asked) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert ask("POST", path, deployment())[1]["metadata"]["generation"] == 1
    assert ask("PATCH", f"{path}/web", {"spec": {"replicas": 2}}, kind=MERGE)[1]["metadata"]["generation"] == 2
    body = {"metadata": {"labels": {"a": "b"}}}
    assert ask("PATCH", f"{path}/web", body, kind=MERGE)[1]["metadata"]["generation"] == 2


def test_an_eviction_keeps_to_the_budget(ask: Asked, cluster: Cluster) -> None:
    ask("POST", PODS, labelled("p", app="x"))
    run(cluster, "p")
    cluster.store.change(named("Pod"), "default", "p", lambda value: value["status"].update(phase="Running"))
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    ask("POST", budgets, {"metadata": {"name": "b"}, "spec": spec})
    status, said = ask("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert (status, said["reason"]) == (429, "TooManyRequests")
    assert said["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    budget = named("PodDisruptionBudget")
    cluster.store.change(budget, "default", "b", lambda value: value["status"].update(disruptionsAllowed=1))
    assert ask("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})[0] == 201
    assert "deletionTimestamp" in ask("GET", f"{PODS}/p")[1]["metadata"]
    assert ask("GET", f"{budgets}/b")[1]["status"]["disruptionsAllowed"] == 0


def test_logs_are_of_a_container_that_there_is(ask: Asked, cluster: Cluster) -> None:
    two = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    ask("POST", PODS, pod(containers=two))
    run(cluster, "p")
    status, said = ask("GET", f"{PODS}/p/log")
    assert (status, said["message"]) == (400, "a container name must be specified for pod p, choose one of: [a b]")
    status, said = ask("GET", f"{PODS}/p/log", container="c")
    assert (status, said["message"]) == (400, "container c is not valid for pod p")
    response = ask.response("GET", f"{PODS}/p/log", container="b", tailLines=1)
    assert b"".join(response.body) == b"p/b line 4\n"


def test_what_the_cluster_does_not_do_it_says(ask: Asked) -> None:
    status, said = ask("POST", f"{PODS}/p/exec")
    assert status == 501
    assert "the embedded cluster does not do pods/exec" in said["message"]


def test_writers_at_the_same_time_lose_nothing(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    ask("POST", path, {"metadata": {"name": "m"}})
    codes: list[int] = []

    def write(number: int) -> None:
        codes.append(ask("PATCH", f"{path}/m", {"data": {f"k{number}": "x"}}, kind=MERGE)[0])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 5
    assert len(ask("GET", f"{path}/m")[1]["data"]) == 5

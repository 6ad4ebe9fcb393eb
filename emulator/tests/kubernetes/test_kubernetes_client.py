"""The Python client as it is, typed and dynamic, against a served cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_asking import Served, deployment, pod

pytestmark = pytest.mark.slow


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    from kubernetes import client

    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = served.url, str(served.authority)
    settings.api_key = {"authorization": "bearer admin-token"}
    with client.ApiClient(settings) as made:
        yield made


def test_a_deployment_is_created_read_changed_and_deleted(client: Any) -> None:
    from kubernetes.client import AppsV1Api
    from kubernetes.client.exceptions import ApiException

    apps = AppsV1Api(client)
    made = apps.create_namespaced_deployment("default", deployment())
    assert made.status.replicas is None
    assert [one.metadata.name for one in apps.list_namespaced_deployment("default").items] == ["web"]
    assert apps.patch_namespaced_deployment("web", "default", {"spec": {"replicas": 2}}).spec.replicas == 2
    assert apps.read_namespaced_deployment_scale("web", "default").spec.replicas == 2
    value = apps.read_namespaced_deployment("web", "default")
    value.spec.replicas = 3
    assert apps.replace_namespaced_deployment("web", "default", value).spec.replicas == 3
    with pytest.raises(ApiException) as caught:
        apps.replace_namespaced_deployment("web", "default", value)
    assert caught.value.status == 409
    apps.delete_namespaced_deployment("web", "default")
    with pytest.raises(ApiException) as caught:
        apps.read_namespaced_deployment("web", "default")
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")


def test_pods_and_services_are_answered_with_themselves_when_deleted(client: Any) -> None:
    from kubernetes.client import CoreV1Api

    core = CoreV1Api(client)
    core.create_namespaced_pod("default", pod())
    assert core.delete_namespaced_pod("p", "default").metadata.name == "p"
    core.create_namespaced_service("default", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert core.delete_namespaced_service("s", "default").metadata.name == "s"
    core.create_namespace({"metadata": {"name": "t"}})
    core.delete_namespace("t")
    assert core.read_namespace("t").status.phase == "Terminating"


def test_a_watch_hears_of_what_comes(client: Any) -> None:
    from kubernetes.client import CoreV1Api

    from kubernetes import watch

    core = CoreV1Api(client)
    core.create_namespaced_pod("default", pod("one"))
    heard = []
    later = threading.Timer(0.3, lambda: core.create_namespaced_pod("default", pod("two")))
    later.start()
    watched = watch.Watch()
    for event in watched.stream(core.list_namespaced_pod, "default", timeout_seconds=20):
        heard.append((event["type"], event["object"].metadata.name))
        if len(heard) == 2:
            watched.stop()
    later.join()
    assert heard == [("ADDED", "one"), ("ADDED", "two")]


def test_a_log_is_read(client: Any, served: Served) -> None:
    from kubernetes.client import CoreV1Api

    from embedded_aws.kubernetes.kinds import named

    core = CoreV1Api(client)
    core.create_namespaced_pod("default", pod())
    served.cluster.store.change(named("Pod"), "default", "p", lambda value: value["spec"].update(nodeName="n"))
    assert core.read_namespaced_pod_log("p", "default", tail_lines=1) == "p/a line 4\n"


def test_every_served_kind_can_be_listed(client: Any) -> None:
    from kubernetes import client as models

    counts = {
        "namespaces": len(models.CoreV1Api(client).list_namespace().items),
        "nodes": len(models.CoreV1Api(client).list_node().items),
        "jobs": len(models.BatchV1Api(client).list_job_for_all_namespaces().items),
        "policies": len(models.NetworkingV1Api(client).list_network_policy_for_all_namespaces().items),
        "budgets": len(models.PolicyV1Api(client).list_pod_disruption_budget_for_all_namespaces().items),
    }
    assert counts == {"namespaces": 4, "nodes": 0, "jobs": 0, "policies": 0, "budgets": 0}
    names = {one.metadata.name for one in models.RbacAuthorizationV1Api(client).list_cluster_role().items}
    assert {"cluster-admin", "admin", "edit", "view"} <= names


def test_the_dynamic_client_applies(client: Any) -> None:
    from kubernetes.dynamic import DynamicClient
    from kubernetes.dynamic.exceptions import ConflictError

    kind = DynamicClient(client).resources.get(api_version="apps/v1", kind="Deployment")

    def apply(value: Any, by: str) -> Any:
        return kind.server_side_apply(body=value, name="web", namespace="default", field_manager=by)

    assert apply(deployment(replicas=2), "one").spec.replicas == 2
    with pytest.raises(ConflictError) as caught:
        apply(deployment(replicas=3), "two")
    assert b'conflict with \\"one\\": .spec.replicas' in caught.value.body.encode()


def test_a_token_is_asked_for(served: Served) -> None:
    from kubernetes import client

    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = served.url, str(served.authority)
    with client.ApiClient(settings) as nobody, pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(nobody).list_namespace()
    assert caught.value.status == 401


def test_closing_ends_watches_and_threads(client: Any, served: Served) -> None:
    from kubernetes.client import CoreV1Api

    from kubernetes import watch

    before = threading.active_count()
    core = CoreV1Api(client)
    ended = threading.Event()

    def listen() -> None:
        try:
            for _ in watch.Watch().stream(core.list_namespace, _request_timeout=20):
                begun.set()
        except Exception:  # noqa: S110 - however the client puts it that the server has gone
            pass
        ended.set()

    begun = threading.Event()
    threading.Thread(target=listen, daemon=True).start()
    assert begun.wait(10)
    served.cluster.close()
    assert ended.wait(10)
    served_by = [thread for thread in threading.enumerate() if thread.name.startswith(("kubernetes-", "Thread-"))]
    assert len([thread for thread in served_by if "process_request" in thread.name]) == 0
    assert threading.active_count() <= before


def test_what_is_too_large_is_refused(served: Served) -> None:
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=str(served.authority))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", int(served.url.rpartition(":")[2]), context=context, timeout=10
    )
    headers = {"Authorization": "Bearer admin-token", "Content-Length": str(3 * 1024 * 1024 + 1)}
    connection.request("POST", "/api/v1/namespaces/default/configmaps", headers=headers)
    assert connection.getresponse().status == 413
    connection.close()

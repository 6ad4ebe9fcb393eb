"""kubectl as it is, against a served cluster. What it writes is what it writes of a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asking import Served, deployment, pod

from embedded_aws.kubernetes.kinds import named

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/usr/bin/kubectl").exists(), reason="no kubectl on this machine"),
]
WEB = json.dumps(deployment())
BIN = Path("/usr/lib/google-cloud-sdk/bin")


def image(name: str) -> str:
    return WEB.replace("nginx:1", name)


def after(seconds: float, what: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def ready(served: Served, name: str = "web") -> None:
    """Write the status of a deployment whose pods are there."""

    def how(value: dict[str, Any]) -> None:
        many = value["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), many)
        condition = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
        value["status"] = {"observedGeneration": value["metadata"]["generation"], **counts, "conditions": [condition]}

    served.cluster.store.change(named("Deployment"), "default", name, how)


def test_apply_creates_changes_and_leaves(served: Served) -> None:
    assert served.kubectl("apply", "-f", "-", text=WEB) == "deployment.apps/web created\n"
    assert served.kubectl("apply", "-f", "-", text=WEB) == "deployment.apps/web unchanged\n"
    assert served.kubectl("apply", "-f", "-", text=image("nginx:2")) == "deployment.apps/web configured\n"
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    assert served.kubectl("get", "deploy", "web", "-o", path) == "nginx:2"


def test_a_misspelt_field_is_refused(served: Served) -> None:
    said = served.kubectl("apply", "-f", "-", text=WEB.replace('"image"', '"imag"'), check=False)
    assert 'strict decoding error: unknown field "spec.template.spec.containers[0].imag"' in said


def test_get_shows_the_columns(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    ready(served)
    lines = [line.split() for line in served.kubectl("get", "deployments").splitlines()]
    assert lines[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1][:4] == ["web", "1/1", "1", "1"]
    wide = served.kubectl("get", "deploy", "-o", "wide")
    assert wide.splitlines()[0].split()[5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide.splitlines()[1].split()[5:] == ["a", "nginx:1", "app=web"]


def test_get_all_and_yaml(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    served.kubectl("create", "-f", "-", text=json.dumps(pod()))
    said = served.kubectl("get", "all")
    assert "pod/p " in said
    assert "deployment.apps/web " in said
    listed = json.loads(served.kubectl("get", "pods", "-o", "json"))
    assert (listed["items"][0]["kind"], listed["items"][0]["apiVersion"]) == ("Pod", "v1")
    assert "name: web" in served.kubectl("get", "deploy", "web", "-o", "yaml")
    assert served.kubectl("get", "pods", "-o", "name") == "pod/p\n"


def test_describe(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    served.kubectl("create", "-f", "-", text=json.dumps(pod()))
    uid = served.cluster.store.get(named("Pod"), "default", "p")["metadata"]["uid"]
    about = {"kind": "Pod", "namespace": "default", "name": "p", "uid": uid}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"}}
    told = {"involvedObject": about, "reason": "Scheduled", "message": "on n", "type": "Normal"}
    served.cluster.store.create(event | told)
    assert "25% max unavailable, 25% max surge" in served.kubectl("describe", "deployment", "web")
    said = served.kubectl("describe", "pod", "p")
    assert "QoS Class:        BestEffort" in said
    assert "Scheduled" in said


def test_server_side_apply_and_its_conflict(served: Served) -> None:
    assert served.kubectl("apply", "--server-side", "-f", "-", text=WEB) == "deployment.apps/web serverside-applied\n"
    arguments = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    said = served.kubectl(*arguments, text=image("nginx:2"), check=False)
    assert 'conflict with "kubectl": .spec.template.spec.containers[name="a"].image' in said
    served.kubectl(*arguments, "--force-conflicts", text=image("nginx:2"))
    assert "nginx:2" in served.kubectl("get", "deploy", "web", "-o", "yaml")


def test_diff_and_dry_run_change_nothing(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    version = served.cluster.store.version
    done = served.start("diff", "-f", "-", text=image("nginx:2"))
    assert done.returncode == 1  # there is a difference
    assert "+      - image: nginx:2" in done.stdout
    said = served.kubectl("apply", "--dry-run=server", "-f", "-", text=image("nginx:2"))
    assert said == "deployment.apps/web configured (server dry run)\n"
    assert served.cluster.store.version == version


def test_small_changes(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    assert served.kubectl("label", "deploy", "web", "tier=a") == "deployment.apps/web labeled\n"
    assert served.kubectl("annotate", "deploy", "web", "x=y") == "deployment.apps/web annotated\n"
    assert served.kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    env = '{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"X","value":"1"}]}]}}}}'
    assert served.kubectl("patch", "deploy", "web", "-p", env) == "deployment.apps/web patched\n"
    rule = '[{"op":"replace","path":"/spec/revisionHistoryLimit","value":2}]'
    served.kubectl("patch", "deploy", "web", "--type=json", "-p", rule)
    value = served.cluster.store.get(named("Deployment"), "default", "web")
    assert value["metadata"]["labels"] == {"tier": "a"}
    assert (value["spec"]["replicas"], value["spec"]["revisionHistoryLimit"]) == (3, 2)
    (container,) = value["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("nginx:1", [{"name": "X", "value": "1"}])
    assert "deployment.apps/web" in served.kubectl("get", "deploy", "-l", "tier in (a)", "-o", "name")


def test_rollout_status_waits_for_the_replicas(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    timer = after(0.5, lambda: ready(served))
    said = served.kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    timer.join()
    assert said.endswith('deployment "web" successfully rolled out\n')
    assert served.kubectl("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"


def test_wait_for_a_condition_and_for_the_end(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    timer = after(0.5, lambda: ready(served))
    said = served.kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=20s")
    timer.join()
    assert said == "deployment.apps/web condition met\n"
    timer = after(0.5, lambda: served.cluster.store.remove(named("Deployment"), "default", "web"))
    served.kubectl("wait", "--for=delete", "deploy/web", "--timeout=20s")
    timer.join()


def test_delete(served: Served) -> None:
    served.kubectl("apply", "-f", "-", text=WEB)
    served.kubectl("create", "-f", "-", text=json.dumps(pod()))
    assert 'deployment.apps "web" deleted' in served.kubectl("delete", "deploy", "web")
    assert 'pod "p" deleted' in served.kubectl("delete", "pod", "p")
    said = served.kubectl("delete", "pod", "p", check=False)
    assert said == 'Error from server (NotFound): pods "p" not found\n'


def test_create_from_the_command_line(served: Served) -> None:
    assert served.kubectl("create", "namespace", "team") == "namespace/team created\n"
    assert served.kubectl("create", "configmap", "m", "--from-literal=a=b", "-n", "team") == "configmap/m created\n"
    assert served.kubectl("get", "configmap", "m", "-n", "team", "-o", "jsonpath={.data.a}") == "b"
    served.kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    assert served.kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="


def test_roles_and_can_i(served: Served) -> None:
    assert served.start("auth", "can-i", "delete", "nodes").stdout == "yes\n"
    assert served.start("auth", "can-i", "get", "pods", token="ann-token").stdout == "no\n"
    served.kubectl("create", "role", "r", "--verb=get,list", "--resource=pods")
    served.kubectl("create", "rolebinding", "b", "--role=r", "--user=ann")
    assert served.kubectl("auth", "can-i", "get", "pods", token="ann-token") == "yes\n"
    assert "No resources found" in served.kubectl("get", "pods", token="ann-token")
    lines = [line.split() for line in served.kubectl("auth", "can-i", "--list", token="ann-token").splitlines()]
    assert ["pods", "[]", "[]", "[get", "list]"] in lines
    said = served.kubectl("get", "secrets", token="ann-token", check=False)
    assert said == (
        'Error from server (Forbidden): secrets is forbidden: User "ann" cannot list resource "secrets" in API group '
        '"" in the namespace "default"\n'
    )
    said = served.kubectl("get", "pods", token="nobody", check=False)
    assert said == "error: You must be logged in to the server (Unauthorized)\n"


def test_explain(served: Served) -> None:
    said = served.kubectl("explain", "deployment.spec.replicas")
    assert "FIELD: replicas <integer>" in said
    assert "Number of desired pods." in said
    assert "containers\t<[]Container> -required-" in served.kubectl("explain", "pod.spec")


def test_logs(served: Served) -> None:
    served.kubectl("create", "-f", "-", text=json.dumps(pod()))
    served.cluster.store.change(named("Pod"), "default", "p", lambda value: value["spec"].update(nodeName="n"))
    assert served.kubectl("logs", "p", "--tail=2") == "p/a line 3\np/a line 4\n"
    assert served.kubectl("logs", "-f", "p").count("\n") == 5


def test_the_version(served: Served) -> None:
    assert json.loads(served.start("version", "-o", "json").stdout)["serverVersion"]["gitVersion"] == "v1.34.0"


@pytest.mark.parametrize("minor", ["1.27", "1.29", "1.31", "1.33"])
def test_other_versions_of_kubectl(served: Served, minor: str) -> None:
    if not (BIN / f"kubectl.{minor}").exists():
        pytest.skip(f"no kubectl {minor} on this machine")
    binary = str(BIN / f"kubectl.{minor}")
    assert served.start("apply", "-f", "-", text=WEB, binary=binary).stdout == "deployment.apps/web created\n"
    done = served.start("apply", "-f", "-", text=image("nginx:2"), binary=binary)
    assert done.stdout == "deployment.apps/web configured\n", done.stderr
    assert served.start("get", "all", "-o", "name", binary=binary).stdout == "deployment.apps/web\n"
    assert served.start("create", "namespace", "team", binary=binary).stdout == "namespace/team created\n"
    assert served.start("delete", "deploy", "web", binary=binary).stdout.startswith('deployment.apps "web" deleted')


def test_workloads_from_the_command_line(served: Served) -> None:
    assert served.kubectl("create", "deployment", "d", "--image=nginx", "--port=80") == "deployment.apps/d created\n"
    assert served.kubectl("create", "job", "j", "--image=busybox", "--", "date") == "job.batch/j created\n"
    value = served.cluster.store.get(named("Deployment"), "default", "d")
    (container,) = value["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["ports"]) == ("nginx", [{"containerPort": 80, "protocol": "TCP"}])
    job = served.cluster.store.get(named("Job"), "default", "j")
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["date"]
    assert served.kubectl("run", "r", "--image=nginx") == "pod/r created\n"


def test_what_is_not_read_as_protobuf_is_refused_with_a_way_out(served: Served) -> None:
    said = served.kubectl("create", "service", "clusterip", "s", "--tcp=80", check=False)
    assert "use kubectl apply -f" in said

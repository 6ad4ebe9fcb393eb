"""Manifests on a cluster: the embedded one, or with KUBECONFIG (and FEDERATION_IMAGE) any conformant one.

Everything here is kubectl and Kubernetes alone: no AWS, no load balancer, nobody to dial. Where a cluster of one's own
answers otherwise than the embedded one, a test fails, or the difference is in docs/run-on-eks.md.
"""

import json
import os
import shutil
import subprocess
import time

import pytest

from workshop.clusters import launch, manifests
from workshop.clusters.agents import Agent
from workshop.clusters.spec import RunSpec

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
AUTHORITY = "no certificate: there is nobody to dial\n"
SECONDS = 120


class Kubectl:
    """kubectl on one cluster; what it refuses is an answer, too."""

    def __init__(self, *options, home):
        self.command = ["kubectl", *options]
        self.environment = os.environ | {"KUBECACHEDIR": str(home / "cache")}

    def ask(self, *arguments, given=None):
        return subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, input=given, timeout=SECONDS + 30, check=False,
            env=self.environment,
        )  # fmt: skip

    def __call__(self, *arguments, given=None):
        done = self.ask(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments):
        return json.loads(self(*arguments, "-n", "federation", "-o", "json"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, request):
    """Return kubectl, and the name of an image that the cluster can pull."""
    home = tmp_path_factory.mktemp("any")
    if own := os.environ.get("KUBECONFIG"):
        image = os.environ.get("FEDERATION_IMAGE", "")
        if not image:
            pytest.skip("KUBECONFIG is set, and FEDERATION_IMAGE (name@sha256:...) is not: nothing to run")
        kubectl = Kubectl("--kubeconfig", own, home=home)
    else:
        from workshop.lessons import hospitals

        request.getfixturevalue("own_accounts")(1)
        connected = hospitals.connect_hospitals(n_clients=1)
        image = connected.images["client-1"]
        kubectl = Kubectl("--kubeconfig", str(manifests.kubeconfig()), "--context", "client-1", home=home)
        kubectl("delete", "namespace", "federation", "--timeout", f"{SECONDS}s")
    yield kubectl, image
    kubectl("delete", "namespace", "federation", "--ignore-not-found", "--timeout", f"{SECONDS}s")


@pytest.fixture(scope="module")
def kubectl(place):
    return place[0]


def values(image, *, server="192.0.2.1"):
    return manifests.AgentValues("client-1", "no-bucket", server, 9092, "192.0.2.0/24", AUTHORITY, image)


def apply(kubectl, folder):
    return kubectl("apply", "--server-side", "--field-manager", "federation", "-k", str(folder))


@pytest.fixture(scope="module")
def agent(place, tmp_path_factory):
    """Have an agent stand that waits for a server that nobody is."""
    kubectl, image = place
    folder = manifests.write_agent(tmp_path_factory.mktemp("agent"), values(image))
    apply(kubectl, folder)
    kubectl("-n", "federation", "rollout", "status", "deployment/agent", f"--timeout={SECONDS}s")
    return folder


def the_pod(kubectl):
    (pod,) = [
        pod
        for pod in kubectl.get("get", "pods", "-l", "app.kubernetes.io/name=agent")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return pod


def until(condition):
    give_up = time.monotonic() + SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.2)
    return answer


@pytest.mark.promise("G-05", "An agent's manifests make a pod that is ready, restricted and waits, on any cluster")
def test_an_agent_comes_up_and_waits(kubectl, agent):
    pod = the_pod(kubectl)
    assert pod["status"]["phase"] == "Running"
    assert all(container["ready"] for container in pod["status"]["containerStatuses"])
    assert not any("kube-api-access" in volume["name"] for volume in pod["spec"]["volumes"])
    log = kubectl("-n", "federation", "logs", "deployment/agent")
    assert "agent client-1 waits for runs at 192.0.2.1:9092" in log


def test_applying_again_changes_nothing(kubectl, agent):
    before = {kind: kubectl.get("get", kind)["items"] for kind in ("deployment", "networkpolicy", "pdb")}
    apply(kubectl, agent)
    for kind, items in before.items():
        now = kubectl.get("get", kind)["items"]
        assert [item["metadata"]["generation"] for item in now] == [item["metadata"]["generation"] for item in items]
    assert the_pod(kubectl)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_another_field_manager_meets_a_conflict(kubectl, agent):
    done = kubectl.ask("apply", "--server-side", "--field-manager", "somebody", "-f", "-", given=json.dumps({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "agent", "namespace": "federation"},
        "spec": {"replicas": 2},
    }))  # fmt: skip
    assert done.returncode != 0
    assert 'conflict with "federation"' in done.stderr


def test_a_pod_that_is_deleted_is_followed_by_another(kubectl, agent):
    before = the_pod(kubectl)["metadata"]["uid"]
    began = time.monotonic()
    kubectl("-n", "federation", "delete", "pod", "-l", "app.kubernetes.io/name=agent")
    # It obeys SIGTERM within five seconds of the ten that it has; kubectl waits for its end.
    assert time.monotonic() - began < 9
    kubectl("-n", "federation", "rollout", "status", "deployment/agent", f"--timeout={SECONDS}s")
    assert the_pod(kubectl)["metadata"]["uid"] != before


def test_another_setting_starts_the_agent_again(place, agent, tmp_path):
    kubectl, image = place
    before = the_pod(kubectl)["metadata"]["uid"]
    apply(kubectl, manifests.write_agent(tmp_path, values(image, server="192.0.2.7")))
    kubectl("-n", "federation", "rollout", "status", "deployment/agent", f"--timeout={SECONDS}s")
    until(lambda: "192.0.2.7:9092" in kubectl("-n", "federation", "logs", "deployment/agent"))
    assert the_pod(kubectl)["metadata"]["uid"] != before


def test_a_budget_lets_a_node_be_drained(kubectl, agent):
    until(lambda: kubectl.get("get", "pdb", "agent")["status"]["disruptionsAllowed"] == 1)


def container(**security):
    return {"name": "odd", "image": "none", "securityContext": security}


RESTRICTED = {
    "allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({}, "allowPrivilegeEscalation != false"),
        (RESTRICTED | {"privileged": True, "allowPrivilegeEscalation": True}, "privileged"),
        (RESTRICTED | {"runAsUser": 0}, "runAsUser=0"),
        (RESTRICTED | {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}, "unrestricted capabilities"),
    ],
)
def test_a_pod_that_could_be_more_is_refused(kubectl, agent, odd, says):
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": "federation"},
        "spec": {"containers": [container(**odd)]},
    }  # fmt: skip
    done = kubectl.ask("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in done.stderr
    assert says in done.stderr


def test_a_misspelt_field_is_refused_by_name(kubectl, agent):
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "odd", "namespace": "federation"},
        "date": {},
    }
    done = kubectl.ask("apply", "--server-side", "-f", "-", given=json.dumps(config))
    assert done.returncode != 0
    assert "date" in done.stderr


@pytest.fixture(scope="module")
def server(place, tmp_path_factory):
    kubectl, _ = place
    folder = tmp_path_factory.mktemp("server")
    apply(kubectl, manifests.write_server(folder, manifests.ServerValues(9092, ("192.0.2.0/24",), "198.51.100.0/24")))
    files = [f"--from-literal=authority.{kind}=no" for kind in ("pem", "key")]
    kubectl("-n", "federation", "create", "secret", "generic", "authority", *files)
    return folder


@pytest.mark.promise("G-06", "A run that ends for a reason of its own ends its Job at once, in one pod, on any cluster")
def test_a_run_whose_terms_cannot_be_kept_ends_at_once(place, server):
    kubectl, image = place
    spec = RunSpec("abcd", "192.0.2.1", 9092, "no-bucket", (Agent("client-1", "111122223333", "FL-agent"),))
    name = "run-abcd"
    terms = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "federation"},
        "data": {"terms.json": "{}"}, "immutable": True,
    }  # fmt: skip
    kubectl("create", "-f", "-", given=json.dumps(terms))
    kubectl("create", "-f", "-", given=json.dumps(launch.filled_in(spec, image=image, name=name)))
    kubectl("-n", "federation", "wait", "--for=condition=failed", f"job/{name}", f"--timeout={SECONDS}s")
    job = kubectl.get("get", "job", name)
    failed = next(each for each in job["status"]["conditions"] if each["type"] == "Failed")
    assert failed["reason"] == "PodFailurePolicy"
    assert "exit code 2" in failed["message"]
    pods = kubectl.get("get", "pods", "-l", f"batch.kubernetes.io/job-name={name}")["items"]
    assert len(pods) == 1
    ended = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert "the terms of this run cannot be read" in ended["message"]


def test_the_terms_of_a_run_cannot_be_changed(place, server):
    kubectl, _ = place
    terms = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "run-efgh", "namespace": "federation"},
        "data": {"terms.json": "{}"}, "immutable": True,
    }  # fmt: skip
    kubectl("create", "-f", "-", given=json.dumps(terms))
    done = kubectl.ask("-n", "federation", "patch", "configmap", "run-efgh", "-p", '{"data": {"terms.json": "other"}}')
    assert done.returncode != 0
    assert "field is immutable when `immutable` is set" in done.stderr


def test_the_policies_are_those_that_were_agreed(kubectl, agent, server):
    policies = {each["metadata"]["name"]: each["spec"] for each in kubectl.get("get", "networkpolicy")["items"]}
    assert set(policies) == {"nothing", "aws", "agent", "run"}
    assert policies["nothing"]["podSelector"] == {}
    assert policies["run"]["ingress"][0]["ports"] == [{"port": 9092, "protocol": "TCP"}]
    blocks = [peer["ipBlock"]["cidr"] for peer in policies["run"]["ingress"][0]["from"]]
    assert blocks == ["192.0.2.0/24", "198.51.100.0/24"]

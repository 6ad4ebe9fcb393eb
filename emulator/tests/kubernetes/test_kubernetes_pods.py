"""Pods that really run: processes with their mounts, environment, probes, restarts and logs, in this process's kubelet.

Expected values: Kubernetes documentation, "Pod Lifecycle", "Configure Liveness, Readiness and Startup Probes",
"Define Environment Variables for a Container".
"""

import time

import pytest

from embedded_aws.jobs import process
from embedded_aws.jobs.nursery import NURSERY
from embedded_aws.kubernetes.api import Api
from embedded_aws.kubernetes.bootstrap import fill
from embedded_aws.kubernetes.controllers.desk import SYSTEM, Desk, is_ready
from embedded_aws.kubernetes.controllers.manager import Manager
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.kubelet.host import Attachment, Identity, Image, PullError
from embedded_aws.kubernetes.kubelet.kubelet import Kubelet
from embedded_aws.kubernetes.messages import Request
from embedded_aws.kubernetes.store import Store

pytestmark = pytest.mark.slow
POD = named("Pod")


class Plain:
    """A host with one image per folder, this machine's network, and no identities."""

    def __init__(self, folder):
        self.folder, self.attached = folder, []

    def pull(self, reference, pod):
        root = self.folder / reference
        if not root.is_dir():
            raise PullError(f"{reference}: not found")
        return Image(root, "sha256:" + "0" * 64, {"FROM_IMAGE": "1"}, command=("python", "main.py"), folder="/app")

    def identify(self, pod):
        return Identity({"TOKEN_FILE": "{files}/token"}, {"token": f"of {pod['metadata']['name']}"})

    def attach(self, pod):
        self.attached.append(pod["metadata"]["name"])
        return Attachment("10.0.0.9", "127.0.0.1", detach=lambda: self.attached.remove(pod["metadata"]["name"]))


class Node:
    """A cluster of one node whose pods run."""

    def __init__(self, folder):
        self.images = folder / "images"
        self.store = Store()
        fill(self.store)
        api = Api(self.store, version="1.34")
        self.desk = Desk(self.store, api)
        self.host = Plain(self.images)
        self.kubelet = Kubelet(self.desk, self.host, folder / "pods")
        api.logs = self.kubelet.logs
        self.manager = Manager(self.desk)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {}}
        node["status"] = {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.4"}],
        }
        self.store.create(node)
        self.kubelet.start()
        self.manager.start()

    def close(self):
        self.manager.close()
        self.kubelet.close()

    def image(self, name, main):
        folder = self.images / name / "app"
        folder.mkdir(parents=True)
        (folder / "main.py").write_text(main)

    def make(self, **value):
        return self.desk.create(value)

    def pod(self, name, image="a", *, container=None, **spec):
        return self.make(
            apiVersion="v1", kind="Pod", metadata={"name": name, "namespace": "default"},
            spec={"containers": [{"name": "main", "image": image, **(container or {})}], **spec},
        )  # fmt: skip

    def find(self, name):
        return self.store.find(POD, "default", name)

    def until(self, condition, seconds=20.0):
        answer = self.store.wait(condition, seconds)
        assert answer, [pod["status"] for pod in self.store.list(POD)]
        return answer

    def phase(self, name, phase, seconds=20.0):
        self.until(lambda: (self.find(name) or {}).get("status", {}).get("phase") == phase, seconds)
        return self.find(name)["status"]

    def log(self, name, **query):
        answer = self.desk.api.answer(
            Request("GET", f"/api/v1/namespaces/default/pods/{name}/log", query=query, user=SYSTEM)
        )
        body = answer.body
        return (body if isinstance(body, bytes) else b"".join(body)).decode()

    def delete(self, name, body=b""):
        self.desk.api.answer(Request("DELETE", f"/api/v1/namespaces/default/pods/{name}", body=body, user=SYSTEM))

    def events(self, reason):
        return [event["message"] for event in self.store.list(named("Event")) if event["reason"] == reason]


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path)
    yield made
    made.close()
    process.kill_all()
    NURSERY.close()


def test_a_pod_runs_with_its_environment_its_mounts_and_its_own_log(node):
    node.image("a", "import os, sys\nfor name in sys.argv[1:]: print(name, os.environ.get(name))\n"
               "print(open(os.environ['FILE']).read(), os.path.exists('/etc/config'), os.getcwd()[-4:])\n"
               "print(open(os.environ['TOKEN_FILE']).read())")  # fmt: skip
    node.make(
        apiVersion="v1", kind="ConfigMap", metadata={"name": "c", "namespace": "default"}, data={"A": "1", "f": "x"}
    )
    node.make(
        apiVersion="v1", kind="Secret", metadata={"name": "s", "namespace": "default"}, stringData={"B": "two"}
    )  # fmt: skip
    node.pod(
        "p", restartPolicy="Never",
        container={
            "args": ["python", "main.py", "A", "B", "C", "NODE", "FROM_IMAGE"],
            "envFrom": [{"configMapRef": {"name": "c"}}],
            "env": [
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "B"}}},
                {"name": "C", "value": "$(A)-$(B)"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "FILE", "value": "/etc/config/f"},
            ],
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
        },
        volumes=[{"name": "config", "configMap": {"name": "c"}}],
    )  # fmt: skip
    status = node.phase("p", "Succeeded")
    assert node.log("p").splitlines() == [
        "A 1", "B two", "C 1-two", "NODE node-1", "FROM_IMAGE 1", "x False /app", "of p",
    ]  # fmt: skip
    (container,) = status["containerStatuses"]
    assert (container["state"]["terminated"]["exitCode"], container["state"]["terminated"]["reason"]) == (
        0,
        "Completed",
    )
    assert (status["podIP"], status["hostIP"]) == ("10.0.0.9", "10.0.0.4")


def test_a_module_and_another_program_run_too(node):
    node.image("a", "")
    (node.images / "a" / "app" / "tool.py").write_text("import sys; print(__name__, sys.argv[1:])")
    node.pod("module", restartPolicy="Never", container={"command": ["python", "-m", "tool", "x"]})
    node.pod("program", restartPolicy="Never", container={"command": ["sh", "-c", "echo $0 $HOSTNAME", "y"]})
    node.phase("module", "Succeeded")
    node.phase("program", "Succeeded")
    assert node.log("module") == "__main__ ['x']\n"
    assert node.log("program") == "y program\n"


def test_a_container_that_ends_is_started_again_after_a_pause_that_grows(node):
    node.image("a", "import sys; print('once more'); sys.exit(3)")
    node.pod("p")
    node.until(lambda: node.find("p")["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 2)
    (container,) = node.find("p")["status"]["containerStatuses"]
    assert container["lastState"]["terminated"]["exitCode"] == 3
    node.until(lambda: "waiting" in node.find("p")["status"]["containerStatuses"][0]["state"])
    assert node.find("p")["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert node.log("p", previous="true") == "once more\n"
    assert node.events("BackOff")


@pytest.mark.parametrize(("policy", "code", "phase"), [("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")])
def test_a_pod_is_over_as_its_restart_policy_says(node, policy, code, phase):
    node.image("a", f"import sys; print('last words'); sys.exit({code})")
    node.pod("p", restartPolicy=policy, container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    ended = node.phase("p", phase)["containerStatuses"][0]["state"]["terminated"]
    assert ended.get("message") == ("last words\n" if code else None)


STAYS = "import signal, sys, time\nsignal.signal(15, lambda *_: (print('good-bye', flush=True), sys.exit(0)))\n" \
        "print('here', flush=True)\nwhile True: time.sleep(0.05)"  # fmt: skip


def test_a_pod_that_is_deleted_is_asked_to_end_and_then_gone(node):
    node.image("a", STAYS)
    node.pod("p")
    node.phase("p", "Running")
    node.until(lambda: node.log("p") == "here\n" or time.sleep(0.05))
    followed = node.desk.api.answer(
        Request("GET", "/api/v1/namespaces/default/pods/p/log", query={"follow": "true"}, user=SYSTEM)
    ).body
    node.delete("p")
    began = time.monotonic()
    assert b"".join(followed) == b"here\ngood-bye\n"
    node.until(lambda: node.find("p") is None)
    assert time.monotonic() - began < 5  # it has obeyed: nobody waits for the whole 30 s
    assert node.host.attached == []


def test_a_process_that_does_not_obey_is_killed_after_its_grace(node):
    node.image("a", "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(60)")
    node.pod("p", terminationGracePeriodSeconds=1)
    node.until(lambda: node.phase("p", "Running") and (node.log("p") or time.sleep(0.05)))
    node.delete("p")
    node.until(lambda: node.find("p") is None, 8)


def test_a_startup_probe_holds_back_and_a_liveness_probe_starts_again(node):
    node.image("a", "import os, time\ntime.sleep(0.6)\nopen(os.environ['UP'], 'w').close()\ntime.sleep(60)")
    probe = {"exec": {"command": ["test", "-e", "/space/up"]}, "periodSeconds": 1}
    node.pod(
        "p",
        container={
            "env": [{"name": "UP", "value": "/space/up"}], "volumeMounts": [{"name": "w", "mountPath": "/space"}],
            "startupProbe": {**probe, "failureThreshold": 30}, "livenessProbe": {**probe, "failureThreshold": 1},
        },
        volumes=[{"name": "w", "emptyDir": {}}],
    )  # fmt: skip
    node.phase("p", "Running")
    assert not is_ready(node.find("p"))
    node.until(lambda: is_ready(node.find("p")))
    uid = node.find("p")["metadata"]["uid"]
    (node.kubelet.folder / uid / "volumes" / "w" / "up").unlink()
    node.until(lambda: node.find("p")["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert any("Liveness probe failed" in message for message in node.events("Unhealthy"))


def test_a_readiness_probe_by_connection_says_when_a_pod_listens(node):
    node.image("a", "import os, socket, time\ntime.sleep(0.5)\n"
               "s = socket.create_server((os.environ['POD_IP'], 0))\nprint(s.getsockname()[1], flush=True)\n"
               "time.sleep(60)")  # fmt: skip
    node.pod("p", container={"env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]})
    node.until(lambda: node.phase("p", "Running") and (node.log("p") or time.sleep(0.05)))
    port = int(node.log("p"))
    node.pod("q", container={"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}})
    node.until(lambda: is_ready(node.find("q")))
    node.pod("r", container={"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}})
    node.phase("r", "Running")
    node.until(lambda: any("Readiness probe failed: dial tcp" in message for message in node.events("Unhealthy")))
    assert not is_ready(node.find("r"))


def test_a_pod_without_its_image_or_its_configuration_waits_and_says_why(node):
    node.image("a", STAYS)
    node.pod("no-image", image="missing")
    node.pod("no-config", container={"envFrom": [{"configMapRef": {"name": "later"}}]})
    node.pod("no-volume", volumes=[{"name": "v", "configMap": {"name": "later"}}])

    def waits(name, reason):
        containers = node.find(name).get("status", {}).get("containerStatuses", [{}])
        return containers[0].get("state", {}).get("waiting", {}).get("reason") == reason

    node.until(lambda: waits("no-image", "ImagePullBackOff"))
    node.until(lambda: waits("no-config", "CreateContainerConfigError"))
    node.until(
        lambda: 'MountVolume.SetUp failed for volume "v" : configmap "later" not found' in node.events("FailedMount")
    )
    node.make(apiVersion="v1", kind="ConfigMap", metadata={"name": "later", "namespace": "default"}, data={})
    node.phase("no-config", "Running")
    node.phase("no-volume", "Running")


def test_a_mounted_config_map_that_changes_is_seen_by_the_running_pod(node):
    node.image("a", "import os, time\nlast = ''\nwhile True:\n    now = open(os.environ['F']).read()\n"
               "    if now != last: print(now, flush=True)\n    last = now\n    time.sleep(0.05)")  # fmt: skip
    config = named("ConfigMap")
    node.make(apiVersion="v1", kind="ConfigMap", metadata={"name": "c", "namespace": "default"}, data={"f": "old"})
    node.pod(
        "p", volumes=[{"name": "v", "configMap": {"name": "c"}}],
        container={"env": [{"name": "F", "value": "/c/f"}], "volumeMounts": [{"name": "v", "mountPath": "/c"}]},
    )  # fmt: skip
    node.until(lambda: node.phase("p", "Running") and (node.log("p") or time.sleep(0.05)))
    node.store.change(config, "default", "c", lambda value: value["data"].update(f="new"))
    node.until(lambda: node.log("p") == "old\nnew\n" or time.sleep(0.05))


def test_init_containers_run_first_and_one_after_the_other(node):
    node.image("a", "import os; print(sorted(os.listdir(os.environ['W'])))")
    mount = {"volumeMounts": [{"name": "w", "mountPath": "/w"}], "env": [{"name": "W", "value": "/w"}]}
    node.pod(
        "p", restartPolicy="Never", container=mount, volumes=[{"name": "w", "emptyDir": {}}],
        initContainers=[
            {"name": "one", "image": "a", "command": ["sh", "-c", "sleep 0.3; touch $W/1"], **mount},
            {"name": "two", "image": "a", "command": ["sh", "-c", "test -e $W/1 && touch $W/2"], **mount},
        ],
    )  # fmt: skip
    node.phase("p", "Succeeded")
    assert node.log("p") == "['1', '2']\n"


def test_a_deployment_heals_and_a_job_completes(node):
    node.image("a", STAYS)
    node.image("done", "print('done')")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main", "image": "a"}]}}
    node.make(
        apiVersion="apps/v1", kind="Deployment", metadata={"name": "x", "namespace": "default"},
        spec={"selector": {"matchLabels": {"app": "x"}}, "template": template},
    )  # fmt: skip
    ready = lambda: [pod for pod in node.store.list(POD) if is_ready(pod)]  # noqa: E731
    (first,) = node.until(ready)
    node.delete(first["metadata"]["name"])
    node.until(lambda: ready() and ready()[0]["metadata"]["uid"] != first["metadata"]["uid"])
    job = {"containers": [{"name": "main", "image": "done"}], "restartPolicy": "Never"}
    node.make(
        apiVersion="batch/v1", kind="Job", metadata={"name": "j", "namespace": "default"},
        spec={"template": {"spec": job}},
    )  # fmt: skip
    node.until(lambda: node.store.find(named("Job"), "default", "j")["status"].get("succeeded") == 1)

"""Controllers, one step at a time, with a kubelet that is played here: no process runs.

Expected values: Kubernetes documentation, "Deployments", "Jobs", "Garbage Collection", "Disruptions", and the API
reference of their conditions.
"""

from datetime import UTC, datetime, timedelta

import pytest

from embedded_aws.kubernetes.api import Api
from embedded_aws.kubernetes.bootstrap import fill
from embedded_aws.kubernetes.controllers import desk as desks
from embedded_aws.kubernetes.controllers.desk import Desk, condition
from embedded_aws.kubernetes.controllers.manager import Manager
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.messages import Request
from embedded_aws.kubernetes.store import Store, stamp

POD, JOB, DEPLOYMENT, REPLICASET = named("Pod"), named("Job"), named("Deployment"), named("ReplicaSet")


class World:
    """A cluster without processes: a clock that is set, and a kubelet that does what a test says."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.store = Store(lambda: self.time)
        fill(self.store)
        self.desk = Desk(self.store, Api(self.store, version="1.34"))
        self.manager = Manager(self.desk)
        self.node("node-1")

    def node(self, name, **allocatable):
        self.store.create(
            {
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {},
                "status": {
                    "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "17", **allocatable},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }
        )  # fmt: skip

    def make(self, value):
        made = self.desk.create(value)
        self.settle()
        return made

    def settle(self, seconds=0.0):
        self.time += timedelta(seconds=seconds)
        return self.manager.once()

    def pods(self, *, active=True):
        return [pod for pod in self.store.list(POD, "default") if not active or desks.is_active(pod)]

    def set_pod(self, pod, phase, *, ready=None, code=None, **more):
        """Be the kubelet."""
        status = {"phase": phase, "conditions": [*more.get("conditions", ())]}
        status["conditions"].append({"type": "Ready", "status": str(phase == "Running" if ready is None else ready)})
        if code is not None:
            ended = {"exitCode": code, "finishedAt": stamp(self.time)}
            status["containerStatuses"] = [{"name": "main", "restartCount": 0, "state": {"terminated": ended}}]
        self.store.change(POD, "default", pod["metadata"]["name"], lambda value: value.update(status=status))
        self.settle()

    def run_all(self):
        for pod in self.pods():
            if pod.get("status", {}).get("phase") != "Running":
                self.set_pod(pod, "Running")

    def end_deleted(self):
        """Let what is being deleted be gone."""
        for pod in self.pods(active=False):
            if desks.is_ending(pod):
                self.store.remove(POD, "default", pod["metadata"]["name"])
        self.settle()

    def request(self, method, path, body=b""):
        answer = self.desk.api.answer(Request(method, path, body=body, user=desks.SYSTEM))
        self.settle()
        return answer

    def events(self):
        return [(event["reason"], event["message"]) for event in self.store.list(named("Event"))]


@pytest.fixture
def world():
    return World()


def template(image="a", **spec):
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "main", "image": image}], **spec},
    }


def deployment(image="a", **spec):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template(image), **spec},
    }  # fmt: skip


def job(**spec):
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"},
        "spec": {"template": template(restartPolicy="Never"), **spec},
    }  # fmt: skip


def the(world, kind, name):
    return world.store.find(kind, "default", name)


def change(world, image):
    def other(value):
        value["spec"]["template"]["spec"]["containers"][0]["image"] = image

    world.store.change(DEPLOYMENT, "default", "x", other)
    world.settle()


def test_a_deployment_has_the_pods_it_asks_for_and_says_when_they_are_ready(world):
    world.make(deployment(replicas=2))
    assert len(world.pods()) == 2
    assert all(pod["spec"]["nodeName"] == "node-1" for pod in world.pods())
    assert condition(the(world, DEPLOYMENT, "x"), "Available") == "False"
    world.run_all()
    status = the(world, DEPLOYMENT, "x")["status"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert {each["type"]: each["reason"] for each in status["conditions"]} == {
        "Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable",
    }  # fmt: skip


def test_a_pod_that_is_deleted_or_fails_is_replaced(world):
    world.make(deployment())
    world.run_all()
    (first,) = world.pods()
    world.set_pod(first, "Failed", code=1)
    (second,) = world.pods()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    world.run_all()
    world.request("DELETE", f"/api/v1/namespaces/default/pods/{second['metadata']['name']}")
    assert len(world.pods()) == 1
    assert second["metadata"]["name"] not in {pod["metadata"]["name"] for pod in world.pods()}


def test_recreate_waits_until_no_old_pod_is_there(world):
    world.make(deployment(strategy={"type": "Recreate"}))
    world.run_all()
    (old,) = world.pods()
    change(world, "b")
    # Its process is still ending: two agents at once would turn each other away.
    assert world.pods() == []
    assert [pod["metadata"]["name"] for pod in world.pods(active=False)] == [old["metadata"]["name"]]
    world.end_deleted()
    (new,) = world.pods()
    assert new["spec"]["containers"][0]["image"] == "b"


def test_a_rolling_update_keeps_enough_pods_and_not_too_many(world):
    world.make(deployment(replicas=4))  # 25 %: one more, one less
    world.run_all()
    change(world, "b")
    seen = []
    for _ in range(20):
        ready = [pod for pod in world.pods() if desks.is_ready(pod)]
        seen.append((len(world.pods()), len(ready)))
        world.end_deleted()
        if fresh := [pod for pod in world.pods() if not desks.is_ready(pod)]:
            world.set_pod(fresh[0], "Running")
    assert max(total for total, _ in seen) <= 5
    assert min(ready for _, ready in seen) >= 3
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} == {"b"}
    assert len(world.pods()) == 4


def test_a_deployment_that_does_not_get_on_says_so_after_its_deadline(world):
    world.make(deployment(progressDeadlineSeconds=60))
    assert condition(the(world, DEPLOYMENT, "x"), "Progressing") == "True"
    world.settle(61)
    conditions = the(world, DEPLOYMENT, "x")["status"]["conditions"]
    (progress,) = [each for each in conditions if each["type"] == "Progressing"]
    assert (progress["status"], progress["reason"]) == ("False", "ProgressDeadlineExceeded")
    world.run_all()
    assert condition(the(world, DEPLOYMENT, "x"), "Progressing") == "True"


def test_versions_are_numbered_and_kept_as_many_as_asked_for(world):
    world.make(deployment(revisionHistoryLimit=1))
    for image in "bcd":
        world.run_all()
        world.end_deleted()
        change(world, image)
    world.run_all()
    world.end_deleted()
    world.settle()
    revision = "deployment.kubernetes.io/revision"
    assert the(world, DEPLOYMENT, "x")["metadata"]["annotations"][revision] == "4"
    kept = sorted(each["metadata"]["annotations"][revision] for each in world.store.list(REPLICASET))
    assert kept == ["3", "4"]


def test_a_pod_that_fits_nowhere_waits_and_says_why(world):
    big = deployment()
    big["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": "8Gi"}}
    world.make(big)
    (pod,) = world.pods()
    assert "nodeName" not in pod["spec"]
    assert ("FailedScheduling", "0/1 nodes are available: 1 Insufficient memory.") in world.events()
    world.node("node-2", memory="16Gi")
    world.settle()
    assert world.pods()[0]["spec"]["nodeName"] == "node-2"


def test_a_cordoned_node_takes_no_new_pod(world):
    world.store.change(named("Node"), "", "node-1", lambda value: value["spec"].update(unschedulable=True))
    world.make(deployment())
    assert ("FailedScheduling", "0/1 nodes are available: 1 node(s) were unschedulable.") in world.events()


def test_a_job_is_complete_when_its_pod_has_succeeded(world):
    world.make(job())
    (pod,) = world.pods()
    world.set_pod(pod, "Succeeded", code=0)
    status = the(world, JOB, "j")["status"]
    assert status["succeeded"] == 1
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["completionTime"] == stamp(world.time)


def test_a_job_tries_again_after_longer_and_longer_pauses_until_its_limit(world):
    world.make(job(backoffLimit=2))
    pace = world.desk.pace
    for failures in (1, 2):
        world.set_pod(world.pods()[0], "Failed", code=1)
        assert world.pods() == []
        wait = pace.before_next_pod(failures)
        assert 0 < world.settle() <= wait
        world.settle(wait)
        assert len(world.pods()) == 1
    world.set_pod(world.pods()[0], "Failed", code=1)
    conditions = the(world, JOB, "j")["status"]["conditions"]
    assert [(each["type"], each["reason"]) for each in conditions] == [
        ("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded"),
    ]  # fmt: skip
    assert the(world, JOB, "j")["status"]["failed"] == 3


POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [2]}},
    ]
}


def test_a_failure_policy_ends_a_job_at_once_or_does_not_count_a_failure(world):
    world.make(job(backoffLimit=0, podFailurePolicy=POLICY, podReplacementPolicy="Failed"))
    drained = world.pods()[0]
    world.set_pod(drained, "Failed", code=143, conditions=[{"type": "DisruptionTarget", "status": "True"}])
    assert len(world.pods()) == 1  # another, though the limit is 0
    world.set_pod(world.pods()[0], "Failed", code=2)
    failed = the(world, JOB, "j")["status"]["conditions"][-1]
    assert (failed["type"], failed["reason"]) == ("Failed", "PodFailurePolicy")
    assert "failed with exit code 2 matching FailJob rule at index 1" in failed["message"]


def test_a_job_with_a_failure_policy_never_has_two_pods_at_once(world):
    world.make(job(podFailurePolicy=POLICY, podReplacementPolicy="Failed"))
    world.run_all()
    (pod,) = world.pods()
    world.request("DELETE", f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    assert len(world.pods(active=False)) == 1  # on its way out
    world.set_pod(pod, "Failed", code=143)
    world.settle(5)
    assert len(world.pods()) == 1


def test_a_job_ends_at_its_deadline_and_is_tidied_away_later(world):
    world.make(job(activeDeadlineSeconds=30, ttlSecondsAfterFinished=60))
    world.run_all()
    world.settle(31)
    world.end_deleted()
    assert the(world, JOB, "j")["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"
    assert world.settle(59)
    assert the(world, JOB, "j")
    world.settle(2)
    assert the(world, JOB, "j") is None


def test_a_suspended_job_has_no_pods(world):
    world.make(job(suspend=True))
    assert world.pods() == []
    world.store.change(JOB, "default", "j", lambda value: value["spec"].update(suspend=False))
    world.settle()
    assert len(world.pods()) == 1


@pytest.mark.parametrize(
    ("policy", "left"), [("Background", {"Pod": 0, "ReplicaSet": 0}), ("Orphan", {"Pod": 1, "ReplicaSet": 1})]
)
def test_what_hangs_on_a_deployment_goes_with_it_or_stays(world, policy, left):
    world.make(deployment())
    world.run_all()
    world.request(
        "DELETE", "/apis/apps/v1/namespaces/default/deployments/x", f'{{"propagationPolicy":"{policy}"}}'.encode()
    )
    world.end_deleted()
    world.end_deleted()
    assert the(world, DEPLOYMENT, "x") is None
    assert len(world.pods()) == left["Pod"]
    assert len(world.store.list(REPLICASET)) == left["ReplicaSet"]


def test_foreground_deletion_waits_for_the_pods(world):
    world.make(deployment())
    world.run_all()
    world.request("DELETE", "/apis/apps/v1/namespaces/default/deployments/x", b'{"propagationPolicy":"Foreground"}')
    assert the(world, DEPLOYMENT, "x")["metadata"]["finalizers"] == ["foregroundDeletion"]
    world.end_deleted()
    world.settle()
    assert the(world, DEPLOYMENT, "x") is None


def test_a_namespace_is_emptied_and_gone(world):
    world.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    world.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {}})
    inside = deployment()
    inside["metadata"]["namespace"] = "n"
    world.make(inside)
    world.request("DELETE", "/api/v1/namespaces/n")
    # Its pods are ended first.
    assert world.store.find(named("Namespace"), "", "n")["status"]["phase"] == "Terminating"
    for pod in world.store.list(POD, "n"):
        world.store.remove(POD, "n", pod["metadata"]["name"])
    world.settle()
    assert world.store.find(named("Namespace"), "", "n") is None
    assert not [value for kind in (POD, DEPLOYMENT, named("ConfigMap")) for value in world.store.list(kind, "n")]


def budget(**spec):
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [({"minAvailable": 1}, 1), ({"maxUnavailable": 1}, 1), ({"minAvailable": 2}, 0), ({"maxUnavailable": "50%"}, 1)],
)
def test_a_budget_says_how_many_pods_may_be_evicted(world, spec, allowed):
    world.make(deployment(replicas=2))
    world.run_all()
    world.make(budget(**spec))
    assert the(world, named("PodDisruptionBudget"), "b")["status"]["disruptionsAllowed"] == allowed
    pod = world.pods()[0]["metadata"]["name"]
    eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}","namespace":"default"}}}}'
    answer = world.request("POST", f"/api/v1/namespaces/default/pods/{pod}/eviction", eviction.encode())
    assert answer.status == (201 if allowed else 429)

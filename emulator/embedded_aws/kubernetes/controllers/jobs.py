"""Jobs: pods until enough have succeeded, or too many have failed, or time is up.

Source: Kubernetes documentation, "Jobs": completions, parallelism, backoffLimit, podFailurePolicy,
podReplacementPolicy, activeDeadlineSeconds, ttlSecondsAfterFinished, suspend; indexed Jobs are not done.
"""

from __future__ import annotations

import contextlib

from embedded_aws.kubernetes import deleting
from embedded_aws.kubernetes.controllers.desk import (
    Desk,
    Refused,
    condition,
    is_active,
    is_ending,
    is_ready,
    seconds_since,
    soonest,
    with_condition,
)
from embedded_aws.kubernetes.controllers.replicasets import delete_pod, pod_of
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.messages import Target
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import Object, stamp

JOB = named("Job")
SOURCE = "job-controller"


def reconcile(desk: Desk) -> float | None:
    """Bring every Job a step further."""
    return soonest(*(_settle(desk, job) for job in desk.store.list(JOB) if not is_ending(job)))


def _settle(desk: Desk, job: Object) -> float | None:
    if _over(job):
        return _tidy(desk, job)
    spec, pods, now = job["spec"], desk.pods_of(job), desk.now
    status: Object = {**job.get("status", {})}
    if spec.get("suspend"):
        for pod in filter(is_active, pods):
            delete_pod(desk, pod)
        _set(desk, job, status, pods, [("Suspended", "True", "JobSuspended", "Job suspended")])
        return None
    if "startTime" not in status:
        status["startTime"] = stamp(now)
    counted = [pod for pod in pods if _phase(pod) == "Failed" and _rule(spec, pod) != "Ignore"]
    left = None
    if "activeDeadlineSeconds" in spec:
        left = spec["activeDeadlineSeconds"] - seconds_since(status["startTime"], now)
    if end := _end(spec, pods, counted, late=left is not None and left <= 0):
        return _finish(desk, job, status, pods, end)
    wanted = spec.get("completions", 1) - sum(_phase(pod) == "Succeeded" for pod in pods)
    active = [pod for pod in pods if is_active(pod)]
    ending = [pod for pod in pods if is_ending(pod) and _phase(pod) not in ("Succeeded", "Failed")]
    # With a failure policy, and by wish, a pod on its way out is waited for: never two at once.
    waits = spec.get("podReplacementPolicy") == "Failed" or "podFailurePolicy" in spec
    room = min(spec.get("parallelism", 1), wanted) - len(active) - (len(ending) if waits else 0)
    pause = _pause(desk, counted) if room > 0 else None
    if room > 0 and not pause:
        pause = _start(desk, job, room)
    for pod in active[max(0, len(active) + min(0, room)) :] if room < 0 else ():
        delete_pod(desk, pod)
    _set(desk, job, status, desk.pods_of(job), [])
    return soonest(pause, left)


def _end(spec: Object, pods: list[Object], counted: list[Object], *, late: bool) -> tuple[str, str, str] | None:
    """Return how and why a Job is over: kind, reason, message; None if it is not."""
    if sum(_phase(pod) == "Succeeded" for pod in pods) >= spec.get("completions", 1):
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    if fatal := next((pod for pod in pods if _phase(pod) == "Failed" and _rule(spec, pod) == "FailJob"), None):
        return "Failed", "PodFailurePolicy", _fatal(spec, fatal)
    restarts = sum(_restarts(pod) for pod in pods if spec["template"]["spec"].get("restartPolicy") == "OnFailure")
    if len(counted) + restarts > spec.get("backoffLimit", 6):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    return ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline") if late else None


def _start(desk: Desk, job: Object, count: int) -> float | None:
    for _ in range(count):
        try:
            pod = desk.create(pod_of(job))
        except Refused as refused:
            desk.event(job, "FailedCreate", f"Error creating: {refused}", warning=True, source=SOURCE)
            return 1.0
        desk.event(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", source=SOURCE)
    return None


def _pause(desk: Desk, failed: list[Object]) -> float:
    """Return the seconds until the next pod may come: longer after each failure."""
    if not failed:
        return 0.0
    last = min(seconds_since(_ended_at(pod), desk.store.now()) for pod in failed)
    return max(0.0, desk.pace.before_next_pod(len(failed)) - last)


def _finish(desk: Desk, job: Object, status: Object, pods: list[Object], why: tuple[str, str, str]) -> float | None:
    """End a Job; the pods that still run are deleted first, as Kubernetes since 1.31 says it in two conditions."""
    kind, reason, message = why
    first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    running = [pod for pod in pods if _phase(pod) not in ("Succeeded", "Failed")]
    for pod in running:
        if not is_ending(pod):
            delete_pod(desk, pod)
    conditions = [(first, "True", reason, message)]
    if running:
        _set(desk, job, status, pods, conditions)
        return 0.5
    if kind == "Complete":
        status["completionTime"] = stamp(desk.now)
    _set(desk, job, status, pods, [*conditions, (kind, "True", reason, message)])
    event = ("Completed", "Job completed") if kind == "Complete" else (reason, message)
    desk.event(job, *event, warning=kind == "Failed", source=SOURCE)
    return None


def _tidy(desk: Desk, job: Object) -> float | None:
    """Delete a Job that is over for as long as it says."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None:
        return None
    over = next(each for each in job["status"]["conditions"] if each["type"] in ("Complete", "Failed"))
    left = seconds - seconds_since(over["lastTransitionTime"], desk.store.now())
    if left > 0:
        return left
    metadata = job["metadata"]
    with contextlib.suppress(Refusal):
        deleting.delete(
            desk.store, Target(JOB, metadata["namespace"], metadata["name"]),
            {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"},
        )  # fmt: skip
    return None


def _set(
    desk: Desk, job: Object, status: Object, pods: list[Object], conditions: list[tuple[str, str, str, str]]
) -> None:
    active = [pod for pod in pods if is_active(pod)]
    ending = [pod for pod in pods if is_ending(pod) and _phase(pod) not in ("Succeeded", "Failed")]
    counts = {
        "active": len(active), "succeeded": sum(_phase(pod) == "Succeeded" for pod in pods),
        "failed": sum(_phase(pod) == "Failed" for pod in pods),
    }  # fmt: skip
    new = {key: value for key, value in status.items() if key not in counts}
    new |= {name: count for name, count in counts.items() if count}
    new |= {"ready": sum(is_ready(pod) for pod in active), "terminating": len(ending)}
    new["uncountedTerminatedPods"] = {}
    known = list(status.get("conditions", ()))
    for kind, state, reason, message in conditions:
        known = with_condition(known, kind, state, reason, message, now=desk.now)
        for each in known:
            each.setdefault("lastProbeTime", each["lastTransitionTime"])
    if known:
        new["conditions"] = known
    desk.set_status(job, new)


def _over(job: Object) -> bool:
    return "True" in (condition(job, "Complete"), condition(job, "Failed"))


def _phase(pod: Object) -> str:
    return pod.get("status", {}).get("phase", "Pending")


def _restarts(pod: Object) -> int:
    return sum(each.get("restartCount", 0) for each in pod.get("status", {}).get("containerStatuses", ()))


def _ended_at(pod: Object) -> str:
    """Return when a pod's containers ended; when it came, for one that never had any."""
    times = [
        each["state"]["terminated"].get("finishedAt")
        for each in pod.get("status", {}).get("containerStatuses", ())
        if each.get("state", {}).get("terminated")
    ]
    return max(filter(None, times), default=pod["metadata"]["creationTimestamp"])


def _rule(spec: Object, pod: Object) -> str:
    """Return what the failure policy makes of a pod that has failed: its first rule that fits says it."""
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        if _fits(rule, pod):
            return rule["action"]
    return "Count"


def _fits(rule: Object, pod: Object) -> bool:
    for pattern in rule.get("onPodConditions", ()):
        if condition(pod, pattern["type"]) == pattern.get("status", "True"):
            return True
    codes = rule.get("onExitCodes")
    if not codes:
        return False
    return any(_code_fits(codes, each) for each in pod.get("status", {}).get("containerStatuses", ()))


def _code_fits(codes: Object, container: Object) -> bool:
    ended = container.get("state", {}).get("terminated")
    if not ended or ended["exitCode"] == 0 or codes.get("containerName") not in (None, container["name"]):
        return False
    return (ended["exitCode"] in codes["values"]) == (codes["operator"] == "In")


def _fatal(spec: Object, pod: Object) -> str:
    rules = spec["podFailurePolicy"]["rules"]
    number = next(number for number, rule in enumerate(rules) if _fits(rule, pod))
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for each in pod["status"].get("containerStatuses", ()):
        if rules[number].get("onExitCodes") and _code_fits(rules[number]["onExitCodes"], each):
            code = each["state"]["terminated"]["exitCode"]
            return (
                f"Container {each['name']} for pod {name} failed with exit code {code} matching FailJob rule at index "
                f"{number}"
            )
    return f"Pod {name} has a condition matching FailJob rule at index {number}"

"""Launcher of runs: a Job and a ConfigMap with its terms, made through the Kubernetes API, followed to its end.

Nothing listens between runs. Who starts a run follows its pod's log, one event a line; a pod that fails is followed
by another, and the log goes on with that. What a run has brought is fetched from the server's bucket.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from workshop.clusters.access import NAMESPACE
from workshop.clusters.manifests import by_digest
from workshop.clusters.run import RESULTS
from workshop.clusters.spec import RunSpec
from workshop.errors import FederationError
from workshop.federation import events, results
from workshop.federation.server import FederationResult
from workshop.files import MANIFESTS

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFEST = MANIFESTS / "run" / "job.yaml"
LOOK = 0.2  # seconds between two looks at a Job
SPARE = 300  # seconds beyond the run's own deadline after which Kubernetes ends its Job


@dataclass
class Launched:
    """A run that was started, and what its log has told so far.

    Attributes
    ----------
    name : str
        Of Job and ConfigMap.
    events : list
        All that happened, but for what repeats every second.
    """

    spec: RunSpec
    api: ApiClient
    events: list[events.Event] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the Job and its ConfigMap."""
        return f"run-{self.spec.run}"

    def job(self) -> Any:
        """Return the Job as the cluster tells it.

        Raises
        ------
        FederationError
            If there is none any more.
        """
        from kubernetes import client

        try:
            return client.BatchV1Api(self.api).read_namespaced_job(self.name, NAMESPACE)
        except client.ApiException as error:
            raise FederationError(f"the cluster does not tell of {self.name}: {_why(error)}") from error

    def follow(self, sinks: Sequence[events.Sink] = (), *, deadline: float) -> None:
        """Hand every event of the run to the sinks as it comes; return when the run is over.

        Parameters
        ----------
        deadline : float
            Seconds from now after which nobody waits any longer.

        Raises
        ------
        FederationError
            If the run ends early, with its own reason; or is not over in time, with how its pods stand.
        """
        give_up, told, reason = time.monotonic() + deadline, 0, ""
        seen: set[str] = set()
        while True:
            for pod in self._pods():
                if pod.metadata.name in seen or not _has_log(pod):
                    continue
                seen.add(pod.metadata.name)
                for line in self._lines(pod.metadata.name, give_up):
                    told += 1
                    reason = self._take(line, sinks) or reason
            condition = _over(self.job())
            if condition == "Complete":
                return
            if condition:
                raise FederationError(f"run {self.spec.run} ended early: {reason or condition}")
            if time.monotonic() > give_up:
                raise FederationError(
                    f"run {self.spec.run} is not over after {deadline:.0f} s ({told} events): {self._stand()}"
                )
            time.sleep(LOOK)

    def delete(self) -> None:
        """Delete Job, pods and ConfigMap; what is gone already is left alone."""
        from kubernetes import client

        for delete in (
            lambda: client.BatchV1Api(self.api).delete_namespaced_job(
                self.name, NAMESPACE, propagation_policy="Background"
            ),
            lambda: client.CoreV1Api(self.api).delete_namespaced_config_map(self.name, NAMESPACE),
        ):
            try:
                delete()
            except client.ApiException as error:
                if error.status != 404:
                    raise FederationError(f"{self.name} is not deleted: {_why(error)}") from error

    def result(self, session: boto3.Session) -> FederationResult:
        """Fetch what the run has brought.

        Raises
        ------
        FederationError
            If the bucket does not hold it.
        """
        key = f"{RESULTS}/{self.spec.run}/result.npz"
        try:
            content = session.client("s3").get_object(Bucket=self.spec.bucket, Key=key)["Body"].read()
            return results.of_bytes(content, self.events)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise FederationError(f"bucket {self.spec.bucket} does not give {key}: {error}") from error

    def _take(self, line: str, sinks: Sequence[events.Sink]) -> str:
        """Hand on an event; return the reason of an end."""
        event = events.from_json(line)
        if event is None:
            return ""  # a warning of some library
        if not isinstance(event, events.Waiting | events.Gathering):
            self.events.append(event)
        for sink in sinks:
            sink(event)
        return event.reason if isinstance(event, events.Ended) else ""

    def _pods(self) -> list[Any]:
        from kubernetes import client

        selector = f"batch.kubernetes.io/job-name={self.name}"
        try:
            pods = client.CoreV1Api(self.api).list_namespaced_pod(NAMESPACE, label_selector=selector).items
        except client.ApiException as error:
            raise FederationError(f"the cluster does not tell of the pods of {self.name}: {_why(error)}") from error
        return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, int(pod.metadata.resource_version)))

    def _lines(self, pod: str, give_up: float) -> Iterator[str]:
        """Yield a pod's log, line by line, until it ends."""
        from urllib3.exceptions import HTTPError

        from kubernetes import client

        seconds = max(1.0, give_up - time.monotonic())
        try:
            answer: Any = client.CoreV1Api(self.api).read_namespaced_pod_log(
                pod, NAMESPACE, follow=True, _preload_content=False, _request_timeout=(10, seconds)
            )
            rest = b""
            for chunk in answer.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if rest:
                yield rest.decode(errors="replace")
        except (client.ApiException, HTTPError):
            return  # the pod is gone, or time is up: the Job says which

    def _stand(self) -> str:
        pods = [f"pod {pod.metadata.name} is {pod.status.phase}{_waits(pod)}" for pod in self._pods()]
        return "; ".join(pods) or "there is no pod: see `kubectl -n federation describe job " + self.name + "`"


def roll_call(api: ApiClient, spec: RunSpec, *, image: str, deadline: float = 120.0) -> pd.DataFrame:
    """Run a run of no rounds; return one line per agent: is it here, with which code, and how many rows.

    Raises
    ------
    FederationError
        If the run cannot be started, or does not end.
    """
    called = replace(spec, terms={**spec.terms, "rounds": 0})
    launched = start(api, called, image=image)
    launched.follow(deadline=deadline)
    launched.delete()
    here = {event.client: event for event in launched.events if isinstance(event, events.Joined)}
    lines = [
        (agent.name, agent.account, agent.name in here, *_told(here.get(agent.name))) for agent in spec.participants
    ]
    return pd.DataFrame(lines, columns=["agent", "account", "here", "code", "rows"]).set_index("agent")


def _told(joined: events.Joined | None) -> tuple[str, int]:
    return (joined.code, joined.rows) if joined else ("", 0)


def new_id() -> str:
    """Return an id for a run."""
    return secrets.token_hex(4)


def start(
    api: ApiClient, spec: RunSpec, *, image: str, change: Callable[[dict], object] = lambda job: None
) -> Launched:
    """Start a run; one of this id that is there already goes on.

    Parameters
    ----------
    image : str
        The server's own, by digest.
    change : callable
        May change the Job before it is made.

    Raises
    ------
    FederationError
        If the cluster refuses.
    """
    from kubernetes import client

    launched = Launched(spec, api)
    job: Any = filled_in(spec, image=image, name=launched.name)
    change(job)
    labels = {"app.kubernetes.io/part-of": "federation", "app.kubernetes.io/name": "run"}
    terms: Any = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": launched.name, "namespace": NAMESPACE, "labels": labels},
        "data": {"terms.json": spec.dumps()},
        "immutable": True,
    }
    for make in (
        lambda: client.CoreV1Api(api).create_namespaced_config_map(NAMESPACE, terms),
        lambda: client.BatchV1Api(api).create_namespaced_job(NAMESPACE, job),
    ):
        try:
            make()
        except client.ApiException as error:
            if error.status != 409:  # it is there already
                raise FederationError(f"the cluster does not start {launched.name}: {_why(error)}") from error
    return launched


def filled_in(spec: RunSpec, *, image: str, name: str, manifest: Path = MANIFEST) -> dict[str, Any]:
    """Return the Job of a run: the manifest with its name, image, port, terms and deadline."""
    job = yaml.safe_load(manifest.read_text())
    job["metadata"]["name"] = name
    job["spec"]["activeDeadlineSeconds"] = int(spec.agreed().whole) + SPARE
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["image"] = "@".join(by_digest(image))
    container["ports"][0]["containerPort"] = spec.port
    (terms,) = [volume for volume in pod["volumes"] if volume["name"] == "terms"]
    terms["configMap"]["name"] = name
    return job


def _over(job: Any) -> str:
    """Return Complete, why a Job has failed, or nothing."""
    for condition in job.status.conditions or ():
        if condition.status == "True" and condition.type in ("Complete", "Failed"):
            return condition.type if condition.type == "Complete" else f"{condition.reason}: {condition.message}"
    return ""


def _has_log(pod: Any) -> bool:
    return any(
        status.state and (status.state.running or status.state.terminated)
        for status in pod.status.container_statuses or ()
    )


def _waits(pod: Any) -> str:
    for status in pod.status.container_statuses or ():
        if status.state and status.state.waiting:
            return f" ({status.state.waiting.reason}: {status.state.waiting.message})"
    for condition in pod.status.conditions or ():
        if condition.status == "False" and condition.message:
            return f" ({condition.message})"
    return ""


def _why(error: Any) -> str:
    """Return the message of Kubernetes' own answer."""
    try:
        return json.loads(error.body)["message"]
    except (ValueError, TypeError, KeyError):
        return f"{error.status} {error.reason}"

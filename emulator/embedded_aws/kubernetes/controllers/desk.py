"""Desk of a controller: the store, objects that are made as clients make them, events, back-off."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from embedded_aws.kubernetes.api import Api
from embedded_aws.kubernetes.kinds import Kind, kind_of, named
from embedded_aws.kubernetes.messages import Request
from embedded_aws.kubernetes.rbac import MASTERS, User
from embedded_aws.kubernetes.store import AlreadyThere, Object, Store, stamp

POD, EVENT = named("Pod"), named("Event")
SYSTEM = User("system:kube-controller-manager", (MASTERS,))


class Refused(Exception):
    """The API does not take what a controller wants to make."""


@dataclass(frozen=True)
class Pace:
    """How long things take that Kubernetes takes its time for; a tenth of it.

    Attributes
    ----------
    backoff, longest_backoff : float
        Seconds before the second start of a container that ends, and the longest; of 10 and 300 seconds.
    job_backoff, longest_job_backoff : float
        The same of a Job's pods; of 10 and 360 seconds.
    """

    backoff: float = 1.0
    longest_backoff: float = 30.0
    job_backoff: float = 1.0
    longest_job_backoff: float = 36.0

    def before_restart(self, restarts: int) -> float:
        """Return the seconds before a container is started again.

        >>> [Pace().before_restart(restarts) for restarts in (0, 1, 2, 9)]
        [0.0, 1.0, 2.0, 30.0]
        """
        return min(self.backoff * 2.0 ** (restarts - 1), self.longest_backoff) if restarts else 0.0

    def before_next_pod(self, failures: int) -> float:
        """Return the seconds before a Job's next pod."""
        return min(self.job_backoff * 2.0 ** (failures - 1), self.longest_job_backoff) if failures else 0.0


class Desk:
    """What a controller works with.

    Parameters
    ----------
    store : Store
    api : Api
        Of the same cluster: what is made goes through its checks and gets its defaults.
    pace : Pace
    """

    def __init__(self, store: Store, api: Api, pace: Pace | None = None) -> None:
        self.store, self.api, self.pace = store, api, pace or Pace()

    @property
    def now(self) -> datetime:
        """The time, to the second, as objects tell it."""
        return self.store.now().replace(microsecond=0)

    def create(self, value: Object) -> Object:
        """Make an object as a client of the API would.

        Raises
        ------
        Refused
            In the API's words.
        """
        kind = _kind(value)
        space = value["metadata"].get("namespace", "")
        within = f"/namespaces/{space}" if kind.namespaced else ""
        base = f"/api/{kind.version}" if not kind.group else f"/apis/{kind.group_version}"
        answer = self.api.answer(
            Request("POST", f"{base}{within}/{kind.plural}", body=json.dumps(value).encode(), user=SYSTEM)
        )
        body = answer.body
        made = json.loads(body if isinstance(body, bytes) else b"".join(body))
        if answer.status >= 300:
            raise Refused(made.get("message", "refused"))
        return made

    def pods_of(self, owner: Object) -> list[Object]:
        """Return the pods that an object controls, the oldest first."""
        uid = owner["metadata"]["uid"]
        pods = self.store.list(POD, owner["metadata"]["namespace"], where=lambda pod: controller(pod) == uid)
        return sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def event(self, about: Object, reason: str, message: str, *, warning: bool = False, source: str = "") -> None:
        """Tell of something that has happened to an object; the same again is counted."""
        metadata, now = about["metadata"], stamp(self.store.now())
        space = metadata.get("namespace") or "default"
        uid = metadata.get("uid", "")

        def same(event: Object) -> bool:
            return (event["involvedObject"].get("uid"), event["reason"], event["message"]) == (uid, reason, message)

        for event in self.store.list(EVENT, space, where=same):
            again = {"count": event.get("count", 1) + 1, "lastTimestamp": now}
            self.store.change(EVENT, space, event["metadata"]["name"], lambda value, again=again: value.update(again))
            return
        name = f"{metadata['name']}.{self.store.version:016x}"
        involved = {
            "kind": about["kind"], "apiVersion": about["apiVersion"], "name": metadata["name"], "uid": uid,
            "resourceVersion": metadata.get("resourceVersion", ""),
        } | ({"namespace": metadata["namespace"]} if "namespace" in metadata else {})  # fmt: skip
        with contextlib.suppress(AlreadyThere):
            self.store.create(
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name, "namespace": space},
                    "involvedObject": involved,
                    "reason": reason,
                    "message": message,
                    "type": "Warning" if warning else "Normal",
                    "source": {"component": source} if source else {},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                }
            )

    def set_status(self, value: Object, status: Object) -> None:
        """Put a status in the place of the one that an object has, if it is another."""
        if value.get("status") == status:
            return
        kind, metadata = _kind(value), value["metadata"]
        self.store.change(
            kind, metadata.get("namespace", ""), metadata["name"], lambda current: current.update(status=status)
        )


def _kind(value: Object) -> Kind:
    kind = kind_of(value)
    if kind is None:
        raise ValueError(f"no kind {value.get('kind')}")
    return kind


def controller(value: Object) -> str:
    """Return the uid of the object that controls another; empty if none does."""
    owners = value["metadata"].get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def owned_by(owner: Object) -> Object:
    """Return the reference to an owner that controls what it has made."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_active(pod: Object) -> bool:
    """Tell whether a pod runs, or will."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not is_ending(pod)


def is_ending(value: Object) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in value["metadata"]


def is_ready(pod: Object) -> bool:
    """Tell whether a pod's condition Ready is true."""
    return condition(pod, "Ready") == "True"


def condition(value: Object, name: str) -> str:
    """Return the status of a condition; empty if it is not there."""
    return next((each["status"] for each in value.get("status", {}).get("conditions", ()) if each["type"] == name), "")


def with_condition(
    before: list[Object], name: str, status: str, reason: str, message: str, *, now: datetime, updated: bool = False
) -> list[Object]:
    """Return conditions in which one is set; its time changes with its status alone."""
    known = next((each for each in before if each["type"] == name), None)
    new: Object = {"type": name, "status": status, "reason": reason, "message": message}
    same = known and known["status"] == status
    new["lastTransitionTime"] = known["lastTransitionTime"] if same and known else stamp(now)
    if updated:
        unchanged = known and all(known.get(key) == new[key] for key in ("status", "reason", "message"))
        new["lastUpdateTime"] = known["lastUpdateTime"] if unchanged and known else stamp(now)
    return [*(each for each in before if each["type"] != name), new]


def seconds_since(text: str, now: datetime) -> float:
    """Return how long ago a time was that an object tells."""
    return (now - datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)).total_seconds()


def everything(store: Store, kinds: tuple[Kind, ...]) -> Iterator[Object]:
    """Yield all objects of some kinds."""
    for kind in kinds:
        yield from store.list(kind)


def soonest(*times: float | None) -> float | None:
    """Return the shortest of some waits; None if nothing is waited for.

    >>> soonest(None, 3.0, 2.0)
    2.0
    """
    return min((time for time in times if time is not None), default=None)

"""What belongs to an object and is not it: how many replicas it has, and what its containers write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from embedded_aws.kubernetes import messages
from embedded_aws.kubernetes.changes import patch_of
from embedded_aws.kubernetes.kinds import SCALE
from embedded_aws.kubernetes.messages import Request, Response, Target, answer
from embedded_aws.kubernetes.refusals import Cause, Refusal, invalid, not_allowed, not_found
from embedded_aws.kubernetes.store import Store
from embedded_aws.kubernetes.writing import Writer

Object = dict[str, Any]


class Logs(Protocol):
    """Reads a container's log."""

    def __call__(
        self,
        pod: Object,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        since_seconds: int | None,
        previous: bool,
        timestamps: bool,
    ) -> Iterator[bytes]:
        """Return its pieces; those of a followed log may be empty while nothing comes."""
        ...


def scale(store: Store, writer: Writer, request: Request, target: Target) -> Response:
    """Answer how many replicas a workload is to have, or change it.

    Raises
    ------
    Refusal
    """
    value = store.find(target.kind, target.namespace, target.name)
    if value is None:
        raise not_found(target.kind, target.name)
    if request.method == "GET":
        return answer(_scale_of(value))
    if request.method not in ("PUT", "PATCH"):
        raise not_allowed()
    body = messages.read(request.body)

    def how(current: Object) -> None:
        wanted = body
        if request.method == "PATCH":
            wanted = patch_of(request.content_type, _scale_of(current), body, None, writer.schemas)
        if not isinstance(wanted, dict):
            raise Refusal(400, "couldn't get version/kind; the body is no Scale")
        wanted = writer.schemas.decode(SCALE, wanted)[0]
        replicas = wanted.get("spec", {}).get("replicas", 0)
        if replicas < 0:
            message = f"Invalid value: {replicas}: must be greater than or equal to 0"
            raise invalid(SCALE, target.name, [Cause("spec.replicas", message)])
        given = wanted.get("metadata", {}).get("resourceVersion")
        if given:
            current["metadata"]["resourceVersion"] = given
        current["spec"]["replicas"] = replicas

    return answer(_scale_of(writer.change(request, target, how, "scale").object))


def log(store: Store, read: Logs | None, request: Request, target: Target) -> Response:
    """Answer the log of a container.

    Raises
    ------
    Refusal
        400, if the pod has none of that name or it has not begun.
    """
    pod = store.find(target.kind, target.namespace, target.name)
    if pod is None:
        raise not_found(target.kind, target.name)
    spec = pod["spec"]
    names = [one["name"] for one in spec.get("containers", ())]
    every = [*(one["name"] for one in spec.get("initContainers", ())), *names]
    container = request.query.get("container", "")
    if not container:
        if len(names) > 1:
            listed = " ".join(names)
            raise Refusal(400, f"a container name must be specified for pod {target.name}, choose one of: [{listed}]")
        container = names[0]
    if container not in every:
        raise Refusal(400, f"container {container} is not valid for pod {target.name}")
    previous = request.flag("previous")
    _refuse_early(pod, container, previous=previous)
    lines: Iterator[bytes] = iter(())
    if read is not None and spec.get("nodeName"):
        lines = read(
            pod,
            container,
            follow=request.flag("follow"),
            tail_lines=request.number("tailLines"),
            since_seconds=request.number("sinceSeconds"),
            previous=previous,
            timestamps=request.flag("timestamps"),
        )
    limit = request.number("limitBytes")
    body = lines if limit is None else _first(lines, limit)
    return Response(200, body, {"Content-Type": "text/plain"})


def _scale_of(value: Object) -> Object:
    metadata = value["metadata"]
    selector = value["spec"].get("selector") or {}
    shown = ",".join(f"{key}={text}" for key, text in sorted((selector.get("matchLabels") or {}).items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            name: metadata[name]
            for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if name in metadata
        },
        "spec": {"replicas": value["spec"].get("replicas", 0)},
        "status": {"replicas": value.get("status", {}).get("replicas", 0), "selector": shown},
    }


def _refuse_early(pod: Object, container: str, *, previous: bool) -> None:
    status = pod.get("status", {})
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    state = next((one for one in every if one["name"] == container), {})
    name = pod["metadata"]["name"]
    if previous and not state.get("lastState", {}).get("terminated"):
        raise Refusal(400, f'previous terminated container "{container}" in pod "{name}" not found')
    waiting = state.get("state", {}).get("waiting")
    if waiting and not state.get("lastState", {}).get("terminated"):
        reason = waiting.get("reason", "ContainerCreating")
        raise Refusal(400, f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _first(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:limit]
        limit -= len(piece)
        if limit <= 0:
            return

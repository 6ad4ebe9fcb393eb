"""Lists, and watches of what changes in them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator

from embedded_aws.kubernetes import selectors
from embedded_aws.kubernetes.messages import Request, Response, Target, answer
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import Change, Object, Store, TooOld
from embedded_aws.kubernetes.tables import partial, table

_LONGEST = 1800  # seconds of a watch that names no end
_BOOKMARKS = 60  # seconds between two
_IDLE = 0.5  # seconds until the server may look whether the client is still there


def selected(request: Request, target: Target) -> selectors.Test:
    """Return the test that a request's selectors are."""
    labels = selectors.by_labels(request.query.get("labelSelector", ""))
    fields = selectors.by_fields(target.kind, request.query.get("fieldSelector", ""))
    return lambda value: (
        (not target.name or value["metadata"]["name"] == target.name) and labels(value) and fields(value)
    )


def listed(store: Store, request: Request, target: Target) -> Response:
    """Answer a list, in parts if a limit is set; a later part is of what is there by then."""
    version, values = store.snapshot(target.kind, target.namespace)
    test = selected(request, target)
    values = [value for value in values if test(value)]
    metadata: Object = {"resourceVersion": str(version)}
    if token := request.query.get("continue"):
        values = [value for value in values if _key(value) > _begin(token)]
    limit = request.number("limit")
    if limit and len(values) > limit:
        metadata["continue"] = base64.urlsafe_b64encode(json.dumps(_key(values[limit - 1])).encode()).decode()
        metadata["remainingItemCount"] = len(values) - limit
        values = values[:limit]
    form = request.form()
    if form == "Table":
        include = request.query.get("includeObject", "Metadata")
        shown = table(target.kind, values, store.now(), version=str(version), include=include)
        return answer(shown | {"metadata": metadata})
    if form:
        items = [{"metadata": value["metadata"]} for value in values]
        kind, group_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
    else:
        # The items of a list do not say what they are: the list does.
        items = [{k: v for k, v in value.items() if k not in ("apiVersion", "kind")} for value in values]
        kind, group_version = f"{target.kind.name}List", target.kind.group_version
    return answer({"kind": kind, "apiVersion": group_version, "metadata": metadata, "items": items})


def watch(store: Store, request: Request, target: Target, *, until: Callable[[], bool]) -> Response:
    """Answer a watch: a line for every change, until its time is over or ``until`` says so."""
    selected(request, target)  # which refuses what it cannot read before the answer begins
    since = request.query.get("resourceVersion", "")
    if since and not since.isdigit():
        raise Refusal(400, f'invalid resource version "{since}": strconv.ParseUint: parsing "{since}": invalid syntax')
    end = time.monotonic() + min(request.number("timeoutSeconds") or _LONGEST, _LONGEST)
    lines = _lines(store, request, target, since=int(since or 0), until=lambda: until() or time.monotonic() >= end)
    return Response(200, lines, {"Content-Type": "application/json"})


def _lines(store: Store, request: Request, target: Target, *, since: int, until: Callable[[], bool]) -> Iterator[bytes]:
    test = selected(request, target)
    shown = _shown(store, request, target)
    initial = request.flag("sendInitialEvents")
    if since == 0 or initial:
        since, values = store.snapshot(target.kind, target.namespace)
        if initial or "sendInitialEvents" not in request.query:
            for value in filter(test, values):
                yield _line("ADDED", shown(value))
        if initial:
            yield _bookmark(target, since, {"annotations": {"k8s.io/initial-events-end": "true"}})
    bookmarks, last = request.flag("allowWatchBookmarks"), time.monotonic()
    try:
        for change in store.changes(since, until=until, seconds=_IDLE):
            if change is None:
                yield b""
            else:
                since = change.version
                if change.kind == target.kind and (what := _seen(change, target, test)):
                    yield _line(what, shown(change.object))
            if bookmarks and time.monotonic() - last > _BOOKMARKS:
                last = time.monotonic()
                yield _bookmark(target, since)
    except TooOld:
        refusal = Refusal(410, f"too old resource version: {since} ({store.version})")
        yield _line("ERROR", refusal.status())
        return
    if bookmarks:
        yield _bookmark(target, since)


def _seen(change: Change, target: Target, test: selectors.Test) -> str:
    """Return what a change is to who selects; "" if nothing."""
    if target.namespace not in ("", change.object["metadata"].get("namespace", "")):
        return ""
    before, after = change.before is not None and test(change.before), test(change.object)
    if change.type == "DELETED":
        return "DELETED" if before or after else ""
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _shown(store: Store, request: Request, target: Target) -> Callable[[Object], Object]:
    form, include = request.form(), request.query.get("includeObject", "Metadata")
    if form == "Table":
        return lambda value: table(
            target.kind, [value], store.now(), version=value["metadata"]["resourceVersion"], include=include
        )
    return partial if form else lambda value: value


def _bookmark(target: Target, version: int, more: Object | None = None) -> bytes:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None} | (more or {})
    return _line("BOOKMARK", {"kind": target.kind.name, "apiVersion": target.kind.group_version, "metadata": metadata})


def _line(what: str, value: Object) -> bytes:
    return json.dumps({"type": what, "object": value}, separators=(",", ":")).encode() + b"\n"


def _key(value: Object) -> list[str]:
    return [value["metadata"].get("namespace", ""), value["metadata"]["name"]]


def _begin(token: str) -> list[str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
        return [str(namespace), str(name)]
    except (ValueError, TypeError):
        raise Refusal(400, "continue key is not valid") from None

"""Object store of a cluster, as etcd behind an API server: versions that rise, optimistic locking, a history to watch.

Objects are plain dicts, as JSON has them. What goes in and what comes out is copied: nobody changes an object but by
:meth:`Store.update`. Whoever wants to hear of changes calls :meth:`Store.changes`, a controller or a watch of the API.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from embedded_aws.copies import copied
from embedded_aws.kubernetes.kinds import Kind, kind_of

Object = dict[str, Any]
HISTORY = 2000  # changes that a watch may still begin at


class NotThere(KeyError):
    """There is no such object."""


class AlreadyThere(Exception):
    """There is an object of this kind, namespace and name."""


class Conflict(Exception):
    """Somebody else has changed the object since it was read."""


class TooOld(Exception):
    """The history does not reach back to that version: list again."""


@dataclass(frozen=True)
class Change:
    """ADDED, MODIFIED or DELETED, with the object as it was then, and before."""

    version: int
    type: str
    kind: Kind
    object: Object
    before: Object | None = None


Key = tuple[str, str]  # namespace, empty for what has none, and name


class Store:
    """The objects of one cluster.

    Parameters
    ----------
    now : callable
        Returns the time.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self._objects: dict[Kind, dict[Key, Object]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._version = 1
        self._cv = threading.Condition(threading.RLock())

    @property
    def version(self) -> int:
        """The number of the latest change."""
        return self._version

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object.

        Raises
        ------
        NotThere
        """
        with self._cv:
            return copied(self._get(kind, namespace, name))

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        with self._cv:
            return copied(self._objects.get(kind, {}).get((namespace, name)))

    def list(
        self, kind: Kind, namespace: str = "", *, where: Callable[[Object], bool] = lambda value: True
    ) -> list[Object]:
        """Return the objects of a kind, of one namespace or of all, in the order of namespaces and names."""
        with self._cv:
            objects = sorted(self._objects.get(kind, {}).items())
            return [copied(value) for (space, _), value in objects if namespace in ("", space) and where(value)]

    def snapshot(self, kind: Kind, namespace: str = "") -> tuple[int, list[Object]]:
        """Return the objects of a kind, and the version of the store at which they were these."""
        with self._cv:
            return self._version, self.list(kind, namespace)

    def create(self, value: Mapping[str, Any], *, uid: str = "") -> Object:
        """Add an object; return it with uid, a new one if none is given, version and time.

        Raises
        ------
        AlreadyThere
        """
        new = copied(dict(value))
        kind, metadata = _kind(new), new["metadata"]
        with self._cv:
            key = (metadata.get("namespace", ""), metadata["name"])
            if key in self._objects.setdefault(kind, {}):
                raise AlreadyThere(metadata["name"])
            metadata.update(uid=uid or str(uuid.uuid4()), creationTimestamp=stamp(self.now()), generation=1)
            return self._put(kind, key, new, "ADDED")

    def update(self, value: Mapping[str, Any]) -> Object:
        """Put an object in the place of the one that was read.

        Its generation rises with its ``spec`` (for kinds that have none, it stays). Nothing happens where nothing has
        changed. An object whose deletion waits for finalizers goes when it has none any more.

        Raises
        ------
        NotThere
        Conflict
            If the object has a ``resourceVersion`` that is not the present one.
        """
        new = copied(dict(value))
        kind, metadata = _kind(new), new["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        with self._cv:
            old = self._get(kind, *key)
            if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
                raise Conflict(metadata["name"])
            for name in ("uid", "creationTimestamp", "resourceVersion", "generation"):
                metadata[name] = old["metadata"][name]
            if new == old:
                return copied(old)
            if new.get("spec") != old.get("spec"):
                metadata["generation"] += 1
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not _ends_slowly(new):
                return self._drop(kind, key, new)
            return self._put(kind, key, new, "MODIFIED", old)

    def change(self, kind: Kind, namespace: str, name: str, how: Callable[[Object], object]) -> Object | None:
        """Have ``how`` change an object in place, whatever others do meanwhile; None if it is gone."""
        while True:
            value = self.find(kind, namespace, name)
            if value is None:
                return None
            how(value)
            try:
                return self.update(value)
            except Conflict:
                continue
            except NotThere:
                return None

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        """Take an object out of the store, whatever it waits for; return what it was.

        Raises
        ------
        NotThere
        """
        with self._cv:
            return self._drop(kind, (namespace, name), self._get(kind, namespace, name))

    def changes(self, since: int, *, until: Callable[[], bool], seconds: float = 1.0) -> Iterator[Change | None]:
        """Yield every change after a version as it comes, and None after ``seconds`` without any, until told to end.

        The objects are the store's own: copy what you change.

        Raises
        ------
        TooOld
            If the history does not reach back so far.
        """
        while not until():
            with self._cv:
                if since < self._version and (not self._history or self._history[0].version > since + 1):
                    raise TooOld(since)
                new = [*takewhile(lambda change, since=since: change.version > since, reversed(self._history))][::-1]
                if not new and not until():
                    self._cv.wait(seconds)
            for change in new:
                since = change.version
                yield change
            if not new:
                yield None

    def wake(self) -> None:
        """Have those who wait for changes see whether they are to end."""
        with self._cv:
            self._cv.notify_all()

    def wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Return ``condition()`` as soon as it is true, looked at after every change; what it is after that time."""
        give_up = time.monotonic() + seconds
        with self._cv:
            while not (answer := condition()) and (left := give_up - time.monotonic()) > 0:
                self._cv.wait(left)
            return answer

    def _get(self, kind: Kind, namespace: str, name: str) -> Object:
        try:
            return self._objects[kind][namespace, name]
        except KeyError:
            raise NotThere(name) from None

    def _put(self, kind: Kind, key: Key, value: Object, what: str, before: Object | None = None) -> Object:
        self._version += 1
        value["metadata"]["resourceVersion"] = str(self._version)
        self._objects[kind][key] = value
        self._tell(what, kind, value, before)
        return copied(value)

    def _drop(self, kind: Kind, key: Key, value: Object) -> Object:
        before = self._objects[kind].pop(key)
        self._version += 1
        value = copied(value)
        value["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", kind, value, before)
        return copied(value)

    def _tell(self, what: str, kind: Kind, value: Object, before: Object | None) -> None:
        # Stored objects are replaced, never changed, so the history may share them.
        self._history.append(Change(self._version, what, kind, value, before))
        self._cv.notify_all()


def stamp(time: datetime) -> str:
    """Write a time as Kubernetes does.

    >>> stamp(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _kind(value: Object) -> Kind:
    kind = kind_of(value)
    if kind is None:
        raise ValueError(f"no kind {value.get('kind')!r} in {value.get('apiVersion')!r}")
    return kind


def _ends_slowly(value: Object) -> bool:
    """Whether somebody still has to do something first: the kubelet end the processes, a controller empty the space."""
    if value["kind"] == "Namespace":
        return bool(value.get("spec", {}).get("finalizers"))
    return value["kind"] == "Pod" and value["metadata"].get("deletionGracePeriodSeconds") != 0

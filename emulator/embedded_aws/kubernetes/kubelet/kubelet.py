"""Kubelet of all nodes of a cluster: a worker for every pod that is bound to one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from embedded_aws.kubernetes.controllers.desk import Desk
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.kubelet import logs
from embedded_aws.kubernetes.kubelet.host import Host
from embedded_aws.kubernetes.kubelet.worker import Worker
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import Change, Object, TooOld

POD, NODE = named("Pod"), named("Node")
CLOSE_SECONDS = 10.0
log = logging.getLogger(__name__)


class Kubelet:
    """Runs the pods of a cluster.

    Parameters
    ----------
    desk : Desk
    host : Host
    folder : Path
        For what pods have on disk.
    """

    def __init__(self, desk: Desk, host: Host, folder: Path) -> None:
        self.desk, self.host, self.folder = desk, host, folder
        self._workers: dict[str, Worker] = {}  # by uid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End every pod's processes at once."""
        self._ended.set()
        self.desk.store.wake()
        for worker in list(self._workers.values()):
            worker.end(0.0)
        for worker in list(self._workers.values()):
            worker.ended.wait(CLOSE_SECONDS)
        self._thread.join(timeout=5)

    def logs(
        self, pod: Object, container: str, *, follow: bool, tail_lines: int | None, since_seconds: int | None,
        previous: bool, timestamps: bool,
    ) -> Iterator[bytes]:  # fmt: skip
        """Read a container's log; see ``Api``'s ``Logs``."""
        worker = self._workers.get(pod["metadata"]["uid"])
        found = worker.find(container) if worker else None
        name = pod["metadata"]["name"]
        if found is None or not found.starts:
            raise Refusal(400, f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
        if previous and found.starts < 2:
            raise Refusal(400, f'previous terminated container "{container}" in pod "{name}" not found')
        start = found.starts
        return logs.read(
            found.log(previous=previous), lambda: not found.running or found.starts != start,
            follow=follow and not previous, tail_lines=tail_lines, since_seconds=since_seconds, timestamps=timestamps,
        )  # fmt: skip

    def _run(self) -> None:
        since = 0
        while not self._ended.is_set():
            for pod in self.desk.store.list(POD):
                self._look(pod)
            since = since or self.desk.store.version
            try:
                for change in self.desk.store.changes(since, until=self._ended.is_set):
                    if change is None:
                        continue
                    since = change.version
                    if change.kind == POD:
                        self._follow(change)
            except TooOld:
                since = self.desk.store.version
            except Exception:
                log.exception("the kubelet")

    def _follow(self, change: Change) -> None:
        if change.type == "DELETED":
            if worker := self._workers.pop(change.object["metadata"]["uid"], None):
                worker.end(0.0)
            return
        self._look(change.object)

    def _look(self, pod: Object) -> None:
        metadata = pod["metadata"]
        worker = self._workers.get(metadata["uid"])
        if worker is None:
            if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                return
            current = self.desk.store.find(POD, metadata["namespace"], metadata["name"])
            if current is None or current["metadata"]["uid"] != metadata["uid"]:
                return
            worker = self._workers[metadata["uid"]] = Worker(
                self.desk, self.host, current, self.folder / metadata["uid"]
            )
            worker.start()
        if "deletionTimestamp" in metadata:
            worker.end(float(metadata.get("deletionGracePeriodSeconds", 30)))

"""Controller manager: one thread per cluster, which calls every controller after each change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from embedded_aws.kubernetes.controllers import budgets, deployments, garbage, jobs, replicasets, scheduler
from embedded_aws.kubernetes.controllers.desk import Desk, soonest
from embedded_aws.kubernetes.store import Conflict, NotThere, TooOld

Controller = Callable[[Desk], float | None]
CONTROLLERS: tuple[Controller, ...] = (
    deployments.reconcile,
    jobs.reconcile,
    replicasets.reconcile,
    scheduler.reconcile,
    budgets.reconcile,
    garbage.reconcile,
)
IDLE = 5.0  # seconds after which all look again, though nothing has changed
log = logging.getLogger(__name__)


class Manager:
    """Runs controllers until it is closed.

    Parameters
    ----------
    desk : Desk
    controllers : sequence of callable
    """

    def __init__(self, desk: Desk, controllers: Sequence[Controller] = CONTROLLERS) -> None:
        self.desk, self.controllers = desk, controllers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self.desk.store.wake()
        self._thread.join(timeout=5)

    def once(self) -> float | None:
        """Call every controller until nothing changes any more; return when to look again."""
        while True:
            before, waits = self.desk.store.version, []
            for controller in self.controllers:
                try:
                    waits.append(controller(self.desk))
                except (Conflict, NotThere):  # somebody else was faster: the next look sees what they did
                    waits.append(0.0)
                except Exception:
                    log.exception("controller %s", controller.__module__)
                    waits.append(IDLE)
            if self.desk.store.version == before:
                return soonest(*waits)

    def _run(self) -> None:
        while not self._ended.is_set():
            since = self.desk.store.version
            wait = self.once()
            since = max(since, self.desk.store.version)
            until = time.monotonic() + min(IDLE, wait if wait is not None else IDLE)
            self._wait(since, until)

    def _wait(self, since: int, until: float) -> None:
        """Return at the next change that is none of an event's, or at a time."""
        left = until - time.monotonic()
        if left <= 0:
            return
        over = lambda: self._ended.is_set() or time.monotonic() >= until  # noqa: E731
        try:
            for change in self.desk.store.changes(since, until=over, seconds=min(left, 0.5)):
                if change is not None and change.kind.name != "Event":
                    return
                if over():
                    return
        except TooOld:
            return

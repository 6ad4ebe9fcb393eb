"""Probing of one start of a container: startup first, then liveness and readiness, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from embedded_aws.kubernetes.kubelet import probes
from embedded_aws.kubernetes.kubelet.container import Container
from embedded_aws.kubernetes.kubelet.probes import Target

KINDS = ("startup", "liveness", "readiness")


class Prober:
    """A thread that probes a container, and ends its process where it must.

    Parameters
    ----------
    container : Container
    target : Target
    changed : callable
        Called when the container is ready, or is so no longer.
    unhealthy : callable
        Gets the container, the kind of probe and why it failed.
    """

    def __init__(
        self,
        container: Container,
        target: Target,
        changed: Callable[[], None],
        unhealthy: Callable[[Container, str, str], None],
    ) -> None:
        self.container, self._target, self._changed, self._unhealthy = container, target, changed, unhealthy
        self._probes = {kind: container.spec[f"{kind}Probe"] for kind in KINDS if f"{kind}Probe" in container.spec}
        self._process = container.process
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; a container without probes is ready as soon as it runs."""
        if not self._probes:
            self.container.started = self.container.ready = True
            self._changed()
            return
        threading.Thread(target=self._run, name=f"probes of {self.container.name}", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    @property
    def _over(self) -> bool:
        return self._stopped.is_set() or self.container.process is not self._process

    def _run(self) -> None:
        if "startup" in self._probes and not self._until("startup"):
            return
        if self._over:
            return
        self.container.started = True
        if "readiness" not in self._probes:
            self.container.ready = True
        self._changed()
        due = {
            kind: time.monotonic() + self._probes[kind].get("initialDelaySeconds", 0)
            for kind in ("liveness", "readiness")
            if kind in self._probes
        }
        counts = dict.fromkeys(due, 0)  # of results of one kind in a row, failures below zero
        while due and not self._over:
            kind = min(due, key=lambda name: due[name])
            if self._stopped.wait(max(0.0, due[kind] - time.monotonic())):
                return
            due[kind] = time.monotonic() + self._probes[kind].get("periodSeconds", 10)
            why = probes.ask(self._probes[kind], self._target)
            if self._over:
                return
            counts[kind] = max(1, counts[kind] + 1) if not why else min(-1, counts[kind] - 1)
            self._judge(kind, counts[kind], why)

    def _judge(self, kind: str, count: int, why: str) -> None:
        probe = self._probes[kind]
        if why:
            self._unhealthy(self.container, kind, why)
        failed = -count >= probe.get("failureThreshold", 3)
        if kind == "liveness" and failed:
            self._end()
        elif (
            kind == "readiness"
            and (failed or count >= probe.get("successThreshold", 1))
            and self.container.ready == failed
        ):
            self.container.ready = not failed
            self._changed()

    def _until(self, kind: str) -> bool:
        """Probe until it succeeds; end the process when it has failed too often."""
        probe, failures = self._probes[kind], 0
        if self._stopped.wait(probe.get("initialDelaySeconds", 0)):
            return False
        while not self._over:
            why = probes.ask(probe, self._target)
            if not why:
                return True
            failures += 1
            if failures >= probe.get("failureThreshold", 3):
                self._unhealthy(self.container, kind, why)
                self._end()
                return False
            if self._stopped.wait(min(probe.get("periodSeconds", 10), 0.1 * failures)):
                return False
        return False

    def _end(self) -> None:
        if process := self._process:
            process.ask_to_end()
            process.terminate(grace=5.0)

"""Measure the federation against the plain loop that does the same work in one process (``make bench``)."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from workshop import baselines, rehearsal, state
from workshop.federation import FederationResult

ROLES = ("server, in this process", "clients' jobs", "embedded AWS")


@dataclass
class Meter:
    """Sample memory and CPU time of this process and everything it started, until the block ends.

    Memory is the proportional set size where the system tells it (Linux): a page that four processes share counts
    once. Elsewhere it is the unique set size.
    """

    every: float = 0.2  # seconds
    peak: float = 0.0  # bytes
    parts: dict[str, float] = field(default_factory=dict)  # bytes by role, at the peak
    cpu: dict[int, float] = field(default_factory=dict)  # seconds by process id

    def __enter__(self) -> Meter:
        self._before = {process.pid: _cpu(process) for process in _family()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_) -> None:
        self.wall = time.perf_counter() - self.started
        self._over.set()
        self._thread.join()

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes within the block."""
        return sum(spent - self._before.get(pid, 0.0) for pid, spent in self.cpu.items())

    def _sample(self) -> None:
        while not self._over.is_set():
            parts = dict.fromkeys(ROLES, 0.0)
            for process in _family():
                try:
                    memory = process.memory_full_info()
                    role = _role(process)
                    self.cpu[process.pid] = _cpu(process)
                except psutil.Error:
                    continue  # it has just ended
                parts[role] += getattr(memory, "pss", memory.uss)
            if (used := sum(parts.values())) > self.peak:
                self.peak, self.parts = used, parts
            self._over.wait(self.every)


def loop_seconds(clients: list[baselines.ClientRows], *, repeats: int = 5) -> tuple[float, baselines.Model]:
    """Return the best wall time of the plain loop over three rounds, and its model."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        model = baselines.federated_by_hand(clients)
        times.append(time.perf_counter() - started)
    return min(times), model


def report(result: FederationResult, meter: Meter, loop: float, difference: float) -> Table:
    """Lay out what was measured, each figure beside what it is compared with."""
    clients, rounds = len(result.client_rows), len(result.history)
    minimum = sum(array.size for array in result.parameters) * 8 * 2 * clients
    sent = np.mean([entry.bytes_up + entry.bytes_down for entry in result.history])
    per_round = np.median([entry.seconds for entry in result.history])
    table = Table(title=f"{clients} clients, {rounds} rounds, TLS, embedded AWS")
    for column in ("what", "federation", "plain loop, or minimum", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(
        "seconds, kick-off to model",
        f"{result.seconds:.2f}",
        f"{loop:.3f}",
        f"{result.seconds / loop:.0f}",
    )
    table.add_row(
        "CPU seconds, all processes",
        f"{meter.cpu_seconds():.1f}",
        f"{loop:.3f}",
        f"{meter.cpu_seconds() / loop:.0f}",
    )
    table.add_row(
        "seconds per round (median)",
        f"{per_round:.3f}",
        f"{loop / rounds:.3f}",
        f"{per_round / loop * rounds:.1f}",
    )
    table.add_row("bytes per round, both ways", f"{sent:,.0f}", f"{minimum:,}", f"{sent / minimum:.2f}")
    table.add_row("peak memory, MB", f"{meter.peak / 1e6:.0f}", "", "")
    for role in ROLES:
        table.add_row(f"  of which {role}", f"{meter.parts[role] / 1e6:.0f}", "", "")
    table.add_row("difference of parameters", f"{difference:.1e}", "1e-12", "")
    return table


def main() -> int:
    """Measure once, print the table."""
    console = Console()
    stage = rehearsal.connect_accounts()
    clients = [baselines.ClientRows.read(state.home() / "data" / client.name) for client in stage.clients]
    loop, model = loop_seconds(clients)
    with Meter() as meter:
        result, _ = rehearsal.federate(stage)
    difference = max(float(np.abs(a - b).max()) for a, b in zip(result.parameters, model.parameters, strict=True))
    console.print(report(result, meter, loop, difference))
    rehearsal.clean_up(stage)
    return 0


def _family() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _role(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return "server, in this process"
    return "clients' jobs" if "client.py" in process.cmdline() else "embedded AWS"


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system

"""Benchmark: the federation against the plain loop that does the same work in one process (``make bench``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil
from flwr.common import Code, FitRes, Status
from flwr.common import ndarrays_to_parameters as pack
from flwr.common import parameters_to_ndarrays as unpack
from rich.console import Console
from rich.table import Table

from client_code import identity, schema
from workshop import federation, problems, state
from workshop.aws import accounts, cleanup, connections, jobs
from workshop.federation import FederationResult, tls, updates
from workshop.lessons import arena

ROLES: tuple[str, ...] = ("server, in this process", "clients' jobs", "embedded AWS")


@dataclass
class Meter:
    """Sample memory and CPU time of this process and everything it started, until the block ends.

    Memory is the proportional set size where the system tells it (Linux): a page that four processes share counts
    once. Elsewhere it is the unique set size.
    """

    every: float = 0.2  # seconds
    peak: float = 0.0  # bytes
    now: float = 0.0  # bytes, at the last look
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
            self.now = used = sum(parts.values())
            if used > self.peak:
                self.peak, self.parts = used, parts
            self._over.wait(self.every)


def prepare(n_clients: int) -> None:
    """Connect the accounts, run the plain loop over three rounds, note its best wall time and its model.

    This belongs into a process of its own, as every notebook has one: what it takes is not the federation's memory.
    """
    from workshop.lessons import rehearsal
    from workshop.science import baselines

    stage = rehearsal.connect_accounts(n_clients=n_clients)
    folder, problem = state.home() / "data", stage.problem
    clients = [baselines.ClientRows.read(folder / client.name, problem) for client in stage.clients]
    seconds = _best(lambda: baselines.federated_by_hand(clients, problem), 5)
    parameters = [array.tolist() for array in baselines.federated_by_hand(clients, problem).parameters]
    connection = connections.connection_data(stage.accounts, image=rehearsal.IMAGE)
    _prepared().write_text(json.dumps({"connection": connection, "seconds": seconds, "parameters": parameters}))


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


def guards(ring: arena.Arena, *, repeats: int = 200) -> Table:
    """Measure what TLS, the gate and the proofs of identity cost, each with and without, in milliseconds."""
    n_clients = len(ring.clients)
    start = [np.zeros((1, len(ring.problem.input_names))), np.zeros(1)]
    least = ring.problem.floors.shared
    answers = [FitRes(Status(Code.OK, ""), pack([array + 1.0 for array in start]), 100, {}) for _ in range(n_clients)]

    def mean_of(updates_) -> None:
        [np.average(each, axis=0) for each in zip(*updates_, strict=True)]

    def guarded() -> None:
        good = {str(i): updates.read_update(answer, start, 100, least=least).arrays for i, answer in enumerate(answers)}
        updates.too_far(good, start, updates.Rules())
        mean_of(good.values())

    def plain() -> None:
        mean_of([unpack(answer.parameters) for answer in answers])

    certificates = tls.make_certificates("127.0.0.1")
    tls_start, tls_round = _talk(certificates, repeats)
    plain_start, plain_round = _talk(None, repeats)
    verifier = federation.Verifier(ring.server, certificates.fingerprint)
    os.environ["AWS_ENDPOINT_URL"] = verifier.endpoint
    role = ring.server._session

    def proof() -> None:
        verifier.caller(identity.prove("nonce", federation=certificates.fingerprint, job="fl-x", session=role), "nonce")

    table = Table(title=f"what the guards cost, {n_clients} clients, milliseconds")
    for column in ("what", "with", "without", "difference"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rounds = {
        "a round: gate": (_best(guarded, repeats), _best(plain, repeats)),
        "a round: TLS": (n_clients * tls_round, n_clients * plain_round),
        "the start: TLS": (n_clients * tls_start, n_clients * plain_start),
        "the start: proofs": (n_clients * _best(proof, 20), 0.0),
    }
    for name, (with_it, without) in rounds.items():
        table.add_row(name, f"{1e3 * with_it:.2f}", f"{1e3 * without:.2f}", f"{1e3 * (with_it - without):.2f}")
    return table


def _best(function, repeats: int) -> float:
    """Return the best wall time of a function, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def _talk(certificates: tls.Certificates | None, repeats: int) -> tuple[float, float]:
    """Return the seconds of a new connection, and of a round trip of one update, with TLS or without."""
    server = grpc.server(ThreadPoolExecutor(4))
    echo = grpc.unary_unary_rpc_method_handler(lambda message, context: message)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", {"Echo": echo}),))
    if certificates:
        credentials = grpc.ssl_server_credentials([(certificates.server_key, certificates.server)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    message = bytes(2000)

    def dial() -> grpc.Channel:
        if certificates:
            return grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(certificates.authority))
        return grpc.insecure_channel(f"127.0.0.1:{port}")

    def connect() -> None:
        with dial() as channel:
            channel.unary_unary("/bench/Echo")(message)

    with dial() as channel:
        call = channel.unary_unary("/bench/Echo")
        call(message)
        there_and_back = _best(lambda: call(message), repeats)
    start = _best(connect, 20)
    server.stop(None)
    return start, there_and_back


def main() -> int:
    """Measure once, print the tables. ``CLIENTS`` in the environment says how many clients there are."""
    console = Console()
    n_clients = int(os.environ.get("CLIENTS") or 3)  # make exports it empty
    subprocess.run([sys.executable, "-m", "workshop.tools.bench", str(n_clients)], check=True)
    prepared = json.loads(_prepared().read_text())
    connection = prepared["connection"]
    problem = problems.load()
    test = schema.to_arrays(schema.read_table(state.home() / "data" / "server" / "test.csv", problem), problem)
    ring = arena.Arena(connection, accounts.notebook_session(connection["server_role"]), test, problem=problem)
    with Meter() as meter:
        started = ring.kick_off()
        result = ring.lead(started, join=60 + 10 * n_clients, round=60 + 2 * n_clients)
        jobs.wait(list(started.values()))
    difference = max(float(np.abs(a - b).max()) for a, b in zip(result.parameters, prepared["parameters"], strict=True))
    console.print(report(result, meter, prepared["seconds"], difference))
    console.print(guards(ring))
    cleanup.delete_all({name: accounts.session(name) for name in ["server", *ring.clients]})
    return 0


def _prepared() -> Path:
    return state.home() / "bench.json"


def _family() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _role(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return "server, in this process"
    line = " ".join(process.cmdline())
    of_jobs = any(name in line for name in ("client.py", "supervisor of", "forkserver.py"))
    return "clients' jobs" if of_jobs else "embedded AWS"


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    prepare(int(sys.argv[1]))

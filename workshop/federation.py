"""Run a federation from a notebook's kernel: the Flower server, from the first client to the final model."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from flwr.common import parameters_to_ndarrays
from flwr.server import Server, ServerConfig, start_server
from flwr.server.history import History
from flwr.server.strategy import FedAvg

from client_code import task
from workshop import state
from workshop.errors import FederationError, JobError
from workshop.jobs import TrainingJob, stop_all
from workshop.strategy import ExpectedClients, Federation, Progress, Round, fit_round
from workshop.tls import Certificates


@dataclass(frozen=True)
class FederationResult:
    """The global model as arrays, how it came about, and how many real rows each client trained on."""

    parameters: task.Parameters
    scaler: task.Scaler
    threshold: float  # the clients' best thresholds on their validation rows, weighted by those rows
    history: tuple[Round, ...]
    client_rows: dict[str, int]
    seconds: float  # from the first job's creation to the final model

    def table(self) -> pd.DataFrame:
        """Return one line per round."""
        return pd.DataFrame([asdict(entry) for entry in self.history]).set_index("round")


class Place(NamedTuple):
    """Where the server is: the address that clients dial, and the one that it listens at."""

    address: str
    listen: str


def place(host: str, port: int = 0, *, forwarded: bool = True) -> Place:
    """Find the server's place; port 0 lets the machine choose a free one.

    Parameters
    ----------
    host : str
        The address in the VPC of the machine that the server stands for, its notebook instance's.
    forwarded : bool
        Whether calls to that address arrive at this machine's loopback where the address is not its own: the embedded
        AWS brings them. AWS does not.

    Raises
    ------
    FederationError
        If the port is taken, or the address is not this machine's.
    """
    here = host
    with socket.socket() as probe:
        # As Flower's own socket: connections of an earlier run that are still closing do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                probe.bind((host, port))
            except OSError as error:
                if not forwarded or error.errno != errno.EADDRNOTAVAIL:
                    raise
                here = "127.0.0.1"
                probe.bind((here, port))
        except OSError as error:
            advice = {
                errno.EADDRINUSE: "another program listens there: end it, or run 02_connect_accounts with another PORT",
                errno.EADDRNOTAVAIL: "not an address of this machine: run this on the server's notebook instance",
            }.get(error.errno, "choose another")
            raise FederationError(f"cannot listen at {here}:{port} ({error.strerror}): {advice}") from error
        taken = probe.getsockname()[1]
    return Place(f"{host}:{taken}", f"{here}:{taken}")


def run(
    jobs: Sequence[TrainingJob],
    *,
    address: str,
    certificates: Certificates,
    test: tuple[np.ndarray, np.ndarray],
    rounds: int = 3,
    join_deadline: float = 120.0,
    round_deadline: float = 120.0,
    progress: Progress = lambda message, history: None,
) -> FederationResult:
    """Run the Flower server in this process until the last round is done.

    Parameters
    ----------
    jobs : sequence of TrainingJob
        The client jobs that were started for this federation: all of them must come, nobody else may.
    address, certificates
        Where to listen (``Place.listen``), and with which certificate.
    test : tuple of ndarray
        The server's own rows ``(n, 49)`` and labels ``(n,)``, real and never resampled.
    rounds : int
        Rounds of federated averaging, at least 1.
    join_deadline, round_deadline : float
        Seconds until every client must have joined, and until it must have answered each round.
    progress : callable
        Called with a message and the rounds so far, whenever something happened.

    Raises
    ------
    FederationError
        If a client does not come, dies or does not answer in time. Names it, with its job's status, reason and
        last log lines. Every other job is stopped.
    """
    if rounds < 1:
        raise FederationError(f"ROUNDS is {rounds}; a federation needs at least one round")
    manager = ExpectedClients()
    averaging = FedAvg(
        min_fit_clients=len(jobs),
        min_evaluate_clients=len(jobs),
        min_available_clients=len(jobs),
        on_fit_config_fn=fit_round,
    )
    federation = Federation(
        averaging, jobs, manager, test=test, rounds=rounds, join_deadline=join_deadline,
        round_deadline=round_deadline, progress=progress,
    )  # fmt: skip
    server = _KernelServer(client_manager=manager, strategy=federation)
    with _quiet_flower():
        start_server(
            server_address=address,
            server=server,
            config=ServerConfig(num_rounds=rounds, round_timeout=round_deadline),
            certificates=(certificates.authority, certificates.server, certificates.server_key),
        )
    if server.stopped_by is not None:
        try:
            stop_all(jobs)
        except JobError as error:
            server.stopped_by.add_note(f"The other jobs may still be running: {error}")
        raise server.stopped_by
    created = min(job.describe()["CreationTime"] for job in jobs)
    seconds = (datetime.now(UTC) - created).total_seconds()
    return FederationResult(
        parameters_to_ndarrays(server.parameters), federation.scaler, federation.threshold, tuple(federation.history),
        federation.client_rows, seconds,
    )  # fmt: skip


def record(result: FederationResult, jobs: Sequence[TrainingJob], *, model_path: Path) -> dict:
    """Put a finished federation into JSON values: for the next notebook and for ``build/summary.json``."""
    clients = {
        job.client.name: {
            "name": job.client.name,
            "account": job.client.account,
            "job": job.name,
            "seconds": job.describe()["BillableTimeInSeconds"],
        }
        for job in jobs
    }
    return {
        "clients": clients,
        "rounds": len(result.history),
        "history": [asdict(entry) for entry in result.history],
        "seconds": round(result.seconds, 2),
        "model": str(model_path.relative_to(state.home())),
    }


class _KernelServer(Server):
    """Flower's server, at home in a notebook's kernel.

    Flower installs signal handlers that end the whole process, and leaves its port open when a strategy raises.
    Here an interrupted cell is an ordinary ``KeyboardInterrupt``, and whatever ends the run is kept until Flower
    has said goodbye to the clients and closed the port.
    """

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.stopped_by: BaseException | None = None
        self.handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)}

    def fit(self, num_rounds, timeout):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        try:
            return super().fit(num_rounds, timeout)
        except BaseException as stop:
            self.stopped_by = stop
            return History(), 0.0


@contextlib.contextmanager
def _quiet_flower() -> Iterator[None]:
    """Keep Flower's log, with its note that this transport is deprecated, out of the notebook.

    docs/decisions/0002-flower-transport.md says why we use it all the same.
    """
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

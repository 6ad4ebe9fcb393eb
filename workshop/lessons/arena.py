"""Break a federation on purpose: for the notebook 05_break_it, and for whoever wants to try more."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import numpy as np

from client_code import task
from client_code.problem import Problem
from workshop import federation
from workshop.aws import accounts, connect, jobs
from workshop.federation import tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.rounds import Report, get_evaluate_fn
from workshop.packing import bundle

if TYPE_CHECKING:
    from workshop.science.baselines import ClientRows

CODE = "code/source.tar.gz"
# Put behind a client's own code: what it does to the update that this code has made.
CHANGE = """
class FlowerClient(FlowerClient):
    def fit(self, parameters, config):
        (coef, intercept), rows, metrics = super().fit(parameters, config)
        return [{changed}, intercept], rows, metrics
"""


class Arena:
    """A federation that may be started again and again, and disturbed.

    Parameters
    ----------
    connection : mapping
        What 02_connect_accounts has written down.
    server : boto3.Session
        A session of the server's notebook role.
    test : tuple of ndarray
        The server's rows and labels.
    problem : Problem
        What the rows are.
    seed : int
        Of the clients' training.
    authority : Authority
        Whom the clients trust; by default a new one.
    """

    def __init__(
        self,
        connection: Mapping,
        server: boto3.Session,
        test: tuple[np.ndarray, np.ndarray],
        *,
        problem: Problem,
        seed: int = 0,
        authority: tls.Authority | None = None,
    ) -> None:
        self.connection, self.server, self.test, self.seed = connection, server, test, seed
        self.problem = problem
        self.authority = authority or tls.Authority.make()
        self.place = federation.place(
            connection["server_host"], connection["server_port"], forwarded=accounts.target() == "embedded"
        )
        clients = [jobs.ClientAccount.of(entry) for entry in connection["clients"]]
        self.clients = {client.name: client for client in clients}

    def kick_off(self) -> dict[str, jobs.TrainingJob]:
        """Start one job per client; return them by client name."""
        borrowed = {
            name: accounts.borrow(self.server, client, session_name="break-it") for name, client in self.clients.items()
        }
        started = jobs.kick_off(
            list(self.clients.values()), borrowed, run=secrets.token_hex(4), image=self.connection["image"],
            server_address=self.place.address, seed=self.seed, join_deadline=60,
            ca_certificate=self._certificates().authority_hyperparameter(),
        )  # fmt: skip
        return {job.client.name: job for job in started}

    def lead(
        self,
        started: Mapping[str, jobs.TrainingJob],
        *,
        when: str = "",
        do: Callable[[], object] = lambda: None,
        checkpoints: Checkpoints | None = None,
        show: Report = lambda message, history: None,
        **terms,
    ) -> federation.FederationResult:
        """Be the server; do something once, as soon as a message begins with ``when``.

        ``terms`` are those of ``federation.Terms``.
        """
        done = threading.Event()

        def progress(message: str, history) -> None:
            show(message, history)
            if when and message.startswith(when) and not done.is_set():
                done.set()
                do()

        certificates = self._certificates()
        verifier = federation.Verifier(self.server, certificates.fingerprint)
        return federation.run(
            list(started.values()), listen=self.place.listen, certificates=certificates, caller=verifier.caller,
            test=self.test, problem=self.problem, terms=federation.Terms(**terms), checkpoints=checkpoints,
            progress=progress,
        )  # fmt: skip

    def stop(self, job: jobs.TrainingJob) -> None:
        """Stop a job and wait until it has ended; rounds are over here before anybody has looked how jobs stand."""
        job.stop()
        give_up = time.monotonic() + jobs.STOPPING_SECONDS
        while job.status() not in jobs.FINISHED and time.monotonic() < give_up:
            time.sleep(job.pace)

    def lead_and_die(self, started: Mapping[str, jobs.TrainingJob], folder: Path, *, when: str, **terms) -> int:
        """Be the server in another process, which dies by SIGKILL when a message begins with ``when``.

        ``terms`` are those of ``federation.Terms``.

        Returns
        -------
        int
            How it ended: minus the number of the signal.
        """
        known = [(asdict(job.client), job.name) for job in started.values()]
        told = {
            "connection": self.connection, "test": self.test, "problem": self.problem,
            "authority": self.authority, "folder": str(folder), "known": known, "when": when, "terms": terms,
        }  # fmt: skip
        process = multiprocessing.get_context("spawn").Process(target=_die, kwargs=told)
        process.start()
        process.join(timeout=120)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode

    @contextlib.contextmanager
    def tampered(self, owner: boto3.Session, name: str, changed: str) -> Iterator[None]:
        """Let a client's own code send something else while the block runs; its owner puts it there and takes it away.

        Parameters
        ----------
        owner : boto3.Session
            Of the client's account: nobody else may write its code.
        name : str
            The client.
        changed : str
            Python, in the place of the coefficients ``coef`` that were trained.
        """
        storage, bucket = owner.client("s3"), self.clients[name].bucket
        with tempfile.TemporaryDirectory() as folder:
            for path in bundle.CLIENT_CODE.iterdir():
                if path.suffix in (".py", ".txt"):
                    (Path(folder) / path.name).write_text(path.read_text())
            program = Path(folder) / "client.py"
            own, entry, rest = program.read_text().partition("\n\ndef train(")
            program.write_text(own + CHANGE.format(changed=changed) + entry + rest)
            body = bundle.source_archive(Path(folder), wheels=connect.wheels())
        storage.put_object(Bucket=bucket, Key=CODE, Body=body)
        try:
            yield
        finally:
            storage.put_object(Bucket=bucket, Key=CODE, Body=bundle.source_archive(wheels=connect.wheels()))

    def cut_network(self, owner: boto3.Session, name: str, *, seconds: float) -> None:
        """Take a client's route to the server away, and give it back some seconds later.

        Parameters
        ----------
        owner : boto3.Session
            Of the client's account.
        """
        ec2 = owner.client("ec2")
        held = {"Name": "association.subnet-id", "Values": [self.clients[name].subnets[0]]}
        (table,) = ec2.describe_route_tables(Filters=[held])["RouteTables"]
        (route,) = [route for route in table["Routes"] if "VpcPeeringConnectionId" in route]
        where = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": route["DestinationCidrBlock"]}
        ec2.delete_route(**where)
        again = {"VpcPeeringConnectionId": route["VpcPeeringConnectionId"]}
        threading.Timer(seconds, lambda: ec2.create_route(**where, **again)).start()
        time.sleep(1)  # until the network has noticed

    def _certificates(self) -> tls.Certificates:
        return self.authority.issue(self.connection["server_host"])


def plain_average(
    clients: Mapping[str, ClientRows],
    test: tuple[np.ndarray, np.ndarray],
    *,
    problem: Problem,
    name: str,
    factor: float,
    rounds: int,
    seed: int,
) -> float:
    """Return the ROC AUC that a plain FedAvg reaches when a client multiplies its coefficients; it averages anything.

    NaN where there is no model to score.
    """
    scaler = task.pooled_scaler([task.statistics(client.real[0], problem) for client in clients.values()])
    rows = [len(client.real[1]) for client in clients.values()]
    parameters = [np.zeros((1, len(scaler.mean))), np.zeros(1)]
    for _ in range(rounds):
        updates = {}
        for key, client in clients.items():
            train = (task.transform(client.train[0], scaler, problem), client.train[1])
            updates[key] = task.fit(task.new_model(seed=seed), parameters, *train)
        updates[name][0] = factor * updates[name][0]
        parameters = [np.average(arrays, axis=0, weights=rows) for arrays in zip(*updates.values(), strict=True)]
        if not np.isfinite(parameters[0]).all():
            return float("nan")  # scikit-learn trains no further from here
    return get_evaluate_fn(test, scaler, problem)(rounds, parameters, {})[1]["roc_auc"]


def _die(*, connection, test, problem, authority, folder, known, when, terms) -> None:
    """Be the server of another process, until the message comes."""
    arena = Arena(
        connection, accounts.notebook_session(connection["server_role"]), test, problem=problem, authority=authority
    )
    started = {}
    for entry, name in known:
        client = jobs.ClientAccount.of(entry)
        started[client.name] = jobs.TrainingJob(
            client, name, accounts.borrow(arena.server, client, session_name="break-it")
        )
    arena.lead(
        started,
        when=when,
        do=lambda: os.kill(os.getpid(), signal.SIGKILL),
        checkpoints=Checkpoints(Path(folder), "run"),
        **terms,
    )

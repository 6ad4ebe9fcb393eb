"""Fault injection: break a federation on purpose, for the notebook 05_break_it and whoever wants to try more."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import numpy as np
import pandas as pd

from client_code import task
from client_code.problem import Problem
from workshop import federation
from workshop.aws import accounts, jobs, kickoff, uploads
from workshop.federation import tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.events import Event, RoundStarted, Sink, TurnedAway
from workshop.federation.participants import Phase
from workshop.federation.rounds import get_evaluate_fn
from workshop.packing import bundle

if TYPE_CHECKING:
    from workshop.science.baselines import ClientRows

CODE = "code/source.tar.gz"
# An entry script that an owner puts in the place of the kit's: the real client, but for what it sends.
ENTRY = """
import sys
import real_client

class FlowerClient(real_client.FlowerClient):
    def fit(self, parameters, config):
        (coef, intercept), rows, metrics = super().fit(parameters, config)
        return [{changed}, intercept], rows, metrics

real_client.FlowerClient = FlowerClient
sys.exit(real_client.main())
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
        started = kickoff.kick_off(
            list(self.clients.values()), borrowed, run=secrets.token_hex(4), image=self.connection["image"],
            server_address=self.place.address, seed=self.seed, join_deadline=60,
            ca_certificate=self._certificates().authority_hyperparameter(),
        )  # fmt: skip
        return {job.name: job for job in started}

    def lead(
        self,
        started: Mapping[str, jobs.TrainingJob],
        *,
        in_round: int = 0,
        do: Callable[[], object] = lambda: None,
        checkpoints: Checkpoints | None = None,
        sinks: Sequence[Sink] = (),
        **terms,
    ) -> federation.FederationResult:
        """Be the server; do something once, when the clients have been asked to train in a round.

        ``terms`` are those of ``federation.Terms``.
        """
        done = threading.Event()

        def disturb(event: Event) -> None:
            if isinstance(event, RoundStarted) and event.round == in_round and not done.is_set():
                done.set()
                do()

        certificates = self._certificates()
        verifier = federation.Verifier(self.server, certificates.fingerprint)
        return federation.run(
            list(started.values()), listen=self.place.listen, certificates=certificates, caller=verifier.caller,
            test=self.test, problem=self.problem, terms=federation.Terms(**terms), checkpoints=checkpoints,
            sinks=[*sinks, disturb],
        )  # fmt: skip

    def stop(self, job: jobs.TrainingJob) -> None:
        """Stop a job and wait until it has ended; rounds are over here before anybody has looked how jobs stand."""
        job.stop()
        give_up = time.monotonic() + jobs.STOPPING_SECONDS
        while job.status().phase is not Phase.ENDED and time.monotonic() < give_up:
            time.sleep(job.pace)

    def lead_and_die(
        self, started: Mapping[str, jobs.TrainingJob], folder: Path, *, in_round: int, **terms
    ) -> int | None:
        """Be the server in another process, which dies by SIGKILL in a round.

        ``terms`` are those of ``federation.Terms``.

        Returns
        -------
        int
            How it ended: minus the number of the signal.
        """
        known = [(asdict(job.client), job.job_name) for job in started.values()]
        arguments = {
            "connection": self.connection, "test": self.test, "problem": self.problem, "authority": self.authority,
            "folder": str(folder), "known": known, "in_round": in_round, "terms": terms,
        }  # fmt: skip
        process = multiprocessing.get_context("spawn").Process(target=_die, kwargs=arguments)
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
        program = (bundle.CLIENT_CODE / "client.py").read_bytes()
        scripts = {"client.py": ENTRY.format(changed=changed).encode(), "real_client.py": program}
        body = bundle.source_archive(wheels=uploads.wheels(), also=scripts)
        storage.put_object(Bucket=bucket, Key=CODE, Body=body)
        try:
            yield
        finally:
            storage.put_object(Bucket=bucket, Key=CODE, Body=bundle.source_archive(wheels=uploads.wheels()))

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
    scaler = task.pooled_scaler([task.statistics(client.real[0], problem) for client in clients.values()], problem)
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


def side_by_side(results: Mapping[str, federation.FederationResult], plain: Mapping[str, object]) -> pd.DataFrame:
    """Say of federations that something happened to what they did about it, and what the model is worth.

    Parameters
    ----------
    results : mapping
        By what happened.
    plain : mapping
        What a plain FedAvg is worth then: ROC AUC, or a word where there is no model.
    """
    lines = {
        name: {
            "this federation": _done_about(result),
            "ROC AUC": round(result.history[-1].roc_auc, 3),
            "plain FedAvg": plain[name],
        }
        for name, result in results.items()
    }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("what happened")


def _done_about(result: federation.FederationResult) -> str:
    did = [f"carried on after round {result.resumed}"] if result.resumed else []
    for name in dict.fromkeys(name for entry in result.history for name in entry.left_out):
        first = next(entry.round for entry in result.history if name in entry.left_out)
        did.append(f"left {name} out, from round {first}")
    if any(isinstance(event, TurnedAway) for event in result.events):
        did.append("turned away who was not invited")
    everybody = len({entry.clients for entry in result.history}) == 1 and not did[result.resumed > 0 :]
    return ", ".join([*did, *(["had every answer in every round"] if everybody else [])])


def _die(*, connection, test, problem, authority, folder, known, in_round, terms) -> None:
    """Be the server of another process, until the round has begun."""
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
        in_round=in_round,
        do=lambda: os.kill(os.getpid(), signal.SIGKILL),
        checkpoints=Checkpoints(Path(folder), "run"),
        **terms,
    )

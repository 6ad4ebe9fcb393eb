"""Rehearsal of the notebooks' steps 00 to 03 without notebooks: for the benchmark and the tests."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import boto3

from client_code import schema
from client_code.problem import Problem
from data_prep import prepare, sources
from workshop import federation, problems, state
from workshop.aws import accounts, cleanup, connections, deployment, images, jobs, kickoff, uploads
from workshop.aws.choices import Choices
from workshop.aws.members import Members
from workshop.federation import tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.events import Sink

IMAGE = images.training_image("us-east-1")  # no container image is pulled on the embedded AWS


@dataclass(frozen=True)
class Stage:
    """Accounts that are connected and hold their owners' files."""

    sessions: dict[str, boto3.Session]
    accounts: Members
    clients: tuple[jobs.ClientAccount, ...]
    test: tuple  # features (n_rows, n_features), labels (n_rows,)
    problem: Problem
    server_role: str
    server_host: str

    @property
    def port(self) -> int:
        """The one port that the accounts' networks leave open."""
        return self.accounts.agreed.port


def connect_accounts(
    *,
    n_clients: int = 3,
    seed: int = 0,
    data: str = "synthetic",
    balance: str = "smote",
    choices: Choices | None = None,
) -> Stage:
    """Prepare the rows, deploy every account's stacks, let every owner upload its files."""
    state.save(target={"name": "embedded", "clients": n_clients})
    problem = problems.load()
    table = sources.load(data, problem, seed=seed, cache=state.home() / "cache")
    folder = state.home() / "data"
    prepared = prepare.prepare(table, n_clients=n_clients, how="iid", balance=balance, seed=seed, folder=folder)
    state.save(data=prepared.record())
    sessions = {name: accounts.session(name) for name in ["server", *accounts.client_names(n_clients)]}
    members = deployment.meet(sessions, network="10.80.0.0/16", choices=choices)
    deployment.deploy(members)
    for name, session in sessions.items():
        uploads.upload(name, session, members.outputs[name]["fl-storage"]["Bucket"])
    known = connections.connection_data(members, image=IMAGE)
    state.save(accounts=known)
    test = schema.to_arrays(schema.read_table(folder / "server" / "test.csv", problem), problem)
    clients = tuple(jobs.ClientAccount.of(entry) for entry in known["clients"])
    return Stage(sessions, members, clients, test, problem, known["server_role"], known["server_host"])


def kick_off(
    stage: Stage, *, certificates: tls.Certificates, address: str, seed: int = 0, run: str = "", **hyperparameters
) -> list[jobs.TrainingJob]:
    """Start one training job per client, with the kick-off role of its account."""
    server = accounts.notebook_session(stage.server_role)
    borrowed = {client.name: accounts.borrow(server, client, session_name="rehearsal") for client in stage.clients}
    return kickoff.kick_off(
        stage.clients, borrowed, run=run or secrets.token_hex(4), image=IMAGE, server_address=address, seed=seed,
        ca_certificate=certificates.authority_hyperparameter(), **hyperparameters,
    )  # fmt: skip


def stand(stage: Stage) -> tuple[federation.Place, tls.Certificates]:
    """Return where the server is, and a certificate for it."""
    return federation.place(stage.server_host, stage.port), tls.make_certificates(stage.server_host)


def lead(
    stage: Stage,
    started: list[jobs.TrainingJob],
    *,
    place: federation.Place,
    certificates: tls.Certificates,
    checkpoints: Checkpoints | None = None,
    sinks: Sequence[Sink] = (),
    **terms,
) -> federation.FederationResult:
    """Be the server of jobs that were started, on the given terms (see ``federation.Terms``)."""
    verifier = federation.Verifier(stage.sessions["server"], certificates.fingerprint)
    return federation.run(
        started, listen=place.listen, certificates=certificates, caller=verifier.caller, test=stage.test,
        problem=stage.problem, terms=federation.Terms(**terms), checkpoints=checkpoints, sinks=sinks,
    )  # fmt: skip


def federate(stage: Stage, *, seed: int = 0, checkpoints: Checkpoints | None = None, **terms):
    """Kick off, train, wait for the jobs; return the result and the jobs."""
    place, certificates = stand(stage)
    started = kick_off(stage, certificates=certificates, address=place.address, seed=seed)
    result = lead(stage, started, place=place, certificates=certificates, checkpoints=checkpoints, **terms)
    jobs.wait(started)
    return result, started


def clean_up(stage: Stage) -> None:
    """Delete all of it again."""
    cleanup.delete_all(stage.sessions)

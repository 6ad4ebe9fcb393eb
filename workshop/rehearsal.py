"""The notebooks' steps 00 to 03 without notebooks: for the benchmark and the tests."""

from __future__ import annotations

from dataclasses import dataclass

import boto3

from client_code import schema
from data_prep import prepare, sources
from workshop import accounts, cleanup, connect, federation, jobs, stacks, state, tls

# No container image is pulled on the embedded AWS; asking the SageMaker SDK for its address takes seconds.
IMAGE = "sagemaker-scikit-learn:1.4-2-py312-cpu-py3"


@dataclass(frozen=True)
class Stage:
    """Accounts that are connected and hold their owners' files."""

    sessions: dict[str, boto3.Session]
    clients: tuple[jobs.ClientAccount, ...]
    test: tuple  # features (n_rows, 49), labels (n_rows,)


def connect_accounts(*, n_clients: int = 3, seed: int = 0, data: str = "synthetic", balance: str = "smote") -> Stage:
    """Prepare the rows, deploy every account's stack, let every owner upload its files."""
    state.save(target={"name": "embedded", "clients": n_clients})
    table = sources.load(data, seed=seed, cache=state.home() / "cache")
    folder = state.home() / "data"
    prepared = prepare.prepare(table, n_clients=n_clients, how="iid", balance=balance, seed=seed, folder=folder)
    state.save(data=prepared.record())
    names = accounts.client_names(n_clients)
    sessions = {name: accounts.session(name) for name in ["server", *names]}
    ids = {name: accounts.identity(name, session).account for name, session in sessions.items()}
    trust = {"ServerAccountId": ids["server"]}
    granted = {name: stacks.deploy(sessions[name], "client-access", trust, account=name) for name in names}
    roles = ",".join(outputs["KickoffRoleArn"] for outputs in granted.values())
    granted["server"] = stacks.deploy(sessions["server"], "server-access", {"KickoffRoleArns": roles}, account="server")
    for name, session in sessions.items():
        connect.upload(name, session, granted[name]["Bucket"])
    data_for_server = connect.connection_data(granted, {name: ids[name] for name in names}, image=IMAGE)
    test = schema.to_arrays(schema.read_table(folder / "server" / "test.csv"))
    return Stage(sessions, tuple(jobs.ClientAccount(**entry) for entry in data_for_server["clients"]), test)


def kick_off(
    stage: Stage, *, certificates: tls.Certificates, address: str, seed: int = 0, **hyperparameters
) -> list[jobs.TrainingJob]:
    """Start one training job per client, with the kick-off role of its account."""
    started = []
    for client in stage.clients:
        session = accounts.assume_role("server", client.kickoff_role, session_name="rehearsal")
        request = jobs.training_request(
            client, name=jobs.job_name(client.name), image=IMAGE, server_address=address, seed=seed,
            ca_certificate=certificates.authority_hyperparameter(), **hyperparameters,
        )  # fmt: skip
        started.append(jobs.start(client, session, request))
    return started


def federate(stage: Stage, *, rounds: int = 3, seed: int = 0, host: str = "127.0.0.1", **options):
    """Kick off, train, wait for the jobs; return the result and the jobs."""
    address, certificates = federation.server_address(host), tls.make_certificates(host)
    started = kick_off(stage, certificates=certificates, address=address, seed=seed)
    result = federation.run(
        started, address=address, certificates=certificates, test=stage.test, rounds=rounds, **options
    )
    jobs.wait(started)
    return result, started


def clean_up(stage: Stage) -> None:
    """Delete all of it again."""
    cleanup.delete_all(stage.sessions)

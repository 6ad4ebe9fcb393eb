"""Notebook 03 without the notebook, from the run's folder to the final model; also as a process that can be killed.

``python kernel.py start|lead SETTINGS``: what ``02_connect_accounts`` left is in ``WORKSHOP_HOME``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client_code import schema
from workshop import federation, problems, state
from workshop.aws import accounts, connections, jobs, kickoff
from workshop.federation.runs import Run
from workshop.lessons import rehearsal

FRAUD = problems.load()

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Attempt:
    """A run that was taken up or begun, and its jobs."""

    run: Run
    place: federation.Place
    started: list[jobs.TrainingJob]
    verifier: federation.Verifier


def prepare(stage: rehearsal.Stage) -> None:
    """Leave for the kernel what notebook 02 leaves."""
    state.save(accounts=connections.connection_data(stage.accounts, image=rehearsal.IMAGE))


def start(settings: Mapping[str, object], **job: object) -> Attempt:
    """Open the run with these settings, and have one job per account; ``job`` goes into the jobs' requests."""
    (known,) = state.load("accounts")
    clients = [jobs.ClientAccount.of(entry) for entry in known["clients"]]
    server = accounts.notebook_session(known["server_role"])
    borrowed = {client.name: accounts.borrow(server, client, session_name="federation") for client in clients}
    place = federation.place(known["server_host"], known["server_port"])
    run = federation.open_run(known["server_host"], settings, session=server, bucket=known["server_bucket"])
    started = kickoff.kick_off(
        clients, borrowed, run=run.id, before=run.before, image=known["image"], server_address=place.address,
        ca_certificate=run.certificates.authority_hyperparameter(), **job,
    )  # fmt: skip
    return Attempt(run, place, started, federation.Verifier(server, run.certificates.fingerprint))


def lead(attempt: Attempt, *, progress=lambda message, history: None, **terms) -> federation.FederationResult:
    """Be the server of an attempt's jobs."""
    test = schema.to_arrays(schema.read_table(state.home() / "data" / "server" / "test.csv", FRAUD), FRAUD)
    return federation.run(
        attempt.started, listen=attempt.place.listen, certificates=attempt.run.certificates, test=test,
        problem=FRAUD, caller=attempt.verifier.caller, terms=federation.Terms(**terms),
        checkpoints=attempt.run.checkpoints, sinks=[federation.narrate(progress)],
    )  # fmt: skip


def killed(what: str, settings: Mapping[str, object], *, at: str) -> None:
    """Do the same in another process, and send it SIGKILL when it says ``at``."""
    with _process(what, settings) as process:
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith(at):
                return
        raise AssertionError(f"the kernel never said {at!r}: {told}")


@contextmanager
def _process(what: str, settings: Mapping[str, object]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(__file__)), what, json.dumps(settings)]
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def _main(what: str, settings: dict) -> None:
    attempt = start(settings)
    print("started", flush=True)
    if what == "lead":
        lead(attempt, progress=lambda message, history: print(message, flush=True), rounds=settings["rounds"])
    sys.stdin.read()


if __name__ == "__main__":
    _main(sys.argv[1], json.loads(sys.argv[2]))

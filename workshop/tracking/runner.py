"""Runner: leads a run in a process of its own, so that no page and no kernel holds it.

The console asks for runs, and so does whoever wants one more from a notebook. What was asked for, what becomes of it,
and whether it shall stop are files beside its record: a page that is closed loses nothing, and one that is opened twice
starts nothing twice.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import pandas as pd

from client_code import schema
from client_code.problem import Problem
from workshop import federation, problems, state
from workshop.aws import accounts, jobs, kickoff
from workshop.errors import FederationError, MissingStep, WorkshopError
from workshop.federation import events
from workshop.federation.server import FederationResult
from workshop.federation.strategy import NAMES
from workshop.federation.terms import Settled
from workshop.federation.tls import Authority
from workshop.files import WORKPLACE, unwritable, write_text
from workshop.science import model
from workshop.tracking import record as records
from workshop.tracking import recorded, registry, sending

REQUEST, STOP, LOG = "request.json", "stop", "runner.log"  # beside the record
PENALTIES = ("l2", "l1", "none")
COMING = 60.0  # seconds in which a run that was asked for must have begun
LOOK = 0.1  # seconds between two looks at what somebody wants


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    clients : tuple of str
        Names of those who are invited.
    rounds, max_iter, penalty, strategy, hostile, quorum
        As the parameters of 03_run_federation; a quorum of 0 is more than half.
    join, round, whole : float
        Deadlines in seconds, as in ``federation.Terms``.
    """

    clients: tuple[str, ...]
    rounds: int = 3
    max_iter: int = 10
    penalty: str = "l2"
    strategy: str = "FedAvg"
    hostile: int = 0
    quorum: int = 0
    join: float = 120.0
    round: float = 120.0
    whole: float = 3600.0
    tracker: str = sending.HERE

    def checked(self) -> Settled:
        """Return the terms of the run.

        Raises
        ------
        WorkshopError
            If it cannot be kept; says what to choose.
        """
        if not self.clients:
            raise FederationError("nobody is invited: choose at least one client")
        if self.penalty not in PENALTIES:
            raise FederationError(f"penalty is {self.penalty!r}: choose one of {', '.join(PENALTIES)}")
        if self.strategy not in NAMES:
            raise FederationError(f"strategy is {self.strategy!r}: choose one of {', '.join(NAMES)}")
        if self.strategy == "FedProx" and self.penalty == "l1":
            raise FederationError("the strategy FedProx works with penalty l2 or none, not with l1")
        if not isinstance(self.max_iter, int) or not 1 <= self.max_iter <= 10_000:
            raise FederationError(f"max_iter is {self.max_iter!r}: choose a whole number from 1 to 10000")
        sending.check(self.tracker)
        return federation.Terms(
            rounds=self.rounds, strategy=self.strategy, hostile=self.hostile, quorum=self.quorum or None,
            join=self.join, round=self.round, whole=self.whole,
        ).checked(len(self.clients))  # fmt: skip


def invited() -> list[str]:
    """Return the names of all clients that are connected.

    Raises
    ------
    MissingStep
        If none are: says which notebook connects them.
    """
    (connection,) = state.load("accounts")
    if "agents" in connection:
        return [each["name"] for each in connection["agents"]]
    return [jobs.ClientAccount.of(entry).name for entry in connection["clients"]]


def roll_call(*, seconds: float = 20.0) -> pd.DataFrame:
    """Ask who is there, and nothing else; return a line per client.

    Agents answer to a run of no rounds. Jobs are started by a run: of them it is told whether their accounts let this
    server start one.

    Raises
    ------
    WorkshopError
        If nobody can be asked.
    """
    (connection,) = state.load("accounts")
    if "agents" in connection:
        from workshop.clusters import access, agents, connect, launch, spec

        session = accounts.notebook_session(connection["launcher_role"])
        api = access.api(session, access.find(session, connect.CLUSTER, account="server"))
        where = (connection["server_host"], connection["server_port"], connection["server_bucket"])
        everybody = tuple(agents.Agent(**each) for each in connection["agents"])
        asked = spec.RunSpec(launch.new_id(), *where, everybody, {}, {"join": seconds})
        return launch.roll_call(api, asked, image=connection["image"])
    server, lines = accounts.notebook_session(connection["server_role"]), {}
    for client in [jobs.ClientAccount.of(entry) for entry in connection["clients"]]:
        try:
            accounts.identity(client.name, accounts.borrow(server, client, session_name="roll-call"))
            lines[client.name] = (client.account, True, "")
        except WorkshopError as error:
            lines[client.name] = (client.account, False, str(error))
    columns = ["account", "lets us start a job", "says"]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns).rename_axis("client")


def running() -> list[str]:
    """Return the ids of runs that are going on, or about to."""
    waiting = [path.parent.name for path in records.folder().glob(f"*/{LOG}") if _coming(path.parent)]
    table = recorded.runs()
    return [*table.index[table["status"] == recorded.RUNNING], *waiting]


def start(request: Request, *, run: str = "") -> str:
    """Start a run in a process of its own; return its id at once.

    Parameters
    ----------
    run : str
        An id that was drawn before: asked twice, there is one run.

    Raises
    ------
    WorkshopError
        If the request cannot be kept, or another run is going on.
    """
    request.checked()
    if unknown := sorted(set(request.clients) - set(invited())):
        raise FederationError(f"{', '.join(unknown)}: not connected; connected are {', '.join(invited())}")
    run = run or secrets.token_hex(4)
    path = records.folder() / run
    if path.exists():
        return run
    if others := running():
        raise FederationError(f"run {others[0]} is going on: wait for its end, or stop it")
    try:
        path.mkdir(parents=True)
        write_text(path / REQUEST, json.dumps(asdict(request), indent=1))
        with (path / LOG).open("w") as log:
            subprocess.Popen(
                [sys.executable, "-m", "workshop", "track", "lead", run], cwd=WORKPLACE,
                env=os.environ | {"WORKSHOP_HOME": str(state.home())}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
    except FileExistsError:
        return run
    except OSError as error:
        raise unwritable(path, error) from error
    return run


def stop(run: str) -> None:
    """Ask a run to stop; its record says when it has.

    Raises
    ------
    WorkshopError
        If that cannot be written down.
    """
    write_text(records.folder() / run / STOP, "")


def wait(
    run: str, *, seconds: float, tell: Callable[[recorded.Recorded], None] = lambda told: None
) -> recorded.Recorded:
    """Return a run's record once it is over.

    Parameters
    ----------
    tell : callable
        Gets the record whenever it has grown.

    Raises
    ------
    FederationError
        If it has ended early, with its reason; or is not over in time.
    """
    path, give_up, size = records.folder() / run, time.monotonic() + seconds, -1
    while time.monotonic() < give_up:
        if _begun(path) and (now := (path / records.EVENTS).stat().st_size) != size:
            size, told = now, recorded.read(run)
            tell(told)
            if told.reason:
                raise FederationError(f"run {run} has ended early: {told.reason}")
        elif _begun(path) and not (told := recorded.read(run)).led:
            if told.status == recorded.FINISHED:
                return told
            raise FederationError(f"run {run} was cut off; its log: {path / LOG}")
        elif not _begun(path) and (said := _said(path)):
            raise FederationError(f"run {run} has not begun: {said}")
        time.sleep(LOOK)
    raise FederationError(f"run {run} is not over after {seconds:.0f} s")


def lead(run: str) -> int:
    """Lead the run that was asked for, to the registered model; return the exit code.

    Raises
    ------
    WorkshopError
        If it ends early; its record says so too.
    """
    path = records.folder() / run
    try:
        asked = json.loads((path / REQUEST).read_text())
        request = Request(**{**asked, "clients": tuple(asked["clients"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MissingStep(f"nobody has asked for run {run}: {error}") from error
    threading.Thread(target=_heed, args=(path / STOP,), daemon=True).start()
    data, connection = state.load("data", "accounts")
    problem = problems.load()
    test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
    training = {"max_iter": request.max_iter, "penalty": request.penalty, "seed": data["seed"]}
    terms = request.checked()
    about = {key: data[key] for key in ("source", "seed")} | {"test": registry.digest(test, problem)}
    leading = _Leading(run, request, connection, training, terms, test, problem)
    participants, go = leading.agents() if "agents" in connection else leading.jobs()
    record = records.begin(
        run, problem=problem, participants=participants, training=training, terms=terms, data=about
    )  # fmt: skip
    sending.follow(run, request.tracker)
    try:
        result = go(record)
    except BaseException as stopped:
        if not record.over:
            ours = isinstance(stopped, WorkshopError)
            record(
                events.Ended(str(stopped) if ours else "stopped" if (path / STOP).exists() else type(stopped).__name__)
            )
        record.close()
        raise
    about |= training | {
        "run": run, "rounds": request.rounds, "strategy": request.strategy,
        "complete": all(entry.clients == len(participants) for entry in result.history),
    }  # fmt: skip
    model.save(
        path / "model", result.parameters, result.scaler, problem, threshold=result.threshold, about=about
    )  # fmt: skip
    registry.register(path / "model", problem)
    record.close()
    return 0


@dataclass(frozen=True)
class _Leading:
    """All that a run needs, and the two ways in which clients are reached."""

    run: str
    request: Request
    connection: dict[str, Any]
    training: dict[str, Any]
    terms: Settled
    test: pd.DataFrame
    problem: Problem

    def jobs(self) -> tuple[Sequence[Any], Callable[[events.Sink], FederationResult]]:
        """Start a training job in every client's account, and be the server here."""
        known = self.connection
        clients = [jobs.ClientAccount.of(entry) for entry in known["clients"]]
        clients = [client for client in clients if client.name in self.request.clients]
        server = accounts.notebook_session(known["server_role"])
        forwarded = accounts.target() == "embedded"
        place = federation.place(known["server_host"], known["server_port"], forwarded=forwarded)
        certificates = Authority.make().issue(known["server_host"])
        borrowed = {client.name: accounts.borrow(server, client, session_name="federation") for client in clients}

        def go(record: events.Sink) -> FederationResult:
            started = kickoff.kick_off(
                clients, borrowed, run=self.run, image=known["image"], server_address=place.address,
                ca_certificate=certificates.authority_hyperparameter(), join_deadline=self.terms.join, **self.training,
            )  # fmt: skip
            return federation.run(
                started, listen=place.listen, certificates=certificates,
                caller=federation.Verifier(server, certificates.fingerprint).caller,
                test=schema.to_arrays(self.test, self.problem), problem=self.problem, terms=self.terms, sinks=[record],
            )  # fmt: skip

        return clients, go

    def agents(self) -> tuple[Sequence[Any], Callable[[events.Sink], FederationResult]]:
        """Start a Job in the server's cluster, and follow it."""
        from workshop.clusters import access, agents, connect, launch, spec

        known = self.connection
        invited = tuple(agents.Agent(**each) for each in known["agents"] if each["name"] in self.request.clients)
        session: boto3.Session = accounts.notebook_session(known["launcher_role"])

        def go(record: events.Sink) -> FederationResult:
            api = access.api(session, access.find(session, connect.CLUSTER, account="server"))
            terms = {"rounds": self.terms.rounds, "strategy": self.terms.strategy, "hostile": self.terms.hostile}
            terms |= {name: getattr(self.terms, name) for name in ("quorum", "join", "round", "whole")}
            where = (known["server_host"], known["server_port"], known["server_bucket"])
            asked = spec.RunSpec(self.run, *where, invited, self.training, terms)
            launched = launch.start(api, asked, image=known["image"])
            try:
                launched.follow([record], deadline=self.terms.whole + launch.SPARE)
                return launched.result(session)
            finally:
                launched.delete()

        return invited, go


def _heed(wanted: Path) -> None:
    """Interrupt this process when somebody wants the run to stop."""
    while not wanted.exists():
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGINT)


def _begun(path: Path) -> bool:
    return (path / records.HEADER).exists() and (path / records.EVENTS).exists()


def _coming(path: Path) -> bool:
    """Tell whether a run that was asked for has still to begin."""
    fresh = time.time() - (path / LOG).stat().st_mtime < COMING
    return fresh and not _begun(path) and not _said(path)


def _said(path: Path) -> str:
    """Return the last line in a runner's log, which it writes when it fails."""
    try:
        lines = (path / LOG).read_text().strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines and "Error" in lines[-1] else ""

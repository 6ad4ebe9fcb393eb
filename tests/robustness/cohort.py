"""A federation in one process: the real server, clients in threads, gRPC and TLS between them; only AWS is left out.

Who a client is, is believed here; ``tests/federation/test_access_is_enforced.py`` tries that with STS.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from flwr.client import Client
from waiting import wait_until  # noqa: F401 (of all who use this module)

from client_code import schema
from data_prep import prepare, sources
from workshop import federation
from workshop.federation import tls
from workshop.federation.identity import Caller, IdentityError
from workshop.federation.participants import Phase, Status
from workshop.packing import bundle

sys.path.insert(0, str(Path(__file__).parents[2] / "client_code"))  # as a job imports its modules

import client as job_code
import connection
import task

from workshop import problems

FRAUD = problems.load()

ROLE = "FL-client-job-execution"


@dataclass
class Job:
    """A participant that is a thread."""

    name: str
    account: str
    job_name: str
    outcome: str = ""  # once it has ended
    reason: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    role = ROLE
    pace = 0.2

    def status(self):
        phase = Phase.ENDED if self.outcome else Phase.RUNNING
        return Status(phase, self.outcome, self.reason, self.created)

    def stop(self):
        """A thread cannot be stopped; it ends when its server is gone."""


def believed(nonce: str, *, job: str, federation: str) -> dict[str, str]:
    """A proof without AWS, in the place of ``identity.prove``."""
    return {"job": job, "nonce": nonce}


class Member(job_code.FlowerClient):
    """The client's own code, believed by its name."""

    def get_properties(self, config):
        return self.introduction() | believed(str(config["nonce"]), **self.about)


class Meddling(Client):
    """A client that changes what its own code sends."""

    def __init__(self, member: Member, change) -> None:
        self.inner, self.change = member.to_client(), change

    def get_properties(self, ins):
        return self.inner.get_properties(ins)

    def get_parameters(self, ins):
        return self.inner.get_parameters(ins)

    def fit(self, ins):
        return self.change(self.inner.fit(ins), ins.config["round"])

    def evaluate(self, ins):
        return self.inner.evaluate(ins)


@dataclass(frozen=True)
class Rows:
    """The rows of a federation: every client's tables, and the server's."""

    clients: dict[str, job_code.ClientData]
    test: tuple[np.ndarray, np.ndarray]

    @classmethod
    def make(cls, folder: Path, n_clients: int, *, how: str = "iid", source: str = "synthetic") -> Rows:
        table = sources.load(source, FRAUD, seed=0, cache=folder)
        prepare.prepare(table, n_clients=n_clients, how=how, balance="smote", seed=0, folder=folder)
        names = [f"client-{number}" for number in range(1, n_clients + 1)]
        files = {name: str(folder / name) for name in names}
        data = {name: job_code.load_data(path, problem=FRAUD) for name, path in files.items()}
        return cls(data, schema.to_arrays(schema.read_table(folder / "server" / "test.csv", FRAUD), FRAUD))


class Shelf:
    """A bucket that is a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told, self.models = folder, self, {}

    def fetch(self, folder: Path) -> tuple[str, ...]:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.folder.iterdir()))

    def keep(self, folder: Path, *, run: str) -> None:
        self.models[run] = {path.name: path.read_bytes() for path in folder.iterdir()}

    def tell(self, rows, *, key: bytes, floor: int) -> None:
        """Any sums may be told."""


class Cohort:
    """Clients in threads, and the server that they are told of.

    Parameters
    ----------
    rows : Rows
        Of these clients.
    meddling : mapping
        What a client does to the ``FitRes`` that its own code made, by client name: a function of that and the round.
    member : mapping
        Another class than ``Member``, by client name.
    patience : float
        Seconds after which a client without a server gives up.
    """

    def __init__(self, rows: Rows, *, meddling=(), member=(), patience: float = 5.0) -> None:
        self.rows, self.patience = rows, patience
        self.meddling, self.member = dict(meddling), dict(member)
        self.place, self.certificates = federation.place("127.0.0.1"), tls.make_certificates("127.0.0.1")
        self.jobs = {name: Job(name, f"{number:012d}", f"fl-{name}-0-1") for number, name in enumerate(rows.clients, 1)}
        self.threads = []
        self.lines, self.federation = [], ""

    def caller(self, proof, nonce):
        """Believe the name of a job."""
        for job in self.jobs.values():
            if proof.get("job") == job.job_name and proof.get("nonce") == nonce:
                return Caller(job.account, ROLE, job.job_name)
        raise IdentityError("it brings no proof of its account")

    def join(self, *names: str) -> None:
        """Start clients, each in its thread."""
        for name in names or self.rows.clients:
            self.threads.append(threading.Thread(target=self._be, args=(name,), daemon=True))
            self.threads[-1].start()

    def run(self, progress=None, checkpoints=None, sinks=(), **terms) -> federation.FederationResult:
        """Be the server."""
        return federation.run(
            list(self.jobs.values()), listen=self.place.listen, certificates=self.certificates, caller=self.caller,
            test=self.rows.test, problem=FRAUD, terms=federation.Terms(**terms), checkpoints=checkpoints,
            sinks=[federation.narrate(progress or (lambda message, history: self.lines.append(message))), *sinks],
        )  # fmt: skip

    def leave(self) -> None:
        """Wait until every client has ended."""
        for thread in self.threads:
            thread.join(timeout=self.patience + 20)
            assert not thread.is_alive(), "a client is still there"

    def _be(self, name: str) -> None:
        job = self.jobs[name]
        kind = self.member.get(name, Member)
        about = {"problem": FRAUD, "job_name": job.job_name, "federation": self.federation}
        member = kind(task.new_model(), self.rows.clients[name], **about)
        client = Meddling(member, self.meddling[name]) if name in self.meddling else member.to_client()
        try:
            connection.stay(
                client, self.place.address, root_certificates=self.certificates.authority, deadline=self.patience
            )
            job.outcome = "Completed" if member.finished else "Failed"
        except Exception as error:
            job.reason, job.outcome = f"{type(error).__name__}: {error}", "Failed"


def unpacked(folder: Path) -> Path:
    """Unpack what travels to a job, problem and all; return the folder."""
    with tarfile.open(fileobj=io.BytesIO(bundle.source_archive())) as archive:
        archive.extractall(folder, filter="data")
    return folder

"""The entry point of an agent (a Kubernetes Deployment): wait for a run at the server's address, take part, wait again.

What the server may ask and what it gets is a training job's: the same ``client.py`` answers. The server sends arrays
and settings, never code; which run it is comes with the first question, and a new one begins with fresh rows. An
agent dials out and listens to nobody but its own probes, on this machine's loopback.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import checkpoint
import client as job
import connection
import identity
import problem as problems
import status
import task
from flwr.client import NumPyClient
from own_bucket import OwnBucket, Unreadable

LONGEST_PAUSE = 0.5  # seconds between two attempts: a run that begins finds its agents within this
AFTER_REFUSAL = 5.0  # and after having been told that this run is for others
ABSENCE = 30.0  # seconds without a server after which the authority's file is read again
HOUR = 3600.0
FORESEEN = (*job.FORESEEN, Unreadable)
# What a server may set, as an owner's state machine checks it for a job.
RUN = re.compile(r"[a-z0-9]{4,32}")
PENALTIES, MOST_ITERATIONS = ("l2", "l1", "none"), 1000


@dataclass(frozen=True)
class Settings:
    """What the owner has set, in environment variables (a ConfigMap).

    Attributes
    ----------
    name : str
        ``AGENT_NAME``: what the federation calls this client.
    server : str
        ``AGENT_SERVER``: ``host:port`` of the server.
    authority : Path
        ``AGENT_AUTHORITY``: the file of the federation's certificate authority (PEM); read again before each dialling.
    bucket : str
        ``AGENT_BUCKET``: the owner's, with the rows.
    folder : Path
        ``AGENT_FOLDER``: for the rows and models of a run; may vanish with the pod.
    port : int
        ``AGENT_STATUS_PORT``: of ``/status`` on loopback; 0 for a free one.
    runs_per_hour : int
        ``AGENT_RUNS_PER_HOUR``: more are declined: every run is a few more questions about the rows.
    """

    name: str
    server: str
    authority: Path
    bucket: str
    folder: Path
    port: int = 0
    runs_per_hour: int = 60

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Read them.

        Raises
        ------
        client.JobError
            Names every variable that is missing or makes no sense.
        """
        needed = {name: environ.get(f"AGENT_{name.upper()}", "") for name in ("name", "server", "authority", "bucket")}
        wrong = [f"AGENT_{name.upper()} is missing" for name, value in needed.items() if not value]
        if needed["server"] and not re.fullmatch(r"[\w.-]+:\d{1,5}", needed["server"]):
            wrong.append(f"AGENT_SERVER is {needed['server']!r}, not host:port")
        numbers = {}
        for name, default in (("STATUS_PORT", "0"), ("RUNS_PER_HOUR", "60")):
            text = environ.get(f"AGENT_{name}") or default
            if not text.isdigit():
                wrong.append(f"AGENT_{name} is {text!r}, not a whole number")
            else:
                numbers[name] = int(text)
        if wrong:
            raise job.JobError("; ".join(wrong) + ": see the ConfigMap of this agent")
        return cls(
            needed["name"], needed["server"], Path(needed["authority"]), needed["bucket"],
            Path(environ.get("AGENT_FOLDER", ".")), numbers["STATUS_PORT"], numbers["RUNS_PER_HOUR"],
        )  # fmt: skip


class Agent(NumPyClient):
    """Answer for the run that the server is in; what one run was asked and told has no part in the next.

    Parameters
    ----------
    settings : Settings
    bucket : OwnBucket
        Where rows come from and models go to.
    problem : Problem
    board : status.Board
        What the owner sees.
    """

    def __init__(
        self,
        settings: Settings,
        bucket: OwnBucket,
        *,
        problem: problems.Problem,
        board: status.Board,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.bucket, self.problem, self.board, self.clock = settings, bucket, problem, board, clock
        self.federation = ""  # fingerprint of the authority that is trusted now
        self.job_name = f"agent-{settings.name}"
        self.instance = secrets.token_hex(16)  # a second process with this agent's credentials has another
        self.run = ""
        self.member: job.FlowerClient | None = None
        self.latest = checkpoint.Latest()
        self._begun: deque[float] = deque()
        self._rows: tuple[tuple[str, ...], job.ClientData] | None = None

    def get_properties(self, config):
        """Prove who this is, at once; or, asked to take part in a run, have its rows ready, however many there are."""
        return self._answered(lambda: self._proof(config) if "nonce" in config else self._introduced(config))

    def get_parameters(self, config):
        """Return the sums for the scaler; see ``FlowerClient``."""
        return self._answered(lambda: self._member().get_parameters(config))

    def fit(self, parameters, config):
        """Train a round; see ``FlowerClient``."""
        self.board.show(phase="in a run", round=int(config["round"]))
        return self._answered(lambda: self._member().fit(parameters, config))

    def evaluate(self, parameters, config):
        """Score the final model; see ``FlowerClient``."""
        return self._answered(lambda: self._member().evaluate(parameters, config))

    def keep(self) -> None:
        """Save the run's global model, here and in the owner's bucket; a run that sent none leaves none."""
        model, self.latest.model = self.latest.model, None
        if model is None:
            return
        folder = self.settings.folder / "model"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            job.save(str(folder), model, self.problem)
            self.bucket.keep(folder, run=self.run)
        except (job.JobError, OSError, Unreadable) as error:
            logging.info("%s", error)
            self.board.show(error=str(error))

    def _answered(self, answer: Callable[[], Any]) -> Any:
        """Return an answer; what is foreseen to go wrong is told to the server, and this agent stays."""
        try:
            return answer()
        except FORESEEN as error:
            line = str(error)
        except Exception as error:  # its own text may quote a cell
            line = job.where(error)
        self.board.show(error=line)
        raise connection.Declined(line)

    def _proof(self, config):
        proof = identity.prove(str(config["nonce"]), job=self.job_name, federation=self.federation)
        return {"instance": self.instance, **proof}

    def _introduced(self, config):
        run = str(config.get("run", ""))
        if not RUN.fullmatch(run):
            raise job.JobError("the server names no run of 4 to 32 small letters and digits")
        if run != self.run or self.member is None:
            self._begin(run, config)
        return self._member().introduction() | {"instance": self.instance}

    def _begin(self, run: str, config: Mapping[str, Any]) -> None:
        now = self.clock()
        while self._begun and self._begun[0] < now - HOUR:
            self._begun.popleft()
        if len(self._begun) >= self.settings.runs_per_hour:
            raise job.JobError(f"its owner lets it take part in {self.settings.runs_per_hour} runs an hour, no more")
        model = task.new_model(**training(config))
        self.member, self.run = None, ""
        data = self._data()
        self.latest = checkpoint.Latest()
        self.member = job.FlowerClient(
            model, data, problem=self.problem, job_name=self.job_name, federation=self.federation,
            keep=self.latest.keep, tell=partial(self.bucket.told.tell, key=data.salt, floor=self.problem.floors.shared),
        )  # fmt: skip
        self._begun.append(now)
        self.run = run
        self.board.show(phase="in a run", run=run, round=0, error="", rows=len(data.real_features))
        logging.info("run %s: %s real training rows, %s to fit on", run, len(data.real_features), len(data.train[1]))

    def _data(self) -> job.ClientData:
        """Return the owner's rows as they are now; those of the run before where nothing has changed."""
        folder = self.settings.folder / "rows"
        tags = self.bucket.fetch(folder)
        if self._rows is None or self._rows[0] != tags:
            self._rows = tags, job.load_data(folder, problem=self.problem)
        return self._rows[1]

    def _member(self) -> job.FlowerClient:
        if self.member is None:
            raise job.JobError("the server asks before it has said which run this is")
        return self.member


def training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the server wants to train, checked: penalty, iterations a round, seed.

    Raises
    ------
    client.JobError
        Names the setting.
    """
    penalty, iterations, seed = config.get("penalty", "l2"), config.get("max_iter", 10), config.get("seed", 0)
    if penalty not in PENALTIES:
        raise job.JobError(f"penalty must be one of {', '.join(PENALTIES)}")
    if not isinstance(iterations, int) or not 1 <= iterations <= MOST_ITERATIONS:
        raise job.JobError(f"max_iter must be a whole number from 1 to {MOST_ITERATIONS}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise job.JobError("seed must be a whole number from 0 to 4294967295")
    return {"penalty": penalty, "max_iter": iterations, "seed": seed}


def wait_and_work(agent: Agent, settings: Settings, board: status.Board) -> None:
    """Dial, take part, dial again; for ever."""
    while True:
        pause = connection.PAUSE
        try:
            pem = settings.authority.read_bytes()
            agent.federation = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))).hexdigest()
            connection.stay(
                agent.to_client(), settings.server, root_certificates=pem, deadline=ABSENCE,
                longest_pause=LONGEST_PAUSE,
            )  # fmt: skip
            logging.info("run %s is over", agent.run)
            agent.member = None
        except connection.NoAnswer as error:
            # Between runs that is how it should be; within one, the server may come back.
            board.show(error=str(error) if agent.member else "")
        except Exception as error:
            line = _line(error, settings)
            logging.info("%s", line)
            board.show(error=line)
            agent.member, pause = None, AFTER_REFUSAL
        agent.keep()
        board.show(phase="waiting", run="", round=0)
        time.sleep(pause)


def _line(error: Exception, settings: Settings) -> str:
    """Say in one line why a connection came to nothing."""
    if isinstance(error, connection.Stopped):
        return "the server sent this agent away"
    if isinstance(error, connection.ServerError):
        return str(error)
    if isinstance(error, OSError | ValueError) and not settings.authority.is_file():
        return f"there is no certificate authority in {settings.authority.name}: see the ConfigMap of this agent"
    return job.where(error)


def main() -> int:
    """Run the agent until it is told to end; then save the model of the run that it is in, and return 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # it would log exceptions with their text
    logging.getLogger("botocore").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = Settings.read(os.environ)
        problem = problems.load(Path(__file__).with_name("problem.toml"))
        settings.folder.mkdir(parents=True, exist_ok=True)
        board = status.Board(settings.folder, port=settings.port, name=settings.name)
    except (job.JobError, problems.ProblemError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    agent = Agent(settings, OwnBucket(settings.bucket), problem=problem, board=board)
    logging.info("agent %s waits for runs at %s; /status is at %s", settings.name, settings.server, board.address)
    try:
        wait_and_work(agent, settings, board)
    finally:  # SIGTERM: 5 seconds are enough for this, and a second one changes nothing
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        board.show(phase="ending")
        agent.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())

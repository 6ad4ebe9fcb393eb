"""The entry point of a client's SageMaker training job (script mode): read this account's rows, train with Flower.

Rows never leave this process. What the server receives: a keyed checksum of all rows, mean and spread per column, 50
numbers per round, a row count, one threshold. What it may cause: training on the rows in the ``train`` channel, which
the owner put there, under the names that the owner's own preparation gives them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import logging
import os
import secrets
import signal
import ssl
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is told in one line, by this file

import checkpoint
import connection
import disclosure
import edition
import identity
import ledger
import numpy as np
import problem as problems
import schema
import task
from flwr.client import NumPyClient

SALT_BYTES = 32


class JobError(Exception):
    """What ends this job, in one line that is safe to show to the server's account."""


# Their texts are of this kit: they quote no cell.
FORESEEN = (
    JobError, connection.ServerError, disclosure.AskedAgain, identity.NoIdentity, ledger.NotTold, problems.ProblemError,
    schema.TableError, task.BadSetting, task.TooFewRows,
)  # fmt: skip


class ClientData(NamedTuple):
    """The three tables of a client, arrays ``(n_rows, n_features)`` and ``(n_rows,)`` each, and its owner's secret."""

    train: tuple[np.ndarray, np.ndarray]  # what the model is fitted on: real rows, balanced by the owner
    validation: tuple[np.ndarray, np.ndarray]  # real rows, never resampled
    real_features: np.ndarray  # the real training rows: the scaler and the row count come from these
    salt: bytes  # which never leaves the account

    def checksum(self) -> str:
        """Return a keyed SHA-256 of all rows: a run that was cut off goes on only with the same ones.

        Without the key, who guesses the rows could check the guess.
        """
        digest = hmac.new(self.salt, digestmod=hashlib.sha256)
        for array in (*self.train, *self.validation, self.real_features):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load_data(folder: str | Path, *, problem: problems.Problem) -> ClientData:
    """Read and check the owner's files: ``train_balanced.csv``, ``train.csv``, ``validation.csv`` and ``salt``.

    Their names are no setting: which of an owner's files are summed up and scored is not for the server to choose.

    Raises
    ------
    schema.TableError
        Names file, column, rule and the number of rows that break it; never a cell value.
    """
    folder, floor = Path(folder), problem.floors.shared
    train = schema.read_table(folder / "train_balanced.csv", problem, minimum_rows=floor)
    rows = schema.read_table(folder / "train.csv", problem, minimum_rows=floor)
    validation = schema.read_table(folder / "validation.csv", problem)
    tables = [schema.to_arrays(frame, problem) for frame in (train, validation, rows)]
    try:
        salt = (folder / "salt").read_bytes()
    except OSError:
        salt = b""
    if len(salt) < SALT_BYTES:
        raise schema.TableError(
            "salt", "there is none, or too short a one", "prepare the rows again: 01_prepare_data, or `fl prepare`"
        )
    return ClientData(tables[0], tables[1], tables[2][0], salt)


class FlowerClient(NumPyClient):
    """Answer the server: who this is, moments for the scaler, then once per round a trained model.

    Every question brings all that its answer needs, so that a client which joins late, or comes back after its
    connection broke or its job was restarted, needs to remember nothing.

    Parameters
    ----------
    model : LogisticRegression
        From ``task.new_model``.
    data : ClientData
        This account's rows.
    problem : Problem
        What they are, and how they are transformed.
    job_name, federation : str
        What the proof of identity is made for: this job, and the fingerprint of the authority that it trusts.
    keep : callable
        Called with the global model whenever the server sends one.
    tell : callable
        Called with the real training rows before their sums are told; raises where they must not be.
    """

    def __init__(
        self,
        model,
        data: ClientData,
        *,
        problem: problems.Problem,
        job_name: str,
        federation: str,
        keep=lambda global_model: None,
        tell=lambda rows: None,
    ):
        self.model = model
        self.data = data
        self.problem = problem
        self.about = {"job": job_name, "federation": federation}
        self.rows_sha256 = data.checksum()
        self.instance = secrets.token_hex(16)  # a second process with this job's credentials has another
        self.keep = keep
        self.tell = tell
        self.finished = False
        self._asked = disclosure.Asked()

    def get_properties(self, config):
        """Prove which account and role this job is; see ``identity.py``."""
        return self.introduction() | identity.prove(str(config["nonce"]), **self.about)

    def introduction(self):
        """Say what is told of this client and its rows."""
        return {
            "instance": self.instance,
            "rows_sha256": self.rows_sha256,
            "rows": len(self.data.real_features),
            "code": edition.of(Path(__file__).parent),
            **task.settings(self.model),
        }

    def get_parameters(self, config):
        """Return what the federated scaler is made of: ``[n_rows (1,), values, mean, squared deviations]``.

        Raises
        ------
        ledger.NotTold
            If sums of nearly the same rows were told before.
        """
        self.tell(self.data.real_features)
        return task.statistics(self.data.real_features, self.problem)

    def fit(self, parameters, config):
        """Train from the global model; return the new parameters, the number of *real* rows behind them, and scores.

        ``parameters`` are ``[coef (1, n_features), intercept (1,), mean (n_features,), scale (n_features,)]``.

        Raises
        ------
        disclosure.AskedAgain
            If the server asks about two models in one round.
        """
        return self._asked.once(f"round {config['round']}", parameters, lambda: self._fit(parameters, config))

    def _fit(self, parameters, config):
        started = time.perf_counter()
        current = self._keep(parameters)
        features = task.transform(self.data.train[0], current.scaler, self.problem)
        trained = task.fit(
            self.model,
            current.parameters,
            features,
            self.data.train[1],
            proximal_mu=float(config.get("proximal_mu", 0.0)),
        )
        seconds = round(time.perf_counter() - started, 3)
        logging.info("round %s: trained in %.3f s", config["round"], seconds)
        validation = (task.transform(self.data.validation[0], current.scaler, self.problem), self.data.validation[1])
        scores = task.metrics(trained, (features, self.data.train[1]), validation, key=self.data.salt)
        return trained, len(self.data.real_features), scores | {"training_seconds": seconds}

    def evaluate(self, parameters, config):
        """Score the global model on this account's validation rows; once."""
        loss, threshold = self._asked.once("the end", parameters, lambda: self._evaluate(parameters))
        self.finished = True
        return loss, len(self.data.validation[1]), {"threshold": threshold}

    def _evaluate(self, parameters):
        current = self._keep(parameters)
        features = task.transform(self.data.validation[0], current.scaler, self.problem)
        return task.evaluate(current.parameters, features, self.data.validation[1], key=self.data.salt)

    def _keep(self, parameters) -> task.GlobalModel:
        current = task.GlobalModel.of(parameters)
        self.keep(current)
        return current


def train(args: argparse.Namespace) -> None:
    """Take part in one federation from the first message to the saved model."""
    if not args.train:
        raise JobError("channel train is missing: the request's InputDataConfig must name one with this account's rows")
    problem = problems.load(Path(__file__).with_name("problem.toml"))
    try:
        data = load_data(args.train, problem=problem)
    except schema.TableError as error:
        raise JobError(f"channel {Path(args.train).name}, {error}") from None
    logging.info("%s real training rows, %s to fit on", len(data.real_features), len(data.train[1]))
    model = task.new_model(penalty=args.penalty, max_iter=args.max_iter, seed=args.seed)
    authority = base64.b64decode(args.ca_certificate)
    pem = ssl.DER_cert_to_PEM_cert(authority).encode()
    latest = checkpoint.Latest(Path(args.checkpoint_dir))
    client = FlowerClient(
        model, data, problem=problem, job_name=os.environ["TRAINING_JOB_NAME"],
        federation=hashlib.sha256(authority).hexdigest(), keep=latest.keep,
        tell=partial(ledger.Ledger(args.bucket, identity.own_session).tell, key=data.salt, floor=problem.floors.shared),
    )  # fmt: skip
    try:
        connection.stay(
            client.to_client(),
            args.server_address,
            root_certificates=pem,
            deadline=args.join_deadline,
        )
    except connection.Stopped:
        logging.info("this job is being stopped: it ends here, with the global model of the last round")
        client.finished = True
    finally:  # also when SIGTERM comes; stopped from here on, it is on its way out already
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if latest.model is not None:
            save(args.model_dir, latest.model, problem)
    if not client.finished:
        raise JobError("the server ended the federation before it sent a final model: see the server's notebook")


def save(folder: str, model: task.GlobalModel, problem: problems.Problem) -> None:
    """Leave the global model where SageMaker takes it from.

    Raises
    ------
    JobError
        If the folder cannot be written.
    """
    try:
        path = task.save_model(folder, task.build_pipeline(*model, problem.encoding))
    except OSError as error:
        message = f"the global model cannot be written to the folder {Path(folder).name}: {error.strerror}"
        raise JobError(message) from error
    logging.info("global model saved as %s", Path(path).name)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the job's hyperparameters; folders come from SageMaker's ``SM_*`` variables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--penalty", default="l2")
    parser.add_argument("--max-iter", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server-address", required=True, help="host:port")
    parser.add_argument("--ca-certificate", required=True, help="the federation's authority, DER in base64")
    parser.add_argument("--join-deadline", type=float, default=120.0, help="seconds without a server to give up after")
    parser.add_argument("--bucket", required=True, help="the owner's, which knows which sums were told")
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR"))
    beside = Path(os.environ.get("SM_MODEL_DIR", ".")).with_name("checkpoints")  # /opt/ml/checkpoints
    parser.add_argument("--checkpoint-dir", default=str(beside))
    return parser.parse_args(argv)


def where(error: Exception) -> str:
    """Print the frames of an error that nobody foresaw, without its text; return a line that says the place.

    No folder of this machine is in it either.
    """
    frames = traceback.extract_tb(error.__traceback__)
    for frame in frames:
        print(f"  {Path(frame.filename).name}, line {frame.lineno}, in {frame.name}")
    return f"unforeseen {type(error).__name__} in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"


def main(argv: list[str] | None = None) -> int:
    """Run the job; on failure leave one line in ``/opt/ml/output/failure`` and return 1.

    The server's account reads that line, so only texts of this kit go into it. Of an error that nobody foresaw
    it gets the name and the place; an exception's own text may quote a cell.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # it would log exceptions with their text
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it would tell at every dialling where credentials are
    # Where this script is the container's own process, SIGTERM comes from whoever stops the job: leave by the ordinary
    # way out, which saves the model. SageMaker's training toolkit hands no signal on; there the server says it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        train(parse_arguments(argv))
    except FORESEEN as error:
        line = str(error)
    except Exception as error:
        line = where(error)
    else:
        return 0
    (Path(os.environ.get("SM_OUTPUT_DIR", ".")) / "failure").write_text(line[:1024])
    print(line, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The entry point of a client's SageMaker training job (script mode): read this account's rows, train with Flower.

Rows never leave this process. What the server receives: sums for the scaler, 50 numbers per round, a row count,
one threshold. What it may cause: training on the rows that the owner put into the ``train`` channel.
"""

from __future__ import annotations

import argparse
import base64
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is told in one line, by this file

import grpc
import numpy as np
import schema
import task
from flwr.client import NumPyClient, start_client


class JobError(Exception):
    """What ends this job, in one line that is safe to show to the server's account."""


class ClientData(NamedTuple):
    """The three tables of a client: arrays ``(n_rows, 49)`` and ``(n_rows,)`` each."""

    train: tuple[np.ndarray, np.ndarray]  # what the model is fitted on: real rows, balanced by the owner
    validation: tuple[np.ndarray, np.ndarray]  # real rows, never resampled
    real_features: np.ndarray  # the real training rows: the scaler and the row count come from these


def load_data(
    train_path: str, train_file: str, test_path: str, test_file: str, *, rows_file: str = "train.csv"
) -> ClientData:
    """Read and check the owner's CSV files.

    Raises
    ------
    schema.TableError
        Names file, column, rule and the number of rows that break it; never a cell value.
    """
    train = schema.read_table(Path(train_path) / train_file, minimum_rows=task.MINIMUM_ROWS)
    rows = schema.read_table(Path(train_path) / rows_file, minimum_rows=task.MINIMUM_ROWS)
    validation = schema.read_table(Path(test_path) / test_file)
    return ClientData(schema.to_arrays(train), schema.to_arrays(validation), schema.to_arrays(rows)[0])


class FlowerClient(NumPyClient):
    """Answer the server: first with sums for the scaler, then once per round with a trained model.

    Parameters
    ----------
    model : LogisticRegression
        From ``task.new_model``.
    data : ClientData
        This account's rows.
    job_name : str
        By this name the server knows which account answers.
    """

    def __init__(self, model, data: ClientData, *, job_name: str) -> None:
        self.model = model
        self.data = data
        self.job_name = job_name
        self.scaler: task.Scaler | None = None
        self.global_parameters: task.Parameters | None = None

    def get_properties(self, config):
        """Say which training job this is."""
        return {"job": self.job_name}

    def get_parameters(self, config):
        """Return the sums that the federated scaler is made of, ``[n (1,), sum (49,), squares (49,)]``."""
        return task.statistics(self.data.real_features)

    def fit(self, parameters, config):
        """Train from the global parameters; return the new ones and the number of *real* rows behind them.

        The call of round 0 brings the pooled scaler, ``[mean (49,), scale (49,)]``, and trains nothing.
        """
        n_rows = len(self.data.real_features)
        if config["round"] == 0:
            self.scaler = task.Scaler(*parameters)
            train, validation = self.data.train, self.data.validation
            self.train = (task.transform(train[0], self.scaler), train[1])
            self.validation = (task.transform(validation[0], self.scaler), validation[1])
            return [], n_rows, {}
        started = time.perf_counter()
        trained = task.fit(self.model, parameters, *self.train)
        logging.info("round %s: trained in %.3f s", config["round"], time.perf_counter() - started)
        return trained, n_rows, {}

    def evaluate(self, parameters, config):
        """Score the global model on this account's validation rows, and keep it."""
        self.global_parameters = parameters
        loss, threshold = task.evaluate(parameters, *self.validation)
        return loss, len(self.validation[1]), {"threshold": threshold}


def wait_for_server(address: str, *, deadline: float, root_certificates: bytes) -> None:
    """Return as soon as the server answers at ``host:port`` with a certificate of its authority.

    Asked as Flower asks, by gRPC: through the proxy that ``grpc_proxy`` names, if there is one.

    Parameters
    ----------
    address : str
        ``host:port`` of the Flower server.
    deadline : float
        Seconds to wait.
    root_certificates : bytes
        The federation's authority, PEM.

    Raises
    ------
    JobError
        If nothing answers before the deadline; at once if something does that the authority did not sign.
    """
    give_up = time.monotonic() + deadline
    credentials = grpc.ssl_channel_credentials(root_certificates)
    # Asked at least once a second: gRPC's own pauses grow to two minutes.
    pauses = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1000)]
    with grpc.secure_channel(address, credentials, options=pauses) as channel:
        ask = channel.unary_unary("/federation/AreYouThere")  # no server knows this: any answer is an answer
        while True:
            try:
                ask(b"", timeout=max(0.1, give_up - time.monotonic()))
                return
            except grpc.RpcError as error:
                code, details = error.code(), error.details() or ""
            if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return
            if "certificate" in details.lower() or "Hostname Verification" in details:
                raise JobError(
                    f"what answers at {address} has a certificate that is not signed by the authority this job was "
                    "given, or for another address: start the job again with the address and the authority of the "
                    "server's notebook"
                )
            if time.monotonic() + 0.2 > give_up:
                raise JobError(
                    f"no Flower server at {address} within {deadline:.0f} s ({_told(details)}): is the server's "
                    "notebook running, and do routes, peering and security groups let this subnet reach it?"
                )
            time.sleep(0.2)


def _told(details: str) -> str:
    """Put what gRPC says into two words."""
    if "response code 502" in details or "Connection refused" in details:
        return "connection refused"
    return "TLS failed" if "handshake" in details else "no answer"


def train(args: argparse.Namespace) -> None:
    """Take part in one federation from the first message to the saved model."""
    data = load_data(args.train, args.train_file, args.train, args.test_file, rows_file=args.rows_file)
    logging.info("%s real training rows, %s to fit on", len(data.real_features), len(data.train[1]))
    model = task.new_model(penalty=args.penalty, max_iter=args.max_iter, seed=args.seed)
    client = FlowerClient(model, data, job_name=os.environ["TRAINING_JOB_NAME"])
    certificate = base64.encodebytes(base64.b64decode(args.ca_certificate)).decode()
    authority = f"-----BEGIN CERTIFICATE-----\n{certificate}-----END CERTIFICATE-----\n".encode()
    wait_for_server(args.server_address, deadline=args.join_deadline, root_certificates=authority)
    try:
        start_client(
            server_address=args.server_address,
            client=client.to_client(),
            root_certificates=authority,
        )
    except grpc.RpcError as error:
        raise JobError(
            f"the connection to the server at {args.server_address} broke ({error.code().name}): either the server "
            "ended before the federation did, or its certificate is not signed by the authority this job was given"
        ) from error
    if client.global_parameters is None:
        raise JobError("the server ended the federation before it sent a global model: see the server's notebook")
    pipeline = task.build_pipeline(client.global_parameters, client.scaler, list(schema.FEATURES))
    logging.info("global model saved to %s", task.save_model(args.model_dir, pipeline))


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the job's hyperparameters; folders come from SageMaker's ``SM_*`` variables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--penalty", default="l2")
    parser.add_argument("--max-iter", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server-address", required=True, help="host:port")
    parser.add_argument("--ca-certificate", required=True, help="the federation's authority, DER in base64")
    parser.add_argument("--join-deadline", type=float, default=120.0, help="seconds to wait for the server")
    parser.add_argument("--train-file", default="train_balanced.csv")
    parser.add_argument("--rows-file", default="train.csv")
    parser.add_argument("--test-file", default="validation.csv")
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the job; on failure leave one line in ``/opt/ml/output/failure`` and return 1.

    The server's account reads that line, so only texts of this kit go into it. Of an error that nobody foresaw
    it gets the name and the place; an exception's own text may quote a cell.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # it would log exceptions with their text
    # StopTrainingJob sends SIGTERM: leave by the ordinary way out, so that buffers are written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        train(parse_arguments(argv))
    except (JobError, schema.TableError, task.TooFewRows) as error:
        line = str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        line = f"unforeseen {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
        print("".join(traceback.format_tb(error.__traceback__)))  # where it happened, without its text
    else:
        return 0
    (Path(os.environ.get("SM_OUTPUT_DIR", ".")) / "failure").write_text(line[:1024])
    print(line, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

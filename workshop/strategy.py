"""Who must come, until when, what is averaged and what each round is worth: a wrapper around any Flower strategy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from flwr.common import EvaluateIns, FitIns, GetParametersIns, GetPropertiesIns, ReconnectIns
from flwr.common import ndarrays_to_parameters as pack
from flwr.common import parameters_to_ndarrays as unpack
from flwr.common.serde import fit_ins_to_proto, fit_res_to_proto
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import Strategy
from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridgeClosed
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from client_code import task
from workshop.errors import FederationError
from workshop.jobs import FINISHED, TrainingJob

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """What one round brought: scores on the server's own test table, seconds, bytes of messages."""

    round: int
    roc_auc: float
    average_precision: float
    log_loss: float
    seconds: float
    bytes_up: int
    bytes_down: int


Progress = Callable[[str, Sequence[Round]], None]


def fit_round(server_round: int) -> dict[str, int]:
    """Return the fit configuration that every client receives with the global parameters of a round."""
    return {"round": server_round}


def get_evaluate_fn(test: tuple[np.ndarray, np.ndarray], scaler: task.Scaler):
    """Return the function that scores global parameters on the server's test rows, ``(n, 49)`` and ``(n,)``.

    Its answer is Flower's: the log-loss, and a dictionary with ``roc_auc`` and ``average_precision``.
    """
    features, labels = task.transform(test[0], scaler), test[1]

    def evaluate(server_round: int, parameters: task.Parameters, config: dict) -> tuple[float, dict[str, float]]:
        scores = task.predict(parameters, features)
        return float(log_loss(labels, scores)), {
            "roc_auc": float(roc_auc_score(labels, scores)),
            "average_precision": float(average_precision_score(labels, scores)),
        }

    return evaluate


class ExpectedClients(SimpleClientManager):
    """Flower's client manager, without its wait of a day for clients that will never come."""

    def wait_for(self, num_clients: int, timeout: int = 0) -> bool:
        """Return at once whether so many clients are connected."""
        return len(self.clients) >= num_clients

    def wait_for_change(self, seconds: float) -> None:
        """Return when a client comes or goes, or after some seconds."""
        with self._cv:
            self._cv.wait(timeout=seconds)


class Federation(Strategy):
    """Wrap any Flower strategy: clients that are known, a scaler before round 1, a record of every round."""

    def __init__(
        self,
        inner: Strategy,
        jobs: Sequence[TrainingJob],
        manager: ExpectedClients,
        *,
        test: tuple[np.ndarray, np.ndarray],
        rounds: int,
        join_deadline: float,
        round_deadline: float,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self.jobs = jobs
        self.manager = manager
        self.test = test
        self.rounds = rounds
        self.join_deadline = join_deadline
        self.round_deadline = round_deadline
        self.progress = progress
        self.clock = clock
        self.members: dict[str, TrainingJob] = {}  # by Flower's connection id
        self.history: list[Round] = []
        self.client_rows: dict[str, int] = {}
        self.threshold = float("nan")

    def initialize_parameters(self, client_manager):
        """Wait for every client, agree on the scaler, start from zeros."""
        self._gather()
        self.progress("every client is here: adding up the sums for the scaler", self.history)
        sums = self._ask_all(
            lambda proxy: unpack(proxy.get_parameters(GetParametersIns({}), self.round_deadline, 0).parameters)
        )
        self.scaler = task.pooled_scaler(sums)
        instruction = FitIns(pack(list(self.scaler)), fit_round(0))
        self._ask_all(lambda proxy: proxy.fit(instruction, self.round_deadline, 0))
        self.evaluate_fn = get_evaluate_fn(self.test, self.scaler)
        return pack([np.zeros((1, len(self.scaler.mean))), np.zeros(1)])

    def configure_fit(self, server_round, parameters, client_manager):
        """Send the global parameters to every client."""
        self.round_started = self.clock()
        self._require(self.manager.clients, f"round {server_round}")
        self.progress(f"round {server_round} of {self.rounds}: clients are training", self.history)
        instructions = self.inner.configure_fit(server_round, parameters, client_manager)
        self.bytes_down = sum(fit_ins_to_proto(instruction).ByteSize() for _, instruction in instructions)
        return instructions

    def aggregate_fit(self, server_round, results, failures):
        """Average, in the order of the clients' names: the sum of floats depends on its order."""
        self._require([proxy.cid for proxy, _ in results], f"round {server_round}")
        results = sorted(results, key=lambda result: self.members[result[0].cid].client.name)
        self.client_rows = {self.members[proxy.cid].client.name: answer.num_examples for proxy, answer in results}
        self.bytes_up = sum(fit_res_to_proto(answer).ByteSize() for _, answer in results)
        averaged = self.inner.aggregate_fit(server_round, results, failures)
        self.round_seconds = self.clock() - self.round_started
        return averaged

    def evaluate(self, server_round, parameters):
        """Score the global model on the server's test rows; round 0, before any training, is not recorded."""
        loss, scores = self.evaluate_fn(server_round, unpack(parameters), {})
        if server_round:
            self.history.append(
                Round(server_round, **scores, log_loss=loss, seconds=self.round_seconds,
                      bytes_up=self.bytes_up, bytes_down=self.bytes_down)
            )  # fmt: skip
            self.progress(f"round {server_round} of {self.rounds} is done", self.history)
        return loss, scores

    def configure_evaluate(self, server_round, parameters, client_manager):
        """Send the final model to every client: it keeps a copy, and answers with its best threshold."""
        if server_round < self.rounds:
            return []
        instruction = EvaluateIns(parameters, fit_round(server_round))
        return [(proxy, instruction) for proxy in self._proxies()]

    def aggregate_evaluate(self, server_round, results, failures):
        """Average the clients' thresholds, each weighted by its validation rows."""
        self._require([proxy.cid for proxy, _ in results], "the final evaluation")
        answers = [answer for _, answer in sorted(results, key=lambda result: self.members[result[0].cid].client.name)]
        rows = [answer.num_examples for answer in answers]
        self.threshold = float(np.average([answer.metrics["threshold"] for answer in answers], weights=rows))
        return float(np.average([answer.loss for answer in answers], weights=rows)), {"threshold": self.threshold}

    def _gather(self) -> None:
        """Wait until every job has joined; end at once when one of them has ended without joining."""
        missing = {job.name: job for job in self.jobs}
        expected = frozenset(missing)
        seen: set[str] = set()
        give_up = self.clock() + self.join_deadline
        while missing:
            for proxy in [proxy for cid, proxy in list(self.manager.clients.items()) if cid not in seen]:
                seen.add(proxy.cid)
                if job := missing.pop(_introduce(proxy, expected), None):
                    self.members[proxy.cid] = job
            self._require(self.manager.clients, "the wait for the others")
            if not missing:
                return
            names = ", ".join(sorted(job.client.name for job in missing.values()))
            self.progress(
                f"{len(self.members)} of {len(self.jobs)} clients are here; waiting for {names}", self.history
            )
            ended = [job for job in missing.values() if job.describe()["TrainingJobStatus"] in FINISHED]
            if ended:
                raise _lost(ended, "ended before it joined")
            if self.clock() > give_up:
                # Such a job may well be running: there is no end to wait for.
                raise _lost(list(missing.values()), f"did not join within {self.join_deadline:.0f} s", patience=0)
            self.manager.wait_for_change(0.5)

    def _proxies(self) -> list[ClientProxy]:
        """Return the members' connections by client name."""
        self._require(self.manager.clients, "this step")
        return sorted(
            (self.manager.clients[cid] for cid in self.members),
            key=lambda proxy: self.members[proxy.cid].client.name,
        )

    def _ask_all(self, question: Callable[[ClientProxy], object]) -> list:
        """Ask every member at once; answers come in the order of the clients' names."""
        proxies = self._proxies()
        with ThreadPoolExecutor(max_workers=len(proxies)) as pool:
            answers = [pool.submit(question, proxy) for proxy in proxies]
        silent = [proxy for proxy, answer in zip(proxies, answers, strict=True) if answer.exception()]
        if silent:
            raise _lost([self.members[proxy.cid] for proxy in silent], "did not answer while the scaler was agreed")
        return [answer.result() for answer in answers]

    def _require(self, present: Sequence[str] | dict, when: str) -> None:
        """Raise unless every member is among the connection ids."""
        gone = [job for cid, job in self.members.items() if cid not in present]
        if gone:
            raise _lost(gone, f"did not answer in {when}")


def _introduce(proxy: ClientProxy, expected: frozenset[str]) -> str | None:
    """Ask a new connection which job it is; turn a stranger away, or a job of an earlier run.

    A connection that breaks meanwhile is nobody: whether its job has ended is seen where jobs are watched.
    """
    try:
        name = str(proxy.get_properties(GetPropertiesIns({}), timeout=10.0, group_id=0).properties.get("job"))
        if name not in expected:
            log.warning("a client that says it is %r was turned away", name)
            proxy.reconnect(ReconnectIns(seconds=None), timeout=10.0, group_id=None)
    except GrpcBridgeClosed:
        return None
    return name


def _lost(jobs: Sequence[TrainingJob], what: str, *, patience: float = 10.0) -> FederationError:
    """Name clients that are missing; give SageMaker a moment to say how their jobs ended."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up and any(job.describe()["TrainingJobStatus"] not in FINISHED for job in jobs):
        time.sleep(0.2)
    names = ", ".join(sorted(job.client.name for job in jobs))
    told = "\n".join(job.account_of_failure() for job in jobs)
    return FederationError(f"{names} {what}.\n{told}\nMend that client, then run 03_run_federation.ipynb again.")

"""Rounds: what clients are told, what the new model is worth, and what is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.common import Scalar
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from client_code import task
from client_code.problem import Problem


@dataclass(frozen=True)
class Round:
    """What one round brought: scores on the server's own test table, seconds, bytes of messages, who was left out."""

    round: int
    roc_auc: float
    average_precision: float
    log_loss: float
    seconds: float
    bytes_up: int
    bytes_down: int
    clients: int  # whose updates are in the model
    left_out: Mapping[str, str] = field(default_factory=dict)  # by client: why its update is not
    aggregation_seconds: float = 0.0  # of ``seconds``: from the last answer to the scores


def fit_round(server_round: int) -> dict[str, Scalar]:
    """Return the fit configuration that every client receives with the global model of a round."""
    return {"round": server_round}


def get_evaluate_fn(test: tuple[np.ndarray, np.ndarray], scaler: task.Scaler, problem: Problem):
    """Return the function that scores global parameters on the server's test rows, ``(n, n_features)`` and ``(n,)``.

    Its answer is Flower's: the log-loss, and a dictionary with ``roc_auc`` and ``average_precision``.
    """
    features, labels = task.transform(test[0], scaler, problem), test[1]

    def evaluate(server_round: int, parameters: task.Parameters, config: dict) -> tuple[float, dict[str, float]]:
        scores = task.predict(parameters, features)
        return float(log_loss(labels, scores)), {
            "roc_auc": float(roc_auc_score(labels, scores)),
            "average_precision": float(average_precision_score(labels, scores)),
        }

    return evaluate

"""Baselines of the federation: everybody's rows in one place, each client alone, the published recipe.

All of this needs rows of several accounts in one process, which only a workshop has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler

from client_code import schema, task
from client_code.problem import Problem

Rows = tuple[np.ndarray, np.ndarray]  # features (n_rows, n_features), labels (n_rows,)


@dataclass(frozen=True)
class ClientRows:
    """One client's rows: the real training rows, the rows to fit on, and the real validation rows."""

    real: Rows
    train: Rows
    validation: Rows

    @classmethod
    def read(cls, folder: Path, problem: Problem) -> ClientRows:
        """Read the three files that ``data_prep`` wrote for a client."""
        names = ("train.csv", "train_balanced.csv", "validation.csv")
        return cls(*(schema.to_arrays(schema.read_table(folder / name, problem), problem) for name in names))


@dataclass(frozen=True)
class Model:
    """Arrays of a trained model, with the threshold chosen on validation rows."""

    parameters: task.Parameters
    scaler: task.Scaler
    threshold: float
    problem: Problem

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of label 1 for raw features ``(n_rows, n_features)``, shape ``(n_rows,)``."""
        return task.predict(self.parameters, task.transform(features, self.scaler, self.problem))


def federated_by_hand(
    clients: Sequence[ClientRows],
    problem: Problem,
    *,
    rounds: int = 3,
    max_iter: int = 10,
    penalty: str = "l2",
    seed: int = 0,
) -> Model:
    """Run the whole federation as a plain loop in one process: what the real one must equal to 1e-12.

    With a single client it is ordinary training on that client's rows: the local and the centralised model.
    """
    scaler = task.pooled_scaler([task.statistics(client.real[0], problem) for client in clients], problem)
    rows = [len(client.real[1]) for client in clients]
    models = [task.new_model(max_iter=max_iter, penalty=penalty, seed=seed) for _ in clients]
    scaled = [(task.transform(client.train[0], scaler, problem), client.train[1]) for client in clients]
    parameters = [np.zeros((1, len(scaler.mean))), np.zeros(1)]
    for _ in range(rounds):
        updates = [task.fit(model, parameters, *train) for model, train in zip(models, scaled, strict=True)]
        parameters = [np.average(arrays, axis=0, weights=rows) for arrays in zip(*updates, strict=True)]
    validation = [(task.transform(client.validation[0], scaler, problem), client.validation[1]) for client in clients]
    thresholds = [task.threshold(parameters, *rows_of) for rows_of in validation]
    weights = [len(labels) for _, labels in validation]
    return Model(parameters, scaler, float(np.average(thresholds, weights=weights)), problem)


def pool(clients: Sequence[ClientRows]) -> ClientRows:
    """Put the rows of all clients into one heap, which is what a federation exists to avoid."""

    def joined(kind: str) -> Rows:
        parts = [getattr(client, kind) for client in clients]
        return np.concatenate([features for features, _ in parts]), np.concatenate([labels for _, labels in parts])

    return ClientRows(joined("real"), joined("train"), joined("validation"))


def published_recipe(train: pd.DataFrame, test_features: np.ndarray, problem: Problem, *, seed: int = 0) -> np.ndarray:
    """Score test rows as the original sample does: raw amounts, SMOTE and undersampling, 3 rounds of 10 iterations.

    Parameters
    ----------
    train : DataFrame
        Real training rows of all clients, with the label.
    test_features : ndarray, shape (n_rows, n_features)
        Raw features.

    Returns
    -------
    ndarray, shape (n_rows,)
        Probabilities of label 1.

    Source: aws-samples/wwps-payment-integrity-solutions, ``Federated-Learning/`` (2023).
    """
    features, labels = schema.to_arrays(train, problem)
    recipe = [SMOTE(sampling_strategy=0.25, random_state=seed), RandomUnderSampler(random_state=seed)]
    if int(0.25 * (labels == 0).sum()) <= labels.sum():  # nothing to add where label 1 is that frequent
        recipe = recipe[1:]
    if not problem.plain:  # the sample knows neither words nor gaps: it gets them as everybody else does
        mean = task.moments(problem.transform(features))[2]
        features, test_features = (problem.filled(problem.transform(rows), mean) for rows in (features, test_features))
    for step in recipe:
        features, labels = step.fit_resample(features, labels)
    model = task.new_model(max_iter=10, seed=seed)
    parameters = [np.zeros((1, features.shape[1])), np.zeros(1)]
    for _ in range(3):
        parameters = task.fit(model, parameters, features, labels)
    return task.predict(parameters, test_features)

"""Rounds without a network: what strategies and the gate make of honest and hostile updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from cohort import Rows, task
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from sklearn.metrics import average_precision_score, roc_auc_score

from workshop import problems
from workshop.federation import strategy, updates

FRAUD = problems.load()

ANYTHING = updates.Rules(longest_step=np.inf)


def scaled(factor: float):
    """Multiply an update."""
    return lambda update, honest, rng: [factor * array for array in update]


def constant(value: float):
    """Send one number everywhere."""
    return lambda update, honest, rng: [np.full_like(array, value) for array in update]


def noise(spread: float):
    """Send random numbers."""
    return lambda update, honest, rng: [rng.normal(0, spread, array.shape) for array in update]


def a_little_is_enough(z: float):
    """Stay within the honest clients' spread (Baruch et al., NeurIPS 2019)."""

    def attack(update, honest, rng):
        stacks = [np.stack(arrays) for arrays in zip(*honest, strict=True)]
        return [stack.mean(axis=0) - z * stack.std(axis=0) for stack in stacks]

    return attack


def run(
    rows: Rows,
    name: str = "FedAvg",
    *,
    hostile: Sequence[str] = (),
    attack: Callable | None = None,
    flip_labels: bool = False,
    rules: updates.Rules = ANYTHING,
    rounds: int = 5,
    **training: object,
) -> tuple[float, float, float]:
    """Return ROC AUC and average precision of the final model, and the longest honest step beside the others'.

    ``training`` holds hyperparameters of the clients' models, as ``task.new_model`` takes them.
    """
    scaler = task.pooled_scaler([task.statistics(data.real_features, FRAUD) for data in rows.clients.values()], FRAUD)
    tables = {key: (task.transform(data.train[0], scaler, FRAUD), data.train[1]) for key, data in rows.clients.items()}
    start, memory, longest = [np.zeros((1, 49)), np.zeros(1)], {}, 0.0
    rng = np.random.default_rng(0)
    n_hostile = len(hostile) if name in strategy.ROBUST else 0
    for number in range(1, rounds + 1):
        config = strategy.fit_config(strategy.make(name, start, answers=len(tables), hostile=n_hostile))
        sent = {}
        for key, (features, labels) in tables.items():
            told = 1 - labels if flip_labels and key in hostile else labels
            sent[key] = task.fit(
                task.new_model(**training), start, features, told, proximal_mu=config.get("proximal_mu", 0.0)
            )
        honest = {key: update for key, update in sent.items() if key not in hostile}
        longest = max(longest, *updates.strides(honest, start).values())
        if attack:
            sent |= {key: attack(sent[key], list(honest.values()), rng) for key in hostile}
        far = updates.too_far(sent, start, rules)
        results = [
            (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters(arrays), len(tables[key][1]), {}))
            for key, arrays in sent.items()
            if key not in far
        ]
        combine = strategy.make(name, start, answers=len(results), hostile=n_hostile)
        strategy.remember(combine, memory)
        start = strategy.aggregate(combine, number, results)
        memory = strategy.memory(combine)
    scores = task.predict(start, task.transform(rows.test[0], scaler, FRAUD))
    return roc_auc_score(rows.test[1], scores), average_precision_score(rows.test[1], scores), longest

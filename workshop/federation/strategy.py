"""Aggregation strategies: Flower's own by name, their conditions checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.common import ndarrays_to_parameters as pack
from flwr.common import parameters_to_ndarrays as unpack
from flwr.server.strategy import (
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    Strategy,
)

from client_code import task
from workshop.errors import FederationError

# Arrays that a strategy carries from one round to the next; with these a federation resumes where it was.
_MEMORY = ("current_weights", "m_t", "v_t", "momentum_vector")

_QUIET: dict[str, Any] = {"fit_metrics_aggregation_fn": lambda metrics: {}}  # clients send no metrics with an update

# Learning rates and the like were chosen on synthetic rows, three to eight rounds, alike and unlike clients.
# name: how many clients must answer when f of them may be hostile, and how the strategy is made for n answers.
_CHOICES: dict[str, tuple[Callable[[int], int], Callable[[task.Parameters, int, int], Strategy]]] = {
    "FedAvg": (lambda f: 1, lambda start, n, f: FedAvg(**_QUIET)),
    "FedProx": (lambda f: 1, lambda start, n, f: FedProx(proximal_mu=0.01, **_QUIET)),
    "FedAvgM": (
        lambda f: 1,
        lambda start, n, f: FedAvgM(initial_parameters=pack(start), server_momentum=0.5, **_QUIET),
    ),
    "FedAdam": (lambda f: 1, lambda start, n, f: FedAdam(initial_parameters=pack(start), eta=1.0, tau=0.3, **_QUIET)),
    "FedYogi": (lambda f: 1, lambda start, n, f: FedYogi(initial_parameters=pack(start), eta=1.0, tau=0.3, **_QUIET)),
    "FedMedian": (lambda f: 2 * f + 1, lambda start, n, f: FedMedian(**_QUIET)),
    "FedTrimmedAvg": (lambda f: 2 * f + 1, lambda start, n, f: FedTrimmedAvg(beta=_share(f, n), **_QUIET)),
    "Krum": (lambda f: 2 * f + 3, lambda start, n, f: Krum(num_malicious_clients=f, **_QUIET)),
    "MultiKrum": (
        lambda f: 2 * f + 3,
        lambda start, n, f: Krum(num_malicious_clients=f, num_clients_to_keep=n - f, **_QUIET),
    ),
}
NAMES = tuple(_CHOICES)
ROBUST = ("FedMedian", "FedTrimmedAvg", "Krum", "MultiKrum")


def check(name: str, *, answers: int, hostile: int = 0) -> None:
    """Return if a strategy may be used.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    answers : int
        The fewest answers that a round is closed with: its quorum.
    hostile : int
        How many of the clients may work against the others.

    Raises
    ------
    FederationError
        If the name is unknown, or the strategy promises nothing with so few answers.

    Source: Blanchard et al., "Machine Learning with Adversaries", NeurIPS 2017 (Krum: n >= 2f + 3); Yin et al.,
    "Byzantine-Robust Distributed Learning", ICML 2018 (median and trimmed mean: f < n / 2).
    """
    if name not in _CHOICES:
        raise FederationError(f"strategy {name!r} is unknown; choose one of {', '.join(NAMES)}")
    if hostile < 0:
        raise FederationError(f"HOSTILE is {hostile}; it is a number of clients, 0 or more")
    if hostile and name not in ROBUST:
        raise FederationError(
            f"{name} averages whatever it gets and stands no hostile client; choose one of {', '.join(ROBUST)}"
        )
    fewest = _CHOICES[name][0](hostile)
    if answers < fewest:
        raise FederationError(
            f"{name} needs the answers of {fewest} clients to stand {hostile} hostile ones, and a round may be closed "
            f"with {answers}: invite more clients, raise QUORUM, or choose another strategy"
        )


def make(name: str, start: task.Parameters, *, answers: int, hostile: int = 0) -> Strategy:
    """Return a fresh Flower strategy for one round's number of answers; see :func:`check` for the parameters.

    ``start`` are the global parameters of the round.
    """
    check(name, answers=answers, hostile=hostile)
    return _CHOICES[name][1](start, answers, hostile)


def memory(strategy: Strategy) -> dict[str, list[np.ndarray]]:
    """Return the arrays that a strategy carries to its next round, by name."""
    return {name: list(arrays) for name in _MEMORY if (arrays := getattr(strategy, name, None))}


def remember(strategy: Strategy, arrays: Mapping[str, list[np.ndarray]]) -> None:
    """Give a fresh strategy what another one carried."""
    for name, values in arrays.items():
        setattr(strategy, name, list(values))


def fit_config(strategy: Strategy) -> dict[str, Any]:
    """Return what clients must know of a strategy."""
    return {"proximal_mu": strategy.proximal_mu} if isinstance(strategy, FedProx) else {}


def aggregate(strategy: Strategy, server_round: int, results: list) -> task.Parameters:
    """Put the results of a round together: pairs of connection and ``FitRes``, in the order of the clients' names."""
    combined, _ = strategy.aggregate_fit(server_round, results, [])
    if combined is None:
        raise ValueError(f"round {server_round}: {type(strategy).__name__} made nothing of {len(results)} results")
    return [np.asarray(array, dtype=np.float64) for array in unpack(combined)]


def _share(hostile: int, answers: int) -> float:
    """Return which share a trimmed mean cuts off at each end: as many clients as may be hostile.

    The small number keeps ``int(share * answers)`` from falling below the whole number by rounding.
    """
    return min((hostile + 1e-9) / answers, 0.499)

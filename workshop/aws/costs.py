"""Cost estimate: what the blueprint creates in an account on AWS, how long that takes, and what it costs."""

from __future__ import annotations

import pandas as pd

from workshop.aws import blueprint, prices
from workshop.aws.choices import Choices
from workshop.aws.steps import EVERY, SERVER, SERVER_OR_ALL, Cost, Step

HOURS_A_WEEK = 168


def _lines(choices: Choices) -> list[tuple[str, str, Cost, bool]]:
    """Template, account, what it costs there, and whether it stands in an idle week; what only runs comes last."""

    def where(step: Step) -> str:
        return {SERVER_OR_ALL: EVERY if choices.endpoints == "all" else SERVER}.get(step.where, step.where)

    stands = [(step.template, where(step), step.stands(choices), True) for step in blueprint.of(choices)]
    runs = [
        (name, where(step), cost(choices), False) for step in blueprint.of(choices) for name, cost in step.runs.items()
    ]
    return stands + sorted(runs, key=lambda line: line[0])


def table(n_clients: int, choices: Choices | None = None) -> pd.DataFrame:
    """Return one line per template, and what it costs for all accounts together.

    Parameters
    ----------
    n_clients : int
        How many client accounts there are.
    choices : Choices
        What the owners have chosen; by default what costs least.

    Returns
    -------
    DataFrame
        Where it stands, what it is, about how many minutes it takes, dollars an hour in all accounts.
    """
    lines = [
        (name, where, cost.what, cost.minutes, round(cost.hourly * _times(where, n_clients), 3))
        for name, where, cost, _ in _lines(choices or Choices())
    ]
    columns = ["template", "where", "what stands there", "minutes", "$ per hour, in all"]
    return pd.DataFrame(lines, columns=columns).set_index("template")


def idle_week(n_clients: int, choices: Choices | None = None, *, notebook_runs: bool = False) -> float:
    """Return dollars for a week in which everything stands and nothing runs, or only the notebook instance.

    >>> round(idle_week(2)), round(idle_week(2, notebook_runs=True)), round(idle_week(2, Choices(endpoints="all")))
    (6, 15, 72)
    """
    chosen = choices or Choices()
    hourly = sum(cost.hourly * _times(where, n_clients) for _, where, cost, stands in _lines(chosen) if stands)
    return HOURS_A_WEEK * (hourly + prices.NOTEBOOK_ML_T3_MEDIUM * notebook_runs)


def _times(where: str, n_clients: int) -> int:
    return {SERVER: 1, EVERY: n_clients + 1}.get(where, n_clients)

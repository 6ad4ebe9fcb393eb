"""Exercises on runs: the answer is what happens to one more run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3

from workshop.errors import FederationError
from workshop.lessons.exercises.verdicts import Verdict, exercise, verdict

if TYPE_CHECKING:
    from workshop.federation import FederationResult
    from workshop.lessons.arena import Arena
    from workshop.lessons.ward import Ward


@exercise
def poison(
    answer: str, ring: Arena, owner: boto3.Session, name: str, seen: Sequence[FederationResult], **terms
) -> Verdict:
    """Let a client send something else, and judge whether the gate leaves it out by a rule that was not seen yet.

    Parameters
    ----------
    answer : str
        Python that takes the place of the coefficients ``coef``.
    seen : sequence of FederationResult
        Runs whose reasons do not count any more.
    """
    compile(answer, "your poison", "eval")
    with ring.tampered(owner, name, answer):
        result = ring.lead(ring.kick_off(), **terms)
    known = {_rule(reason) for each in seen for reason in _reasons(each, name)}
    worth = f"the model's ROC AUC is {result.history[-1].roc_auc:.3f}"
    if not (reasons := _reasons(result, name)):
        return verdict(False, f"it went through, and {worth}: the gate is coarse. Now write one that it catches")
    if {_rule(reason) for reason in reasons} <= known:
        return verdict(False, f"caught, by a rule that you have seen: {reasons[0]}. What else could it look at?")
    return verdict(True, f"caught: {reasons[0]}; {worth}")


def _reasons(result: FederationResult, name: str) -> list[str]:
    from workshop.federation.events import LeftOut

    return [event.reason for event in result.events if isinstance(event, LeftOut) and event.client == name]


def _rule(reason: str) -> str:
    """Return what a reason says but for its figures."""
    return re.sub(r"[\d.,]+", "", reason)


@exercise
def quorum(answer: int, runs: Ward, name: str, folder: Any, *, rounds: int) -> Verdict:
    """Run without a hospital's policy once more, with a quorum, and judge whether the run ends rather than goes on."""
    but_one = {"start_with": max(answer, len(runs.agents) - 1), "join": 3.0, "round": 1.0}
    try:
        with runs.without_policy(name, folder):
            went_on = runs.lead(rounds=rounds, quorum=answer, **but_one)
    except FederationError as error:
        return verdict(name in str(error), f"the run ended: {error}".splitlines()[0])
    return verdict(False, f"it went on to round {went_on.result.history[-1].round} without {name}: was that wanted?")

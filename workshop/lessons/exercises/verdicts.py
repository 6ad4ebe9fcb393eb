"""Verdicts on exercises: what a learner has filled in is tried, and a wrong answer raises nothing.

An answer that still is ``...`` leaves an exercise open, so that a notebook runs from top to bottom without any.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from data_prep.errors import DataError
from workshop.errors import WorkshopError

OPEN, RIGHT, NOT_YET = "your turn", "right", "not yet"
COLOURS = {OPEN: "#6b6b6b", RIGHT: "#1b7837", NOT_YET: "#b35806"}
PLACEHOLDER = "put your answer in the place of ... and run the cell again"


@dataclass(frozen=True)
class Verdict:
    """What came of an answer: open, right or not yet, and why."""

    state: str
    says: str

    def __repr__(self) -> str:
        return f"{self.state}: {self.says}"

    def _repr_html_(self) -> str:
        style = f"border-left: .4em solid {COLOURS[self.state]}; padding: .2em .8em; max-width: 60em"
        return f'<div style="{style}"><b>{self.state}:</b> {html.escape(self.says)}</div>'


def verdict(right: bool, says: str) -> Verdict:
    """Return right, or not yet, with what was seen."""
    return Verdict(RIGHT if right else NOT_YET, says)


def number(answer: Any) -> float:
    """Read a number, also one in quotes or with a thousand's comma.

    >>> number("2,903"), number(0.5)
    (2903.0, 0.5)
    """
    return float(str(answer).replace(",", "").strip())


def exercise(judge: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Leave an exercise open whose answer, the first argument, is ``...``; say so of one that cannot be read."""

    @functools.wraps(judge)
    def wrapped(answer: Any, *about: Any, **named: Any) -> Verdict:
        if _is_open(answer):
            return Verdict(OPEN, PLACEHOLDER)
        try:
            return judge(answer, *about, **named)
        except (TypeError, ValueError, KeyError, SyntaxError) as error:
            return Verdict(NOT_YET, f"that cannot be read as an answer ({type(error).__name__}: {error})")
        except (WorkshopError, DataError, ClientError, BotoCoreError) as error:
            return Verdict(NOT_YET, f"it was tried, and did not work: {error}")

    return wrapped


def _is_open(answer: Any) -> bool:
    if isinstance(answer, Mapping):
        return any(map(_is_open, answer.values()))
    return answer is ... or (isinstance(answer, list | tuple) and any(map(_is_open, answer)))

"""Exercises on rows, models and scores: the answer is compared with what is the case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workshop.lessons.exercises.verdicts import Verdict, exercise, number, verdict

if TYPE_CHECKING:
    from client_code.problem import Words
    from workshop.tracking.registry import Duel


@exercise
def rows_made(answer: int, counts: pd.DataFrame) -> Verdict:
    """Judge how many rows SMOTE has made, of the table of counts by client."""
    before, after = int(counts["train_rows"].sum()), int(counts["balanced_rows"].sum())
    if number(answer) == after:
        return verdict(False, f"{after:,} rows there are after SMOTE. How many of them are new?")
    if number(answer) != after - before:
        return verdict(False, "compare train_rows with balanced_rows, client by client, and add up")
    return verdict(
        True, f"{after - before:,} of {after:,} rows are nobody's. A client's weight is that of its real ones"
    )


@exercise
def numbers_sent(answer: int, parameters: Sequence[np.ndarray]) -> Verdict:
    """Judge how many numbers a client sends as its model in one round."""
    said, size = number(answer), sum(array.size for array in parameters)
    if said == size - 1:
        return verdict(False, "one for each input, and one that belongs to none of them: what is missing?")
    if said != size:
        return verdict(
            False, "count the model's numbers, not bytes and not rows: what is a logistic regression made of?"
        )
    return verdict(True, f"{size - 1} coefficients and an intercept, whether a client has fifty rows or a million")


@exercise
def investigators(answer: int, labels: np.ndarray, probabilities: np.ndarray, words: Words) -> Verdict:
    """Judge how far down the list somebody must go to find half of those of label 1."""
    answer = int(number(answer))
    hits = labels[np.argsort(-probabilities, kind="stable")].cumsum()
    if not 1 <= answer <= len(hits):
        return verdict(False, f"a number from 1 to {len(hits):,}, please")
    half, found = hits[-1] / 2, hits[answer - 1]
    what = f"the {answer:,} that rank highest hold {found} of {hits[-1]} {words.positive} {words.subjects}"
    if found < half:
        return verdict(False, f"{what}: go on")
    if answer > 1 and hits[answer - 2] >= half:
        return verdict(False, f"{what}: fewer will do")
    weeks, random = np.ceil([answer / 50, len(labels) / 100]).astype(int)
    return verdict(True, f"{what}. Ten investigators need {weeks} weeks, and {random} if they pick at random")


@exercise
def told_apart(answer: float, duel: Duel) -> Verdict:
    """Judge how small a difference of two models a test table can tell: half of the interval's width."""
    half = (duel.high - duel.low) / 2
    if abs(number(answer) - half) > 0.15 * half:
        return verdict(False, "look at the range in brackets above: how far is it from its middle to an end?")
    return verdict(True, f"about {half:.4f}: two models that differ by less are the same to this table")


@exercise
def one_sided(answer: str, shares: pd.Series) -> Verdict:
    """Judge in which hospital the same answer for every patient would be right most often."""
    often = pd.concat([shares, 1 - shares], axis=1).max(axis=1)
    said = f"there the same answer for everybody is right for {often[answer]:.0%} of the patients"
    if often[answer] < often.max():
        return verdict(False, f"{said}; somewhere it is more")
    return verdict(True, f"{said}. Accuracy would call that a good model")


@exercise
def fewest(answer: str, sites: pd.DataFrame) -> Verdict:
    """Judge at which owner a single row moves the ROC AUC most: where the rarer class has fewest rows, but some."""
    rarer = pd.concat([sites["positives"], sites["rows"] - sites["positives"]], axis=1).min(axis=1)
    few = rarer[rarer > 0].min()
    if rarer[answer] == 0:
        return verdict(False, f"{answer}'s test rows are of one class: there is no ROC AUC that could move")
    if rarer[answer] > few:
        return verdict(False, f"{answer} has {rarer[answer]} test rows of its rarer class; another has fewer")
    return verdict(
        True,
        f"{rarer[answer]} of its rarer class: if one of them ranks elsewhere, ROC AUC moves by up to {1 / few:.2f}",
    )

"""Evaluation of models: on real rows, at a threshold chosen elsewhere, always beside the base rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

from client_code.problem import Words


@dataclass(frozen=True)
class Scores:
    """How good a model is on one test table; every number lies between 0 and 1."""

    roc_auc: float  # chance that a random row of label 1 ranks above a random one of label 0
    average_precision: float  # area under the precision-recall curve; the base rate is what chance gives
    balanced_accuracy: float  # mean of the shares found in both classes, at the threshold
    brier: float  # mean squared error of the probability: lower is better
    precision_at_k: float  # share of label 1 among the k rows that rank highest
    base_rate: float  # share of label 1 in the table


def score(labels: np.ndarray, probabilities: np.ndarray, *, threshold: float, k: int = 50) -> Scores:
    """Score probabilities of label 1 ``(n_rows,)`` against labels 0 and 1 ``(n_rows,)``.

    Parameters
    ----------
    threshold : float
        From which probability on a row is flagged; chosen on other rows than these.
    k : int
        How many rows somebody has time to look at.
    """
    top = np.argsort(-probabilities, kind="stable")[:k]
    return Scores(
        roc_auc=float(roc_auc_score(labels, probabilities)),
        average_precision=float(average_precision_score(labels, probabilities)),
        balanced_accuracy=float(balanced_accuracy_score(labels, probabilities >= threshold)),
        brier=float(brier_score_loss(labels, probabilities)),
        precision_at_k=float(labels[top].mean()),
        base_rate=float(labels.mean()),
    )


def nobody(labels: np.ndarray) -> Scores:
    """Score the model that gives every row the base rate and flags nobody."""
    base_rate = float(labels.mean())
    return Scores(0.5, base_rate, 0.5, base_rate * (1 - base_rate), base_rate, base_rate)


def comparison(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Return one line per model."""
    return pd.DataFrame({name: asdict(entry) for name, entry in scores.items()}).T.rename_axis("model")


def intervals(
    labels: np.ndarray, models: Mapping[str, np.ndarray], *, reference: str = "global", seed: int = 0, times: int = 200
) -> pd.DataFrame:
    """Say how far scores would move on another test table: a bootstrap, the same rows for every model.

    Differences are paired: what makes a test table hard is hard for all models, and no part of the difference.

    Parameters
    ----------
    models : mapping
        By name, probabilities of label 1 ``(n_rows,)``.
    reference : str
        Of which model's score every other one is subtracted.
    times : int
        Test tables that are drawn, class by class, with replacement.

    Returns
    -------
    DataFrame
        One line per model, columns ``(measure, value | low | high | gain | gain_low | gain_high)``: the score, where
        95 % of the drawn ones lie, and the same of the reference's score minus the model's.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals).
    """
    rng, by_class = np.random.default_rng(seed), [np.flatnonzero(labels == kind) for kind in (0, 1)]
    drawn = [np.concatenate([rng.choice(rows, len(rows)) for rows in by_class]) for _ in range(times)]
    often = np.array([np.bincount(rows, minlength=len(labels)) for rows in drawn]).T
    resampled = {name: _weighted(labels, scores, often) for name, scores in models.items()}
    lines: dict[str, dict[tuple[str, str], float]] = {name: {} for name in models}
    for measure, function in _RANKED.items():
        value = {name: function(labels, scores) for name, scores in models.items()}
        again = {name: scores[measure] for name, scores in resampled.items()}
        for name, line in lines.items():
            gain = again[reference] - again[name]
            line[measure, "value"], line[measure, "gain"] = value[name], value[reference] - value[name]
            line[measure, "low"], line[measure, "high"] = np.quantile(again[name], [0.025, 0.975])
            line[measure, "gain_low"], line[measure, "gain_high"] = np.quantile(gain, [0.025, 0.975])
    return pd.DataFrame(lines).T.rename_axis("model")


def _weighted(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return scikit-learn's ROC AUC and average precision for many sets of weights ``(n_rows, n_sets)`` at once.

    One sort serves all sets; rows of the same score count as one threshold.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    positive, negative = (
        np.add.reduceat(weights[order] * (labels[order] == kind)[:, None], starts).astype(float) for kind in (1, 0)
    )
    hits, alarms = positive.cumsum(axis=0), negative.cumsum(axis=0)
    pairs = positive * (alarms[-1] - alarms + negative / 2)
    precision = hits / np.maximum(hits + alarms, 1)
    return {
        "roc_auc": pairs.sum(axis=0) / (hits[-1] * alarms[-1]),
        "average_precision": (positive * precision).sum(axis=0) / hits[-1],
    }


_RANKED = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}


def gains(table: pd.DataFrame, *, of: str = " alone") -> str:
    """Say in a sentence which clients gain from the federation, and which do not, by :func:`intervals` of ROC AUC.

    >>> seen = {"gain": [0.03, 0.0], "gain_low": [0.01, -0.02], "gain_high": [0.05, 0.02]}
    >>> seen = pd.DataFrame(seen, index=["client-1 alone", "client-2 alone"])
    >>> gains(pd.concat({"roc_auc": seen}, axis=1))
    'client-1 gains +0.030 (+0.010 to +0.050); for client-2 this test table does not say (-0.020 to +0.020)'
    """
    said = []
    for name, line in table["roc_auc"].iterrows():
        if not str(name).endswith(of):
            continue
        client, between = str(name).removesuffix(of), f"({line['gain_low']:+.3f} to {line['gain_high']:+.3f})"
        if line["gain_low"] > 0:
            said.append(f"{client} gains {line['gain']:+.3f} {between}")
        elif line["gain_high"] < 0:
            said.append(f"{client} loses {line['gain']:+.3f} {between}")
        else:
            said.append(f"for {client} this test table does not say {between}")
    return "; ".join(said)


def by_site(
    labels: np.ndarray, models: Mapping[str, np.ndarray], sites: Sequence[str], *, measure: str = "roc_auc"
) -> pd.DataFrame:
    """Score every model on every owner's test rows alone.

    Parameters
    ----------
    sites : sequence of str, shape (n_rows,)
        Whose row each is.
    measure : {"roc_auc", "average_precision"}
        What of.

    Returns
    -------
    DataFrame
        One line per site: rows, rows of label 1, and per model the score; NaN where the site's rows are of one class,
        for which there is none.
    """
    lines = {}
    for site in dict.fromkeys(sites):
        here = np.array([name == site for name in sites])
        both = len(np.unique(labels[here])) == 2
        function = _RANKED[measure]
        scores = {name: function(labels[here], all_[here]) if both else np.nan for name, all_ in models.items()}
        lines[site] = {"rows": int(here.sum()), "positives": int(labels[here].sum()), **scores}
    return pd.DataFrame(lines).T.rename_axis("site").astype({"rows": int, "positives": int})


def confusion(labels: np.ndarray, probabilities: np.ndarray, words: Words, *, threshold: float) -> pd.DataFrame:
    """Count rows by what they are and what the model says at the threshold."""
    flagged = probabilities >= threshold
    counts = [[int((flagged[labels == kind] == said).sum()) for said in (False, True)] for kind in (0, 1)]
    return pd.DataFrame(counts, index=list(words.classes), columns=["passed", "flagged"]).rename_axis(words.subject)


def recalibrate(probabilities: np.ndarray, *, real_rate: float, trained_rate: float) -> np.ndarray:
    """Undo what balanced training does to probabilities: shift the log-odds by the difference of the priors.

    Parameters
    ----------
    probabilities : ndarray, shape (n_rows,)
        As the model gives them.
    real_rate, trained_rate : float
        Share of label 1 among the clients' real rows, and among the rows the model was fitted on.

    Source: King and Zeng 2001, Logistic regression in rare events data, prior correction.

    >>> recalibrate(np.array([0.5]), real_rate=0.1, trained_rate=0.5).round(3).tolist()
    [0.1]
    """
    odds = probabilities / (1 - probabilities)
    odds *= real_rate / (1 - real_rate) * (1 - trained_rate) / trained_rate
    return odds / (1 + odds)


def record(scores: Mapping[str, Scores]) -> dict:
    """Put all scores into JSON values, the clients' own models under ``local``, for ``build/summary.json``."""
    lines = {name: asdict(entry) for name, entry in scores.items()}
    local = {name.removesuffix(" alone"): lines.pop(name) for name in list(lines) if name.endswith(" alone")}
    return {"metrics": {name.replace(" ", "_"): line for name, line in lines.items()} | {"local": local}}

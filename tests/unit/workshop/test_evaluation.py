"""Scores, against numbers worked by hand."""

import made_problems
import numpy as np
import pytest

from workshop.science import evaluation

LABELS = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.8, 0.7, 0.9])


def test_scores_of_five_providers_worked_by_hand():
    scores = evaluation.score(LABELS, PROBABILITIES, threshold=0.75, k=2)
    assert scores.roc_auc == pytest.approx(5 / 6)  # of 2 x 3 pairs only (0.7, 0.8) stands the wrong way round
    assert scores.average_precision == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)  # hits at ranks 1 and 3
    assert scores.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.brier == pytest.approx((0.01 + 0.04 + 0.64 + 0.09 + 0.01) / 5)
    assert scores.precision_at_k == pytest.approx(1 / 2)
    assert scores.base_rate == pytest.approx(2 / 5)


def test_nobody_scores_what_chance_gives():
    scores = evaluation.nobody(LABELS)
    constant = evaluation.score(LABELS, np.full(5, 0.4), threshold=0.5, k=5)
    for name in ("roc_auc", "average_precision", "balanced_accuracy", "brier", "precision_at_k", "base_rate"):
        assert getattr(scores, name) == pytest.approx(getattr(constant, name)), name


def test_the_confusion_matrix_counts_every_provider_once():
    counts = evaluation.confusion(LABELS, PROBABILITIES, made_problems.WORDS, threshold=0.75)
    assert counts.to_numpy().tolist() == [[2, 1], [1, 1]]
    assert (list(counts.index), counts.index.name) == (["sound", "failing"], "machine")


def test_recalibration_gives_back_the_real_rate_and_keeps_the_order():
    corrected = evaluation.recalibrate(PROBABILITIES, real_rate=0.1, trained_rate=0.5)
    assert (np.argsort(corrected) == np.argsort(PROBABILITIES)).all()
    assert corrected[2] == pytest.approx(4 / (4 + 9))  # odds 4, times 1/9


def test_the_record_for_scripts_puts_local_models_under_their_clients():
    scores = {"global": evaluation.nobody(LABELS), "client-1 alone": evaluation.nobody(LABELS)}
    metrics = evaluation.record(scores)["metrics"]
    assert set(metrics) == {"global", "local"}
    assert metrics["local"]["client-1"]["base_rate"] == pytest.approx(0.4)

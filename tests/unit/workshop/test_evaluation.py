"""Scores, against numbers worked by hand."""

import made_problems
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

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


@pytest.fixture(scope="module")
def ranked():
    """Labels of 600 rows, and three models of one signal: a good one, nearly the same one, and a poor one."""
    rng = np.random.default_rng(0)
    labels = (rng.random(600) < 0.2).astype(int)
    signal = labels + rng.normal(0, 1, 600)
    models = {
        "global": signal,
        "client-1 alone": signal + rng.normal(0, 0.02, 600),
        "client-2 alone": signal + rng.normal(0, 3, 600),
    }
    return labels, {name: 1 / (1 + np.exp(-scores)) for name, scores in models.items()}


def test_paired_differences_are_narrower_than_the_scores_own_intervals(ranked):
    labels, models = ranked
    table = evaluation.intervals(labels, models, seed=3)
    for measure in ("roc_auc", "average_precision"):
        lines = table[measure]
        assert (lines["low"] < lines["value"]).all()
        assert (lines["value"] < lines["high"]).all()
        assert lines.loc["global", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
        near = lines.loc["client-1 alone"]
        assert near["gain_high"] - near["gain_low"] < 0.2 * (near["high"] - near["low"])
        assert near["gain_low"] < 0 < near["gain_high"]
        assert lines.loc["client-2 alone", "gain_low"] > 0.05
    assert table.loc["global", ("roc_auc", "value")] == pytest.approx(roc_auc_score(labels, models["global"]))
    pd.testing.assert_frame_equal(table, evaluation.intervals(labels, models, seed=3))


def test_who_gains_is_said_in_a_sentence(ranked):
    labels, models = ranked
    said = evaluation.gains(evaluation.intervals(labels, models | {"best alone": labels * 0.5 + 0.2}))
    assert "for client-1 this test table does not say" in said
    assert "client-2 gains +0." in said
    assert "best loses -0." in said
    assert "global" not in said


def test_a_site_of_one_class_has_no_roc_auc(ranked):
    labels, models = ranked
    sites = np.where(np.arange(600) < 300, "north", np.where(labels == 1, "sick ward", "south"))
    table = evaluation.by_site(labels, models, sites)
    assert table["rows"].sum() == 600
    assert table.loc["sick ward", "positives"] == table.loc["sick ward", "rows"]
    assert table.loc[["sick ward", "south"], list(models)].isna().all(axis=None)
    first = labels[:300], models["global"][:300]
    assert table.loc["north", "global"] == pytest.approx(roc_auc_score(*first))


def test_scores_of_many_resampled_tables_are_scikit_learns():
    rng = np.random.default_rng(4)
    labels = (rng.uniform(size=300) < 0.2).astype(int)
    scores = np.round(np.clip(0.3 * labels + rng.uniform(size=300), 0, 1), 2)  # with ties
    rows = [rng.integers(0, 300, 300) for _ in range(20)]
    often = np.array([np.bincount(drawn, minlength=300) for drawn in rows]).T
    seen = evaluation._weighted(labels, scores, often)
    expected = [(roc_auc_score(labels[i], scores[i]), average_precision_score(labels[i], scores[i])) for i in rows]
    np.testing.assert_allclose(np.array(list(seen.values())).T, expected, rtol=0, atol=1e-12)

"""The learning: what a client computes, against scikit-learn and against numbers worked by hand."""

import warnings
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from client_code import task
from client_code.problem import Encoded
from workshop import problems

FRAUD = problems.load()


@pytest.fixture
def rows():
    rng = np.random.default_rng(7)
    features = rng.lognormal(mean=3.0, sigma=1.5, size=(300, 4))
    labels = (np.log1p(features) @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=300) > 2.0).astype(int)
    return features, labels


def test_the_scaler_of_three_clients_is_the_scaler_of_all_rows(rows):
    features, _ = rows
    parts = [features[:60], features[60:140], features[140:]]
    scaler = task.pooled_scaler([task.statistics(part, FRAUD) for part in parts], FRAUD)
    pooled = StandardScaler().fit(np.log1p(features))  # an independent implementation
    np.testing.assert_allclose(scaler.mean, pooled.mean_, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale, pooled.scale_, rtol=1e-12)


CONSTANTS = (0, 1, 2, 7, 10, 42, 59, 99_999, 1e6 + 1, 0.1, 1 / 3, 1e-9, 123_456_789, 1e15, 1e20)


@pytest.mark.parametrize("sizes", [(50,), (50, 51), (50, 977, 64)])
def test_a_column_that_never_changes_has_scale_1_whatever_its_value(sizes):
    values = np.array([*range(101), *CONSTANTS], dtype=float)
    wide = replace(FRAUD, features=FRAUD.features[:1] * len(values), transforms=FRAUD.transforms[:1] * len(values))
    scaler = task.pooled_scaler([task.statistics(np.tile(values, (rows, 1)), wide) for rows in sizes], wide)
    assert (scaler.scale == 1.0).all()
    assert (scaler.mean == np.log1p(values)).all()
    assert not task.transform(np.tile(values, (3, 1)), scaler, wide).any()


def parts_of(values, sizes):
    return np.split(values, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("mean", [1.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("sizes", [(50, 50), (50, 500, 77), (60,) * 10])
def test_a_tiny_variance_beside_a_huge_mean_keeps_its_digits(mean, spread, sizes):
    rng = np.random.default_rng(3)
    values = mean + spread * rng.uniform(size=(sum(sizes), 5))
    scaler = task.pooled_scaler([task.statistics(part, FRAUD) for part in parts_of(values, sizes)], FRAUD)
    pooled = StandardScaler().fit(np.log1p(values))
    np.testing.assert_allclose(scaler.mean, pooled.mean_, rtol=1e-15 * 4)
    np.testing.assert_allclose(scaler.scale, pooled.scale_, rtol=0, atol=1e-12)
    # Sums of squares of the same numbers would leave some 7 digits less than these.
    exact = np.log1p(values.astype(np.longdouble)).std(axis=0)
    kept = pooled.scale_ != 1.0
    np.testing.assert_allclose(scaler.scale[kept], exact.astype(float)[kept], rtol=1e-4)


def test_one_client_may_be_constant_where_others_are_not():
    """By hand: logarithms 1 (60 rows), and 0 and 2 (30 rows each): mean 1, variance 60 / 120; two constants apart."""
    ones = np.expm1(np.column_stack([np.full(60, 1.0), np.full(60, 4.0)]))
    others = np.expm1(np.column_stack([np.tile([0.0, 2.0], 30), np.full(60, 8.0)]))
    scaler = task.pooled_scaler([task.statistics(ones, FRAUD), task.statistics(others, FRAUD)], FRAUD)
    np.testing.assert_allclose(scaler.mean, [1.0, 6.0], rtol=1e-15)
    np.testing.assert_allclose(scaler.scale, [np.sqrt(0.5), 2.0], rtol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_moments_add_up_however_the_rows_are_dealt(seed):
    """Clients of one row too: the floor of 50 is about what may be shared, not about arithmetic."""
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.uniform(-50, 50, size=20), 10.0 ** rng.integers(-6, 3, size=20), size=(400, 20))
    cuts = np.sort(rng.choice(np.arange(1, 400), size=60, replace=False))
    scaler = task.pooled_scaler([task.moments(part) for part in np.split(values, cuts)], FRAUD)
    one_by_one = task.pooled_scaler([task.moments(row[None]) for row in values], FRAUD)
    pooled = StandardScaler().fit(values)
    for found in (scaler, one_by_one):
        np.testing.assert_allclose(found.mean, pooled.mean_, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.scale, pooled.scale_, rtol=0, atol=1e-12)


def test_the_order_of_clients_makes_no_difference():
    rng = np.random.default_rng(1)
    parts = [task.statistics(rng.lognormal(5, 2, size=(rows, 6)), FRAUD) for rows in (50, 300, 71)]
    forth, back = task.pooled_scaler(parts, FRAUD), task.pooled_scaler(parts[::-1], FRAUD)
    np.testing.assert_allclose(forth.mean, back.mean, rtol=1e-14)
    np.testing.assert_allclose(forth.scale, back.scale, rtol=1e-14)


def test_sums_over_too_few_rows_are_refused():
    with pytest.raises(task.TooFewRows, match="49 training rows"):
        task.statistics(np.ones((49, 3)), FRAUD)


def test_a_binary_model_starts_with_one_row_of_zeros():
    model = task.new_model()
    task.set_initial_params(model, 49)
    coef, intercept = task.get_model_parameters(model)
    assert coef.shape == (1, 49)
    assert intercept.shape == (1,)
    assert not coef.any()


def test_training_to_the_end_reaches_what_scikit_learn_reaches(rows):
    features, labels = rows
    scaler = task.pooled_scaler([task.statistics(features, FRAUD)], FRAUD)
    scaled = task.transform(features, scaler, FRAUD)
    model = task.new_model(max_iter=1000)
    trained = task.fit(model, [np.zeros((1, 4)), np.zeros(1)], scaled, labels)
    reference = LogisticRegression(max_iter=1000).fit(scaled, labels)
    np.testing.assert_allclose(trained[0], reference.coef_, atol=1e-4)  # lbfgs stops at a gradient of 1e-4


def test_training_starts_from_the_parameters_that_came_in(rows):
    features, labels = rows
    scaled = task.transform(features, task.pooled_scaler([task.statistics(features, FRAUD)], FRAUD), FRAUD)
    start = [np.array([[0.3, -0.2, 0.1, 0.0]]), np.array([0.5])]
    one_step = task.fit(task.new_model(max_iter=1), start, scaled, labels)
    from_zero = task.fit(task.new_model(max_iter=1), [np.zeros((1, 4)), np.zeros(1)], scaled, labels)
    assert not np.allclose(one_step[0], from_zero[0])


@pytest.mark.parametrize("penalty", ["l1", "l2", "none"])
def test_every_penalty_of_the_original_sample_trains_without_a_warning(rows, penalty):
    features, labels = rows
    scaled = task.transform(features, task.pooled_scaler([task.statistics(features, FRAUD)], FRAUD), FRAUD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = task.fit(task.new_model(penalty=penalty), [np.zeros((1, 4)), np.zeros(1)], scaled, labels)
    assert np.isfinite(trained[0]).all()


@pytest.mark.parametrize(("options", "message"), [({"penalty": "l3"}, "penalty"), ({"max_iter": 0}, "max-iter")])
def test_a_hyperparameter_that_makes_no_sense_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        task.new_model(**options)


def test_the_threshold_has_the_best_balanced_accuracy():
    labels = np.array([0, 0, 0, 1, 0, 1])
    probabilities = np.array([0.1, 0.2, 0.3, 0.35, 0.6, 0.9])
    # By hand: at 0.35 both fraudulent and three of four honest are right, (1 + 3/4) / 2; at 0.9 (1/2 + 1) / 2.
    assert task.best_threshold(labels, probabilities) == 0.35


def test_the_pipeline_takes_the_raw_columns_and_says_what_the_arrays_say(rows, tmp_path):
    features, labels = rows
    scaler = task.pooled_scaler([task.statistics(features, FRAUD)], FRAUD)
    trained = task.fit(
        task.new_model(), [np.zeros((1, 4)), np.zeros(1)], task.transform(features, scaler, FRAUD), labels
    )
    path = task.save_model(tmp_path, task.build_pipeline(trained, scaler, columns(**dict.fromkeys("abcd", "log1p"))))
    loaded = joblib.load(path)
    frame = pd.DataFrame(features, columns=list("abcd"))
    expected = task.predict(trained, task.transform(features, scaler, FRAUD))
    np.testing.assert_allclose(loaded.predict_proba(frame)[:, 1], expected, rtol=1e-12)


def columns(**transforms):
    return [Encoded(name, transform, (), False, False) for name, transform in transforms.items()]


def test_the_pipeline_refuses_columns_in_another_order():
    pipeline = task.build_pipeline(
        [np.ones((1, 2)), np.zeros(1)], task.Scaler(np.zeros(2), np.ones(2)), columns(a="log1p", b="log1p")
    )
    with pytest.raises(ValueError, match="order"):
        pipeline.predict_proba(pd.DataFrame({"b": [1.0], "a": [2.0]}))


def test_a_pipeline_takes_logarithms_only_where_the_problem_does():
    """By hand: z = (log1p(e - 1) - 0) / 1 + 2 * (-3 - 1) / 2 + 4 * log1p(0) = 1 - 4, in the order of the columns."""
    transforms = columns(a="log1p", b="none", c="log1p")
    scaler = task.Scaler(np.array([0.0, 1.0, 0.0]), np.array([1.0, 2.0, 1.0]))
    pipeline = task.build_pipeline([np.array([[1.0, 2.0, 4.0]]), np.zeros(1)], scaler, transforms)
    row = pd.DataFrame({"a": [np.e - 1], "b": [-3.0], "c": [0.0]})
    assert pipeline.predict_proba(row)[0, 1] == pytest.approx(1 / (1 + np.exp(3.0)))

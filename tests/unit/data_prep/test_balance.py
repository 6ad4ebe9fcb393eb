"""SMOTE on one client's training rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from client_code import schema
from data_prep import balance, synthetic
from workshop import problems

FRAUD = problems.load()

AMOUNTS = [name for name in FRAUD.feature_names if name != "female"]


@pytest.fixture(scope="module")
def frame():
    return synthetic.generate(FRAUD, 1000, seed=4).drop_duplicates(ignore_index=True)


def few(frame, positives):
    fraud = frame[frame[FRAUD.label.name] == 1].head(positives)
    return pd.concat([frame[frame[FRAUD.label.name] == 0].head(100), fraud], ignore_index=True)


def test_real_rows_come_first_and_stay_as_they_were(frame):
    balanced = balance.smote(frame, FRAUD, ratio=1.0, seed=0)
    assert balanced.iloc[: len(frame)].reset_index(drop=True).equals(frame)
    assert balanced.iloc[len(frame) :][FRAUD.label.name].eq(1).all()


def test_the_ratio_is_reached(frame):
    honest = int((frame[FRAUD.label.name] == 0).sum())
    assert balance.smote(frame, FRAUD, ratio=1.0, seed=0)[FRAUD.label.name].sum() == honest
    assert balance.smote(frame, FRAUD, ratio=0.25, seed=0)[FRAUD.label.name].sum() == honest // 4


def test_new_rows_lie_between_fraudulent_ones_and_keep_their_types(frame):
    balanced = balance.smote(frame, FRAUD, ratio=1.0, seed=0)
    made, fraud = balanced.iloc[len(frame) :], frame[frame[FRAUD.label.name] == 1]
    schema.check_table(balanced, FRAUD, file="balanced")
    assert set(made["female"]) <= {0, 1}
    assert (made[AMOUNTS].min() >= fraud[AMOUNTS].min() - 1e-6).all()
    assert (made[AMOUNTS].max() <= fraud[AMOUNTS].max() + 1e-6).all()
    assert made.dtypes.equals(frame.dtypes)
    # Not copies: the amounts are new.
    assert not made[AMOUNTS].merge(fraud[AMOUNTS], how="inner").shape[0] > len(made) * 0.05


def test_women_stay_as_frequent_among_the_new_rows(frame):
    large = synthetic.generate(FRAUD, 6000, seed=4).drop_duplicates(ignore_index=True)
    made = balance.smote(large, FRAUD, ratio=1.0, seed=0).iloc[len(large) :]
    share = large.loc[large[FRAUD.label.name] == 1, "female"].mean()
    assert made["female"].mean() == pytest.approx(share, abs=0.04)


def test_counts_that_were_read_as_floats_stay_whole(frame):
    floats = frame.astype(float).astype({FRAUD.label.name: int})
    made = balance.smote(floats, FRAUD, ratio=1.0, seed=0).iloc[len(frame) :]
    assert (made["tot_suplr_srvcs_sum"] % 1 == 0).all()


def test_undersampling_leaves_as_many_honest_as_fraudulent_rows(frame):
    balanced = balance.smote(frame, FRAUD, ratio=0.25, seed=0, undersample=True)
    honest = int((frame[FRAUD.label.name] == 0).sum())
    assert balanced[FRAUD.label.name].value_counts().to_dict() == {0: honest // 4, 1: honest // 4}


@pytest.mark.parametrize("positives", [2, 3, 5, 6])
def test_few_fraudulent_rows_have_fewer_neighbours(frame, positives):
    balanced = balance.smote(few(frame, positives), FRAUD, ratio=1.0, seed=0)
    assert balanced[FRAUD.label.name].sum() == 100


def test_a_single_fraudulent_row_is_refused_with_what_to_do(frame):
    with pytest.raises(
        balance.BalanceError, match="client: 1 fraudulent training rows: SMOTE needs at least 2; choose BALANCE none"
    ):
        balance.smote(few(frame, 1), FRAUD, ratio=1.0, seed=0)


def test_rows_that_are_balanced_already_come_back_unchanged(frame):
    rows = few(frame, 60)
    assert balance.smote(rows, FRAUD, ratio=0.5, seed=0).equals(rows)


def test_it_follows_from_the_seed(frame):
    first, again, other = (balance.smote(frame, FRAUD, ratio=1.0, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not np.array_equal(first[AMOUNTS], other[AMOUNTS])


def rows(frame, honest, fraudulent):
    large = synthetic.generate(FRAUD, 6000, seed=4).drop_duplicates()
    return pd.concat([large[large[FRAUD.label.name] == kind].head(n) for kind, n in enumerate((honest, fraudulent))])


@pytest.mark.parametrize(
    ("honest", "fraudulent", "ratio", "made"),
    [
        (200, 50, 0.25, 0),
        (201, 50, 0.25, 0),  # a quarter of 201 is 50.25: no whole row is missing
        (203, 50, 0.25, 0),
        (204, 50, 0.25, 1),
        (100, 28, 0.29, 1),  # 0.29 * 100 is 28.999999999999996 in binary
        (60, 60, 1.0, 0),
        (60, 80, 1.0, 0),
        (80, 1, 0.0125, 0),  # one row of the rare class needs no line when nothing must be made
    ],
)
def test_as_many_rows_are_made_as_are_missing(frame, honest, fraudulent, ratio, made):
    table = rows(frame, honest, fraudulent).reset_index(drop=True)
    balanced = balance.smote(table, FRAUD, ratio=ratio, seed=0)
    assert len(balanced) == len(table) + made
    assert balanced.head(len(table)).equals(table)


@pytest.mark.parametrize(("honest", "fraudulent"), [(201, 50), (203, 51), (60, 60), (60, 80), (500, 100), (3, 2)])
def test_undersampling_takes_honest_rows_only(frame, honest, fraudulent):
    table = rows(frame, honest, fraudulent).reset_index(drop=True)
    balanced = balance.smote(table, FRAUD, ratio=0.25, seed=0, undersample=True)
    left = balanced[FRAUD.label.name].value_counts()
    assert left[1] == max(fraudulent, honest // 4)
    assert left[0] == min(honest, left[1])
    merged = balanced[balanced[FRAUD.label.name] == 0].merge(table, how="left", indicator=True)
    assert (merged["_merge"] == "both").all()


def test_a_made_flag_is_that_of_the_nearer_row(frame):
    """Two fraudulent rows, alike but for one flag and one amount: the amount says how far along the line a row lies."""
    honest = frame[frame[FRAUD.label.name] == 0].head(400)
    pair = frame[frame[FRAUD.label.name] == 1].head(1)
    low, high = 10.0, 100_000.0
    pair = pd.concat([pair.assign(female=0, total_drug_cost_sum=low), pair.assign(female=1, total_drug_cost_sum=high)])
    table = pd.concat([honest, pair]).astype({"total_drug_cost_sum": float}).reset_index(drop=True)
    made = balance.smote(table, FRAUD, ratio=1.0, seed=0).iloc[len(table) :]
    along = (np.log1p(made["total_drug_cost_sum"]) - np.log1p(low)) / (np.log1p(high) - np.log1p(low))
    clear = (along - 0.5).abs() > 1e-3
    assert clear.sum() > 390
    assert (made["female"] == (along > 0.5))[clear].all()
    assert ((along > 0.5) & (along < 0.58)).sum() > 10  # these were 0 when the half-way was sought between 0 and 1


def test_flags_of_which_one_is_set_stay_so(frame):
    """One-hot groups: made rows belong to a category, as the rows that they lie between do."""
    group = ["tot_suplrs_mean", "tot_suplrs_sum", "female"]
    rng = np.random.default_rng(0)
    hot = pd.DataFrame(np.eye(3, dtype=int)[rng.integers(3, size=len(frame))], columns=group)
    table = frame.assign(**{name: hot[name].astype(frame[name].dtype) for name in group})
    features = tuple(replace(column, kind="flag") if column.name in group else column for column in FRAUD.features)
    made = balance.smote(table, replace(FRAUD, features=features), ratio=1.0, seed=0).iloc[len(table) :]
    assert (made[group].sum(axis=1) == 1).all()


def test_counts_beyond_an_int64_stay_what_they_are(frame):
    """2**53 is the last whole number up to which a float64 holds them all."""
    large = frame.astype({"line_svc_cnt_sum": float})
    large.loc[large.index[-5:], "line_svc_cnt_sum"] = 1e19
    made = balance.smote(large, FRAUD, ratio=1.0, seed=0).iloc[len(frame) :]
    assert made["line_svc_cnt_sum"].between(0, 1.0001e19).all()

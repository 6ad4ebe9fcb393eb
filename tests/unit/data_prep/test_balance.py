"""SMOTE on one client's training rows."""

import numpy as np
import pandas as pd
import pytest

from client_code import schema
from data_prep import balance, synthetic

AMOUNTS = [name for name in schema.FEATURES if name != "female"]


@pytest.fixture(scope="module")
def frame():
    return synthetic.generate(1000, seed=4).drop_duplicates(ignore_index=True)


def few(frame, positives):
    fraud = frame[frame[schema.LABEL] == 1].head(positives)
    return pd.concat([frame[frame[schema.LABEL] == 0].head(100), fraud], ignore_index=True)


def test_real_rows_come_first_and_stay_as_they_were(frame):
    balanced = balance.smote(frame, ratio=1.0, seed=0)
    assert balanced.iloc[: len(frame)].reset_index(drop=True).equals(frame)
    assert balanced.iloc[len(frame) :][schema.LABEL].eq(1).all()


def test_the_ratio_is_reached(frame):
    honest = int((frame[schema.LABEL] == 0).sum())
    assert balance.smote(frame, ratio=1.0, seed=0)[schema.LABEL].sum() == honest
    assert balance.smote(frame, ratio=0.25, seed=0)[schema.LABEL].sum() == honest // 4


def test_new_rows_lie_between_fraudulent_ones_and_keep_their_types(frame):
    balanced = balance.smote(frame, ratio=1.0, seed=0)
    made, fraud = balanced.iloc[len(frame) :], frame[frame[schema.LABEL] == 1]
    schema.check_table(balanced, file="balanced")
    assert set(made["female"]) <= {0, 1}
    assert (made[AMOUNTS].min() >= fraud[AMOUNTS].min() - 1e-6).all()
    assert (made[AMOUNTS].max() <= fraud[AMOUNTS].max() + 1e-6).all()
    assert made.dtypes.equals(frame.dtypes)
    # Not copies: the amounts are new.
    assert not made[AMOUNTS].merge(fraud[AMOUNTS], how="inner").shape[0] > len(made) * 0.05


def test_women_stay_as_frequent_among_the_new_rows(frame):
    large = synthetic.generate(6000, seed=4).drop_duplicates(ignore_index=True)
    made = balance.smote(large, ratio=1.0, seed=0).iloc[len(large) :]
    share = large.loc[large[schema.LABEL] == 1, "female"].mean()
    assert made["female"].mean() == pytest.approx(share, abs=0.04)


def test_counts_that_were_read_as_floats_stay_whole(frame):
    floats = frame.astype(float).astype({schema.LABEL: int})
    made = balance.smote(floats, ratio=1.0, seed=0).iloc[len(frame) :]
    assert (made["tot_suplr_srvcs_sum"] % 1 == 0).all()


def test_undersampling_leaves_as_many_honest_as_fraudulent_rows(frame):
    balanced = balance.smote(frame, ratio=0.25, seed=0, undersample=True)
    honest = int((frame[schema.LABEL] == 0).sum())
    assert balanced[schema.LABEL].value_counts().to_dict() == {0: honest // 4, 1: honest // 4}


@pytest.mark.parametrize("positives", [2, 3, 5, 6])
def test_few_fraudulent_rows_have_fewer_neighbours(frame, positives):
    balanced = balance.smote(few(frame, positives), ratio=1.0, seed=0)
    assert balanced[schema.LABEL].sum() == 100


def test_a_single_fraudulent_row_is_refused_with_what_to_do(frame):
    with pytest.raises(
        balance.BalanceError, match="1 fraudulent training rows: SMOTE needs at least 2; choose BALANCE none"
    ):
        balance.smote(few(frame, 1), ratio=1.0, seed=0)


def test_rows_that_are_balanced_already_come_back_unchanged(frame):
    rows = few(frame, 60)
    assert balance.smote(rows, ratio=0.5, seed=0).equals(rows)


def test_it_follows_from_the_seed(frame):
    first, again, other = (balance.smote(frame, ratio=1.0, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not np.array_equal(first[AMOUNTS], other[AMOUNTS])

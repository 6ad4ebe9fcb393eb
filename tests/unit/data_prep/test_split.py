"""Who gets which rows: nothing twice, nothing lost, nothing from the seed's shadow."""

import numpy as np
import pandas as pd
import pytest

from data_prep import split, synthetic
from workshop import problems

FRAUD = problems.load()


@pytest.fixture(scope="module")
def frame():
    return split.deduplicate(synthetic.generate(FRAUD, 3000, seed=5), FRAUD)


def keys(*parts) -> list:
    """Return one hashable per row, to count rows across tables."""
    return sorted(pd.util.hash_pandas_object(pd.concat(parts), index=False))


def test_copies_are_dropped_and_nothing_else():
    rows = pd.DataFrame({"a": [1, 1, 2, 1], "b": [3, 3, 3, 4]})
    assert split.deduplicate(rows, FRAUD).to_numpy().tolist() == [[1, 3], [2, 3], [1, 4]]


def test_held_out_rows_are_apart_and_have_the_same_share_of_fraud(frame):
    rest, held = split.hold_out(frame, FRAUD, 0.2, seed=1)
    assert keys(rest, held) == keys(frame)
    assert not set(keys(rest)) & set(keys(held))
    assert len(held) == pytest.approx(len(frame) * 0.2, abs=1)
    assert held[FRAUD.label.name].mean() == pytest.approx(frame[FRAUD.label.name].mean(), abs=0.002)


def test_a_split_follows_from_its_seed(frame):
    first, again, other = (split.hold_out(frame, FRAUD, seed=seed)[1] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("how", split.HOW)
@pytest.mark.parametrize("n_clients", [1, 2, 3, 5, 20])
def test_every_row_has_exactly_one_owner(frame, how, n_clients):
    parts = split.assign(frame, FRAUD, n_clients, how=how, seed=0)
    assert len(parts) == n_clients
    assert keys(*parts) == keys(frame)
    for part in parts:
        assert part[FRAUD.label.name].sum() >= 5, how
        train, validation = split.train_validation(part, FRAUD, seed=0)
        assert len(train) >= 50
        assert keys(train, validation) == keys(part)
        assert validation[FRAUD.label.name].nunique() == 2


def test_iid_clients_are_alike(frame):
    parts = split.assign(frame, FRAUD, 4, how="iid", seed=0)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert np.ptp([part[FRAUD.label.name].sum() for part in parts]) <= 1


def test_similar_providers_stay_together(frame):
    """Within clusters the amounts spread less than within clients that were dealt at random."""

    def spread(how):
        parts = split.assign(frame, FRAUD, 3, how=how, seed=0)
        logs = [np.log1p(part[list(FRAUD.feature_names)].to_numpy(float)) for part in parts]
        return np.average([rows.var(axis=0).mean() for rows in logs], weights=[len(rows) for rows in logs])

    assert spread("similar_providers") < 0.85 * spread("iid")


def test_label_skew_gives_clients_different_shares_of_fraud(frame):
    shares = [part[FRAUD.label.name].mean() for part in split.assign(frame, FRAUD, 3, how="label_skew", seed=0)]
    assert max(shares) > 2 * min(shares)


def test_fifty_clients_find_enough_rows_in_the_default_table():
    rest, _ = split.hold_out(split.deduplicate(synthetic.generate(FRAUD, seed=0), FRAUD), FRAUD, seed=0)
    assert len(split.assign(rest, FRAUD, 50, how="iid", seed=0)) == 50


@pytest.mark.parametrize("how", split.HOW)
def test_too_many_clients_are_refused_with_what_to_lower(frame, how):
    with pytest.raises(split.SplitError, match=r"cannot be divided among 100 clients: .* lower CLIENTS"):
        split.assign(frame, FRAUD, 100, how=how, seed=0)


@pytest.mark.parametrize(
    ("n_clients", "how", "told"), [(0, "iid", "CLIENTS is 0"), (2, "alphabet", "choose one of iid")]
)
def test_a_choice_that_makes_no_sense_is_named(frame, n_clients, how, told):
    with pytest.raises(split.SplitError, match=told):
        split.assign(frame, FRAUD, n_clients, how=how, seed=0)


def of_each(frame, honest, fraudulent):
    """Return so many distinct rows of each class."""
    parts = [frame[frame[FRAUD.label.name] == kind].head(n) for kind, n in enumerate((honest, fraudulent))]
    assert [len(part) for part in parts] == [honest, fraudulent]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("honest", "fraudulent", "told"),
    [
        # A fifth of 602 rows, class by class: 2 / 5 rounds to none.
        (600, 2, "client-7: 0 of 121 validation rows would be fraudulent, and 1 is needed"),
        (30, 6, "client-7: 28 training rows, and 50 are needed"),
        (56, 6, "client-7: 49 training rows, and 50 are needed"),
        (2, 600, "client-7: 0 of 121 validation rows would be honest, and 1 is needed"),
        (20, 2, "client-7: 17 training rows, and 50 are needed; 0 of 5 validation rows would be fraudulent, and 1 is"),
        (100, 1, "client-7: 101 rows, 1 of them fraudulent, cannot be split with both classes on either side"),
        (100, 0, "client-7: 100 rows, 0 of them fraudulent, cannot be split"),
        (1, 100, "client-7: 101 rows, 100 of them fraudulent, cannot be split"),
        (2, 2, "client-7: 4 rows, 2 of them fraudulent, cannot be split"),
    ],
)
def test_a_part_that_is_too_small_is_refused_with_client_part_counts_and_what_to_do(frame, honest, fraudulent, told):
    many = synthetic.generate(FRAUD, 8000, 0.2, seed=1).drop_duplicates()
    with pytest.raises(split.SplitError) as error:
        split.train_validation(of_each(many, honest, fraudulent), FRAUD, seed=0, owner="client-7")
    assert str(error.value).startswith(told)
    assert "Add such rows to its table (duplicates count once)" in str(error.value)


@pytest.mark.parametrize(("honest", "fraudulent"), [(600, 3), (58, 5), (57, 6), (5, 58), (40, 23)])
def test_a_part_that_is_just_large_enough_passes(frame, honest, fraudulent):
    train, validation = split.train_validation(of_each(frame, honest, fraudulent), FRAUD, seed=0, owner="client-7")
    assert len(train) >= 50
    assert train[FRAUD.label.name].value_counts().min() >= 2
    assert validation[FRAUD.label.name].nunique() == 2


@pytest.mark.parametrize("seed", range(20))
def test_what_passes_does_not_depend_on_the_seed(frame, seed):
    split.train_validation(of_each(frame, 600, 3), FRAUD, seed=seed)
    with pytest.raises(split.SplitError):
        split.train_validation(of_each(frame, 600, 2), FRAUD, seed=seed)


def test_a_test_table_with_too_little_fraud_is_refused(frame):
    with pytest.raises(split.SplitError, match="server: 4 of 104 test rows would be fraudulent, and 5 are needed"):
        split.hold_out(of_each(frame, 500, 20), FRAUD, seed=0)
    rest, test = split.hold_out(of_each(frame, 500, 25), FRAUD, seed=0)
    assert test[FRAUD.label.name].sum() == 5
    assert rest[FRAUD.label.name].sum() == 20


@pytest.mark.parametrize("how", split.HOW)
def test_clients_of_a_table_that_is_mostly_fraud_are_served_too(frame, how):
    """Which class is the rare one follows from the table."""
    turned = frame.assign(**{FRAUD.label.name: 1 - frame[FRAUD.label.name]})
    for part in split.assign(turned, FRAUD, 5, how=how, seed=0):
        split.train_validation(part, FRAUD, seed=0)

"""Another unit of measurement is seen in the moments; unlike but honest clients are not taken for it."""

import numpy as np
import pytest

from client_code import schema, task
from data_prep import sources, split
from workshop import problems
from workshop.federation import apart, words

FRAUD = problems.load()

UNITS = {
    "as log10(1 + value)": lambda values: np.log10(1 + values),
    "as ln(1 + value)": np.log1p,
    "in thousands": lambda values: values / 1000,
    "in millions": lambda values: values / 1e6,
    "in hundredths (100 times as large": lambda values: values * 100,
    "in thousandths (1,000 times as large": lambda values: values * 1000,
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    loaded = [sources.load("synthetic", FRAUD, seed=seed, cache=cache).frame for seed in range(4)]
    return [split.hold_out(split.deduplicate(frame, FRAUD), FRAUD, seed=seed)[0] for seed, frame in enumerate(loaded)]


def clients(frame, n_clients, how="iid", seed=0):
    parts = split.assign(frame, FRAUD, n_clients, how=how, seed=seed)
    return {f"client-{number}": schema.to_arrays(part, FRAUD)[0] for number, part in enumerate(parts, 1)}


def moments(rows):
    return {name: task.statistics(features, FRAUD) for name, features in rows.items()}


def spoilt(rows, name, change):
    """Change all amounts and counts of a client; a flag has no unit."""
    return rows | {name: np.column_stack([rows[name][:, 0], change(rows[name][:, 1:])])}


@pytest.mark.parametrize("how", split.HOW)
@pytest.mark.parametrize("n_clients", [1, 2, 3, 5, 12, 25])
def test_honest_clients_pass_in_silence(tables, how, n_clients):
    for seed, frame in enumerate(tables):
        assert apart.compare(moments(clients(frame, n_clients, how, seed)), FRAUD) == []


@pytest.mark.slow
def test_honest_clients_of_the_published_table_pass_in_silence(real_table_path):
    frame = split.deduplicate(schema.read_table(real_table_path, FRAUD), FRAUD)
    for seed in range(4):
        for how in split.HOW:
            for n_clients in (2, 3, 7, 20):
                assert apart.compare(moments(clients(frame, n_clients, how, seed)), FRAUD) == [], (how, n_clients, seed)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("how", ["iid", "label_skew"])
@pytest.mark.parametrize("n_clients", [3, 4, 10])
def test_a_client_with_another_unit_is_named_with_what_it_looks_like(tables, unit, how, n_clients):
    rows = spoilt(clients(tables[0], n_clients, how), "client-2", UNITS[unit])
    (finding,) = apart.compare(moments(rows), FRAUD)
    assert finding.client == "client-2"
    assert f"its values look like the others' {unit}" in words.note_of(finding)
    assert finding.columns > 49 / 2


@pytest.mark.parametrize("largest", [True, False])
def test_the_largest_client_does_not_decide_what_is_usual(tables, largest):
    rows = clients(tables[0], 3, "label_skew", seed=2)
    sizes = {name: len(features) for name, features in rows.items()}
    name = (max if largest else min)(sizes, key=sizes.get)
    assert max(sizes.values()) > 4 * min(sizes.values())
    (finding,) = apart.compare(moments(spoilt(rows, name, UNITS["as log10(1 + value)"])), FRAUD)
    assert finding.client == name


def test_two_of_five_with_the_same_mistake_are_both_named(tables):
    rows = clients(tables[0], 5)
    for name in ("client-1", "client-4"):
        rows = spoilt(rows, name, UNITS["as log10(1 + value)"])
    assert {finding.client for finding in apart.compare(moments(rows), FRAUD)} == {"client-1", "client-4"}


def test_of_two_clients_it_is_said_that_nobody_can_tell_which(tables):
    rows = spoilt(clients(tables[0], 2), "client-2", UNITS["as log10(1 + value)"])
    (finding,) = apart.compare(moments(rows), FRAUD)
    assert words.note_of(finding).startswith("client-2 and client-1 stand apart from each other in ")
    assert "client-2's values look like client-1's as log10(1 + value)" in words.note_of(finding)
    assert "which of the two has another unit cannot be told: ask both owners" in words.note_of(finding)


def test_what_fits_no_guess_is_named_without_one(tables):
    rng = np.random.default_rng(0)
    rows = spoilt(clients(tables[0], 3), "client-1", lambda values: 1e9 * rng.uniform(size=values.shape))
    (finding,) = apart.compare(moments(rows), FRAUD)
    assert "look like" not in words.note_of(finding)
    assert words.note_of(finding).startswith("client-1 stands apart from the others in 4")


def test_a_few_columns_in_another_unit_are_not_most_of_them(tables):
    """Cents for dollars in the amounts alone cost nothing and need not be found."""
    amounts = np.array([column.unit == "US dollars" for column in FRAUD.columns[1:]])
    rows = clients(tables[0], 3)
    cents = rows | {"client-2": np.where(amounts, rows["client-2"] * 100, rows["client-2"])}
    assert apart.compare(moments(cents), FRAUD) == []


def test_columns_that_never_change_are_no_reason():
    """By hand: alike in two constant columns and apart in one of three is not most columns."""
    flat = [np.array([60.0]), np.full(3, 60.0), np.array([5.0, 0.0, 1.0]), np.array([0.0, 0.0, 60.0])]
    odd = [np.array([60.0]), np.full(3, 60.0), np.array([5.0, 0.0, 9.0]), np.array([0.0, 0.0, 60.0])]
    assert apart.compare({"a": flat, "b": flat, "c": odd}, FRAUD) == []

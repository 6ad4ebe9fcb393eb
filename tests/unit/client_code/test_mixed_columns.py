"""Categories, missing cells, numbers of both signs: prepared from sums as scikit-learn prepares the pooled rows."""

import dataclasses

import joblib
import numpy as np
import pandas as pd
import pytest
from flwr.common import ndarrays_to_parameters
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from client_code import schema, task
from client_code.problem import Column, Floors, Problem, Words
from data_prep import balance, split
from workshop.federation import apart, updates

SITES = ("north", "south", "sea side")
WORDS = Words("machine", "machines", "sound", "failing", "failure")
FEATURES = (
    Column("cost", "amount", "euros", "made up", missing=True, indicator=True),
    Column("site", "category", "word", "made up", missing=True, categories=SITES),
    Column("drift", "number", "mm", "made up", missing=True),
    Column("outdoors", "flag", "0 or 1", "made up"),
    Column("repairs", "count", "repairs", "made up", missing=True),
    Column("maker", "category", "word", "made up", categories=("a", "b")),
    Column("heat", "number", "K", "made up", low=-50.0, high=400.0),
)
MIXED = Problem(
    "mixed", Column("broke", "flag", "0 or 1", "1: it broke"), FEATURES, WORDS,
    ("log1p", "none", "none", "none", "log1p", "none", "none"), 1e6, Floors(5, 2, 1, 5, 5),
    identifiers=("serial",), missing_words=("?",),
)  # fmt: skip
INPUTS = (
    "cost", "cost is missing", "site=north", "site=south", "site=sea side", "drift", "outdoors", "repairs",
    "maker=a", "maker=b", "heat",
)  # fmt: skip


def table(n_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "broke": 0,
            "cost": rng.lognormal(6, 1.2, n_rows).round(2),
            "site": rng.choice(SITES, n_rows, p=[0.5, 0.3, 0.2]),
            "drift": rng.normal(-50.0, 2.0, n_rows).round(3),
            "outdoors": rng.integers(0, 2, n_rows),
            "repairs": rng.poisson(2, n_rows).astype(float),
            "maker": rng.choice(["a", "b"], n_rows),
            "heat": rng.normal(20, 40, n_rows).round(1).clip(-50, 400),
        }
    )
    for name in ("cost", "site", "drift", "repairs"):
        frame.loc[rng.random(n_rows) < 0.2, name] = np.nan
    risk = frame["heat"] / 40 + (frame["site"] == "south") + frame["cost"].isna() + rng.normal(0, 1, n_rows)
    frame["broke"] = (risk > np.quantile(risk, 0.8)).astype(int)
    frame["site"] = pd.Categorical(frame["site"], SITES)
    frame["maker"] = pd.Categorical(frame["maker"], ["a", "b"])
    return frame


FRAME = table()


def pooled(frame):
    """Return scikit-learn's own preparation of all rows, fitted."""
    log = FunctionTransformer(np.log1p)
    words = [OneHotEncoder(categories=[list(names)], sparse_output=False) for names in (SITES, "ab")]
    steps = [
        ("cost", make_pipeline(log, SimpleImputer()), ["cost"]),
        ("cost is missing", MissingIndicator(features="all"), ["cost"]),
        ("site", make_pipeline(SimpleImputer(strategy="most_frequent"), words[0]), ["site"]),
        ("drift", SimpleImputer(), ["drift"]),
        ("outdoors", "passthrough", ["outdoors"]),
        ("repairs", make_pipeline(log, SimpleImputer()), ["repairs"]),
        ("maker", words[1], ["maker"]),
        ("heat", "passthrough", ["heat"]),
    ]  # fmt: skip
    plain = frame.drop(columns="broke").astype({"site": object, "maker": object})
    return make_pipeline(ColumnTransformer(steps, sparse_threshold=0), StandardScaler()).fit(plain), plain


def federated(frame, owners):
    parts = [schema.to_features(frame[owners == owner], MIXED) for owner in np.unique(owners)]
    return task.pooled_scaler([task.statistics(part, MIXED) for part in parts], MIXED)


def equal(frame, owners):
    scaler = federated(frame, owners)
    pipeline, plain = pooled(frame)
    ours = task.transform(schema.to_features(frame, MIXED), scaler, MIXED)
    np.testing.assert_allclose(scaler.mean, pipeline[-1].mean_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours, pipeline.transform(plain), rtol=0, atol=1e-12)
    np.testing.assert_allclose(scaler.scale, pipeline[-1].scale_, rtol=0, atol=1e-12)


def test_the_inputs_are_named_in_the_order_of_the_columns():
    assert MIXED.input_names == INPUTS
    inputs = MIXED.transform(np.array([[np.e - 1, 2.0, -3.0, 1.0, np.nan, 0.0, 5.0], [np.nan] * 4 + [0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(inputs[0], [1.0, 0.0, 0.0, 0.0, 1.0, -3.0, 1.0, np.nan, 1.0, 0.0, 5.0])
    np.testing.assert_allclose(inputs[1], [np.nan, 1.0, np.nan, np.nan, np.nan, np.nan, np.nan, 0.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize("seed", range(8))
def test_any_partition_gives_the_pooled_preparation(seed):
    rng = np.random.default_rng(seed)
    owners = rng.integers(0, rng.integers(1, 9), len(FRAME))
    equal(FRAME, owners)


def test_a_client_without_a_single_value_in_a_column():
    owners = np.arange(len(FRAME)) % 3
    frame = FRAME.copy()
    for name in ("cost", "site", "drift", "repairs"):
        frame.loc[owners == 0, name] = np.nan  # the first: it gives the sums their origin
    equal(frame, owners)


def test_a_category_that_only_one_client_has():
    owners = np.arange(len(FRAME)) % 3
    frame = FRAME.copy()
    frame.loc[(owners != 1) & (frame["site"] == "sea side"), "site"] = "north"
    equal(frame, owners)


def test_columns_that_are_the_same_everywhere():
    frame = FRAME.copy()
    frame["heat"], frame["maker"] = 7.3, pd.Categorical(["a"] * len(frame), ["a", "b"])
    frame.loc[frame["drift"].notna(), "drift"] = -1 / 3
    equal(frame, np.arange(len(frame)) % 4)
    scale = federated(frame, np.arange(len(frame)) % 4).scale
    assert [scale[INPUTS.index(name)] for name in ("heat", "maker=a", "maker=b", "drift")] == [1.0] * 4


def test_a_column_without_a_value_anywhere_is_nothing():
    frame = FRAME.copy()
    frame["drift"] = np.nan
    scaler = federated(frame, np.arange(len(frame)) % 3)
    scaled = task.transform(schema.to_features(frame, MIXED), scaler, MIXED)
    assert (scaled[:, INPUTS.index("drift")] == 0).all()


def test_the_model_takes_the_table_as_it_is(tmp_path):
    features, labels = schema.to_arrays(FRAME, MIXED)
    scaler = federated(FRAME, np.arange(len(FRAME)) % 3)
    scaled = task.transform(features, scaler, MIXED)
    trained = task.fit(task.new_model(), [np.zeros((1, len(INPUTS))), np.zeros(1)], scaled, labels)
    loaded = joblib.load(task.save_model(tmp_path, task.build_pipeline(trained, scaler, MIXED.encoding)))
    expected = task.predict(trained, scaled)
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    as_read = pd.read_csv(tmp_path / "rows.csv")  # by somebody who knows nothing of the problem
    for frame in (FRAME, as_read, as_read.astype({"site": object}), as_read[list(as_read.columns[::-1])]):
        np.testing.assert_allclose(loaded.predict_proba(frame)[:, 1], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="unknown categories"):
        loaded.predict_proba(as_read.assign(maker="c"))


def test_a_word_of_too_few_rows_is_told_as_one_of_none():
    strict = dataclasses.replace(MIXED, floors=Floors(5, 2, 1, 5, 5, category=10))
    frame = FRAME.copy()
    rare = frame.index[frame["site"] == "sea side"]
    frame.loc[rare[4:], "site"] = "north"
    _, values, mean, squares = task.statistics(schema.to_features(frame, strict), strict)
    place = INPUTS.index("site=sea side")
    assert (mean[place], squares[place]) == (0.0, 0.0)
    assert mean[place - 1] > 0
    assert values[place] == frame["site"].notna().sum()


def test_rows_that_are_made_are_of_the_kinds_of_the_columns():
    made = balance.smote(FRAME, MIXED, ratio=1.0, seed=3).iloc[len(FRAME) :]
    failing = FRAME[FRAME["broke"] == 1]
    schema.check_table(made.assign(broke=[0, 1] * (len(made) // 2) + [1] * (len(made) % 2)), MIXED, file="made")
    assert set(made["outdoors"]) == {0, 1}
    assert set(made["maker"]) == {"a", "b"}
    assert set(made["site"].dropna()) == set(SITES)
    assert (made["repairs"].dropna() % 1 == 0).all()
    for name in ("cost", "site", "drift", "repairs"):  # gaps stay about as frequent
        assert abs(made[name].isna().mean() - failing[name].isna().mean()) < 0.1
    assert made["heat"].between(failing["heat"].min() - 1e-6, failing["heat"].max() + 1e-6).all()
    pd.testing.assert_frame_equal(made, balance.smote(FRAME, MIXED, ratio=1.0, seed=3).iloc[len(FRAME) :])


@pytest.mark.parametrize("how", split.HOW)
def test_rows_with_gaps_are_dealt(how):
    parts = split.assign(FRAME, MIXED, 3, how=how, seed=0)
    assert sum(map(len, parts)) == len(FRAME)


def write(tmp_path, frame=FRAME, **more):
    path = tmp_path / "rows.csv"
    frame.assign(serial=[f"m-{number}" for number in range(len(frame))]).to_csv(path, index=False, **more)
    return path


@pytest.mark.parametrize("empty", ["", "?"])
def test_a_file_is_read_with_words_gaps_and_without_its_identifiers(tmp_path, empty):
    read = schema.read_table(write(tmp_path, na_rep=empty), MIXED)
    pd.testing.assert_frame_equal(read, FRAME.astype({"outdoors": float}))


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("site", "west", "column site: a word is none of the 3 categories in 1 row; write one of: north, south, sea"),
        ("site", "North ", "column site: a word is none of the 3 categories but for capitals or blanks in 1 row"),
        ("maker", "", "column maker: a cell is empty in 1 row"),
        ("heat", "", "column heat: a cell is empty or not a number (NaN) in 1 row"),
        ("heat", "401", "column heat: a value is above 400 in 1 row"),
        ("heat", "-51", "column heat: a value is below -50 in 1 row"),
        ("drift", "much", "column drift: text stands in a number column in 1 row"),
        ("outdoors", "2", "column outdoors: a value is neither 0 nor 1 in 1 row"),
        ("cost", "-1", "column cost: a value is negative in 1 row"),
        ("broke", "", "column broke: a cell is empty or not a number (NaN) in 1 row"),
    ],
)
def test_a_cell_that_breaks_a_rule_is_told_without_it(tmp_path, column, cell, told):
    frame = FRAME.astype(object)
    frame.loc[7, column] = cell
    with pytest.raises(schema.TableError) as error:
        schema.read_table(write(tmp_path, frame), MIXED)
    assert told in str(error.value)
    if cell:
        assert f" {cell}" not in str(error.value).replace("North", "")
    assert (error.value.column, error.value.rows) == (column, 1)


def test_all_findings_of_a_table_are_told():
    frame = FRAME.astype({"maker": object, "site": object})
    frame.loc[0, "maker"], frame.loc[[1, 2], "heat"], frame.loc[3, "outdoors"] = "c", 900.0, 5
    found = [str(finding) for finding in schema.findings(frame, MIXED, file="rows.csv")]
    assert [finding.partition(":")[0] for finding in found] == [
        "rows.csv, column outdoors", "rows.csv, column maker", "rows.csv, column heat",
    ]  # fmt: skip


def sums(**changes):
    """Return moments that an honest client sends, some of them changed: name of the array, input, value."""
    arrays = task.statistics(schema.to_features(FRAME, MIXED), MIXED)
    for name, (which, value) in changes.items():
        arrays[("rows", "values", "mean", "squares").index(name)][INPUTS.index(which)] = value
    return ndarrays_to_parameters(arrays)


def test_moments_of_an_honest_client_are_taken():
    assert len(updates.read_statistics(sums(), MIXED)) == 4
    frame = FRAME.assign(drift=np.nan)
    updates.read_statistics(ndarrays_to_parameters(task.statistics(schema.to_features(frame, MIXED), MIXED)), MIXED)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"values": ("heat", 399.0)}, "numbers of values that no table"),  # it may not be missing
        ({"values": ("drift", 401.0)}, "numbers of values that no table"),
        ({"values": ("drift", 3.5)}, "numbers of values that no table"),
        ({"values": ("site=south", 5.0)}, "numbers of values that no table"),  # its words are missing together
        ({"values": ("cost is missing", 12.0)}, "numbers of values that no table"),
        ({"mean": ("site=south", 1.1)}, "sums that no table of amounts and numbers and counts can have"),
        ({"mean": ("cost", -0.1)}, "sums that no table"),
        ({"mean": ("heat", 401.0)}, "sums that no table"),
        ({"squares": ("maker=a", 101.0)}, "sums that no table"),
    ],
)
def test_moments_that_no_table_has_are_refused(changes, told):
    with pytest.raises(updates.BadUpdate, match=told):
        updates.read_statistics(sums(**changes), MIXED)


def test_a_client_without_values_in_most_columns_does_not_stand_apart():
    parts = [FRAME.iloc[number::3].copy() for number in range(3)]
    for name in ("cost", "site", "drift", "repairs"):
        parts[1][name] = np.nan
    told = {
        f"client-{number}": task.statistics(schema.to_features(part, MIXED), MIXED)
        for number, part in enumerate(parts, 1)
    }
    assert apart.compare(told, MIXED) == []

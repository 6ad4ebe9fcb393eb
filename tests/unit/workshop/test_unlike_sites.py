"""What lessons on unlike sites draw and try."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from client_code import schema, task
from data_prep import prepare, sources
from workshop import problems
from workshop.lessons import experiments
from workshop.science import plots

HEART = problems.load("heart")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return sources.load(
        "synthetic", HEART, seed=0, cache=tmp_path_factory.mktemp("cache"), statistics=problems.statistics("heart")
    )


@pytest.fixture
def words(monkeypatch):
    """Return the texts of all figures that are drawn and not closed."""
    monkeypatch.setattr(plt, "show", lambda: None)
    yield lambda: [text.get_text() for number in plt.get_fignums() for text in plt.figure(number).findobj(Text)]
    plt.close("all")


def test_a_grid_writes_every_number_and_says_where_there_is_none(words):
    table = pd.DataFrame({"a model with a long name": [0.91, np.nan], "b": [0.5, 1.0]}, index=["north", "south"])
    plots.grid(table, title="by site", form=".2f", low=0.4)
    assert {"0.91", "none", "0.50", "1.00", "north", "south", "by site", "a model with a\nlong name"} <= set(words())


def test_one_column_by_owner_says_who_has_no_value(words, table):
    plots.by_owner(table.frame, "cholesterol", HEART, title="cholesterol")
    seen = words()
    assert {"Cleveland", "Budapest", "Zurich and Basel", "Long Beach", "healthy", "ill"} <= set(seen)
    assert seen.count("nobody measured it") == 1
    assert "cholesterol, mg/dl; black: the owner's mean" in seen


def test_lines_carry_the_names_of_their_columns(words):
    plots.lines(pd.DataFrame({"north": [0.5, 0.6], "south": [0.7, np.nan]}, index=[1, 2]), label="AUC", title="t")
    assert {"north", "south", "AUC", "round"} <= set(words())


def test_clients_with_the_same_rows_do_not_run_apart_and_unlike_ones_do(table, tmp_path):
    prepared = prepare.prepare(table, n_clients=4, how="given", balance="none", seed=0, folder=tmp_path)
    folders = {owner: tmp_path / name for name, owner in prepared.whose.items()}
    unlike = experiments.running_apart(folders, HEART, iterations=(2, 50), seed=0)
    assert list(unlike.columns) == ["2 iterations", "50 iterations"]
    assert unlike.mean().is_monotonic_increasing
    same = experiments.running_apart(dict.fromkeys("ab", folders["Cleveland"]), HEART, iterations=(5,), seed=0)
    assert same.to_numpy().max() < 1e-12


def test_a_model_that_is_not_told_what_is_missing_has_an_input_less_per_indicator(table):
    blind = experiments.without_indicators(HEART)
    told = [column for column in HEART.features if column.indicator]
    assert len(told) == 4
    assert len(HEART.input_names) - len(blind.input_names) == len(told)
    features = schema.to_features(table.frame, HEART)
    whole = dict(zip(HEART.input_names, task.moments(HEART.transform(features))[2], strict=True))
    less = dict(zip(blind.input_names, task.moments(blind.transform(features))[2], strict=True))
    assert less == {name: mean for name, mean in whole.items() if not name.endswith("is missing")}

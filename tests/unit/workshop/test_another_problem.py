"""The seam: another table, with other kinds, label and words, goes all the way through with no change to code."""

import made_problems
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from flwr.common import ndarrays_to_parameters
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from client_code import schema, task
from data_prep import prepare, sources, split
from data_prep.errors import DataError
from workshop.federation import apart, updates
from workshop.science import baselines, evaluation, model, plots

MACHINES = made_problems.of_kinds(repairs="count", drift="number", cost="amount", outdoors="flag", heat="number")


@pytest.fixture(scope="module")
def frame():
    """700 machines; those that drift low, cost much and stand outdoors fail more often."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "repairs": rng.poisson(2, 700),
            "drift": rng.normal(-1.0, 2.0, 700).round(3),
            "cost": rng.lognormal(6, 1.2, 700).round(2),
            "outdoors": rng.integers(0, 2, 700),
            "heat": rng.normal(0, 40, 700).round(1),
        }
    )
    risk = -1.2 * table["drift"] + np.log1p(table["cost"]) - 6 + table["outdoors"] + rng.normal(0, 1, 700)
    table.insert(0, "broke", (risk > np.quantile(risk, 0.85)).astype(int))
    return table


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    frame.to_csv(folder / "rows.csv", index=False)
    table = sources.load(str(folder / "rows.csv"), MACHINES, seed=0, cache=folder)
    prepared = prepare.prepare(table, n_clients=3, how="iid", balance="smote", seed=0, folder=folder)
    assert list(prepared.steps.columns) == ["rows", "failure"]
    return folder


@pytest.fixture(scope="module")
def clients(folder):
    return [baselines.ClientRows.read(folder / f"client-{number}", MACHINES) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def test_table(folder):
    return schema.read_table(folder / "server" / "test.csv", MACHINES)


def test_it_trains_across_clients_and_ranks_what_it_never_saw(clients, test_table, folder):
    trained = baselines.federated_by_hand(clients, MACHINES)
    features, labels = schema.to_arrays(test_table, MACHINES)
    probabilities = trained.probabilities(features)
    assert roc_auc_score(labels, probabilities) > 0.85  # the risk's own noise leaves no more than about 0.93
    path = model.save(
        folder / "model", trained.parameters, trained.scaler, MACHINES, threshold=trained.threshold, about={}
    )
    for loaded in (model.load(path.parent), model.load_twin(path.parent)):
        scored = loaded.pipeline.predict_proba(test_table[list(MACHINES.feature_names)])[:, 1]
        np.testing.assert_allclose(scored, probabilities, rtol=1e-12)
    counts = evaluation.confusion(labels, probabilities, MACHINES.words, threshold=trained.threshold)
    assert (list(counts.index), counts.index.name) == (["sound", "failing"], "machine")


def test_the_federated_scaler_is_the_pooled_one(clients):
    moments = [task.statistics(client.real[0], MACHINES) for client in clients]
    for sent in moments:
        assert len(updates.read_statistics(ndarrays_to_parameters(sent), MACHINES)) == 4
    scaler = task.pooled_scaler(moments, MACHINES)
    rows = np.concatenate([client.real[0] for client in clients])
    rows[:, [0, 2]] = np.log1p(rows[:, [0, 2]])  # the count and the amount, and nothing else
    pooled = StandardScaler().fit(rows)
    np.testing.assert_allclose(scaler.mean, pooled.mean_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scaler.scale, pooled.scale_, rtol=0, atol=1e-12)
    assert apart.compare({f"client-{n}": sent for n, sent in enumerate(moments, 1)}, MACHINES) == []


def test_limits_of_moments_are_those_of_each_kind():
    """By hand: numbers may be negative; a flag's mean is at most 1; a count is at most 10^6, its logarithm 13.8."""
    means, squares = np.array([1.0, -5.0, 6.0, 0.5, -900_000.0]), np.array([60.0, 60.0, 60.0, 15.0, 60.0])
    fine = [np.array([60.0]), np.full(5, 60.0), means, squares]
    updates.read_statistics(ndarrays_to_parameters(fine), MACHINES)
    for column, mean in ((0, -0.1), (0, 13.9), (1, 1.1e6), (2, -1.0), (3, 1.01)):
        wrong = [*fine[:2], np.where(np.arange(5) == column, mean, means), np.zeros(5)]
        with pytest.raises(updates.BadUpdate, match="sums that no table of amounts and numbers and counts can have"):
            updates.read_statistics(ndarrays_to_parameters(wrong), MACHINES)


def test_made_rows_keep_the_kinds(folder, frame):
    balanced = schema.read_table(folder / "client-1" / "train_balanced.csv", MACHINES)
    real = schema.read_table(folder / "client-1" / "train.csv", MACHINES)
    made = balanced.iloc[len(real) :]
    failing = real[real["broke"] == 1]
    assert (made["repairs"] % 1 == 0).all()
    assert set(made["outdoors"]) == {0, 1}
    assert made["drift"].min() < 0  # a number may be negative
    assert made["drift"].between(failing["drift"].min() - 1e-6, failing["drift"].max() + 1e-6).all()


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("repairs", -1, "column repairs: a value is negative"),
        ("cost", -0.01, "column cost: a value is negative"),
        ("drift", -2e6, r"column drift: a value is below -1e\+06"),
        ("heat", 2e6, r"column heat: a value is above 1e\+06"),
        ("outdoors", 2, "column outdoors: a value is neither 0 nor 1"),
        ("broke", 0.5, "column broke: a value is neither 0 nor 1"),
    ],
)
def test_every_kind_has_its_rules(frame, column, value, told):
    wrong = frame.astype(float)
    wrong.loc[3, column] = value
    with pytest.raises(schema.TableError, match=told):
        schema.check_table(wrong, MACHINES, file="rows.csv")


def test_messages_use_the_problems_words(frame, folder):
    rows = pd.concat([frame[frame["broke"] == 0].head(300), frame[frame["broke"] == 1].head(2)])
    with pytest.raises(split.SplitError, match="0 of 61 validation rows would be failing, and 1 is needed"):
        split.train_validation(rows, MACHINES, seed=0, owner="client-1")
    with pytest.raises(split.SplitError, match="sound rows cannot be divided among 90 clients"):
        split.assign(frame, MACHINES, 90, how="iid", seed=0)
    with pytest.raises(DataError, match="there are no synthetic rows of problem machines: give the path of a table"):
        sources.load("synthetic", MACHINES, seed=0, cache=folder)


def test_figures_use_the_problems_words(clients, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    labels, scores = clients[0].train[1], np.linspace(0, 1, len(clients[0].train[1]))
    words = MACHINES.words
    plots.roc_and_precision(labels, {"global": scores}, words=words, title="t")
    plots.calibration(labels, {"global": scores}, words=words, title="t")
    plots.top_k(labels, scores, words=words, title="t")
    plots.confusion(evaluation.confusion(labels, scores, words, threshold=0.5), words=words, title="t")
    counts = pd.DataFrame({"train_rows": [9], "train_positives": [3], "balanced_rows": [12], "balanced_positives": [6]})
    plots.class_balance(counts, words=words, title="t")
    text = " ".join(
        piece.get_text() for figure in shown for piece in figure.findobj(lambda part: hasattr(part, "get_text"))
    )
    plt.close("all")
    assert "share of sound machines flagged" in text
    assert "predicted probability of failure" in text
    assert "machines looked into, those that rank highest first" in text
    assert "the machine is" in text
    assert "33% failure" in text
    for word in ("fraud", "honest", "provider"):
        assert word not in text

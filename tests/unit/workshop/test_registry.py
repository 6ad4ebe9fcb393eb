"""Versions of the model: numbered once per run, champion by paired differences, without pickle on the way out."""

import json

import numpy as np
import pandas as pd
import pytest

from client_code import task
from workshop import problems
from workshop.errors import ModelError
from workshop.science import model
from workshop.tracking import registry

PROBLEMS = {name: problems.load(name) for name in ("fraud", "heart")}
FRAUD = PROBLEMS["fraud"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


def saved(home, run, *, weight=1.0, problem=FRAUD, seed=0, **about):
    """A model that looks at one column, with this weight."""
    n = len(problem.input_names)
    coef = np.zeros((1, n))
    coef[0, 0] = weight
    scaler = task.Scaler(np.full(n, 0.5), np.ones(n))
    about = {"run": run, "source": "synthetic", "seed": seed, "test": "abc", "rounds": 3, **about}
    model.save(home / run, [coef, np.zeros(1)], scaler, problem, threshold=0.4, about=about)
    return home / run


def made_up_table():
    """Rows whose first column tells the label, with noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    cells = {name: np.ones(300) for name in FRAUD.feature_names}
    cells[FRAUD.feature_names[0]] = np.expm1(labels + rng.normal(1.5, 0.4, 300).clip(0))
    return pd.DataFrame({FRAUD.label.name: labels, **cells})


TABLE = made_up_table()


def test_a_run_has_one_version_however_often_it_is_registered(home):
    first = registry.register(saved(home, "aaaa"), FRAUD)
    assert (first.number, first.run) == (1, "aaaa")
    assert registry.register(saved(home, "aaaa"), FRAUD) == first
    second = registry.register(saved(home, "bbbb"), FRAUD)
    assert second.number == 2
    assert registry.aliases("fraud") == {"challenger": 2}
    assert list(registry.table("fraud")["run"]) == ["bbbb", "aaaa"]


def test_what_is_registered_is_what_the_manifest_describes(home):
    folder = saved(home, "aaaa")
    (folder / "model.joblib").write_bytes(b"something else")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        registry.register(folder, FRAUD)
    assert registry.versions("fraud") == []


@pytest.mark.promise(
    "F-23", "A model becomes champion when it is better on the same test rows, or by hand; why is kept"
)
def test_the_champion_is_beaten_on_paired_differences(home):
    good, bad, same = (
        registry.register(saved(home, run, weight=w), FRAUD) for run, w in (("g", 1), ("b", -1), ("s", 2))
    )
    first = registry.duel(bad, TABLE, FRAUD)
    assert first.better
    assert str(first) == "version 2 of fraud (run b) has nobody to beat"
    registry.promote(bad, because=str(first))
    won = registry.duel(good, TABLE, FRAUD)
    assert won.better
    assert won.low > 0.5
    registry.promote(good, because=str(won))
    assert registry.find("fraud") == good
    tie = registry.duel(same, TABLE, FRAUD)  # twice the weight ranks rows as before
    assert (tie.gain, tie.better) == (0, False)
    assert "is not told apart" in str(tie)
    lost = registry.duel(bad, TABLE, FRAUD)
    assert not lost.better
    assert "is worse, by -" in str(lost)
    because = registry.promotions("fraud")
    assert list(because[because["alias"] == "champion"]["version"]) == [2, 1]
    assert because["because"].iloc[-1] == str(won)


def test_the_champion_challenges_nobody(home):
    only = registry.register(saved(home, "aaaa"), FRAUD)
    registry.promote(only, because="the first")
    assert registry.aliases("fraud") == {"champion": 1}
    assert str(registry.duel(only, TABLE, FRAUD)) == "version 1 of fraud (run aaaa) is the champion itself"


@pytest.mark.parametrize("other", [{"seed": 1}, {"source": "curated"}, {"test": "def"}])
def test_models_beside_different_test_tables_are_not_compared(home, other):
    registry.promote(registry.register(saved(home, "aaaa"), FRAUD), because="the first")
    challenger = registry.register(saved(home, "bbbb", **other), FRAUD)
    with pytest.raises(ModelError, match="trained beside different test tables"):
        registry.duel(challenger, TABLE, FRAUD)


def test_a_version_that_there_is_not(home):
    with pytest.raises(ModelError, match="fraud has no champion; versions: none: run 03_run_federation"):
        registry.find("fraud")
    registry.register(saved(home, "aaaa"), FRAUD)
    with pytest.raises(ModelError, match="fraud has no version 7; versions: 1"):
        registry.find("fraud", 7)


@pytest.mark.promise("F-24", "A model leaves the account without pickle, with a manifest that its receiver checks")
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_downloaded_holds_no_pickle_and_gives_the_same_answers(home, name):
    problem = PROBLEMS[name]
    version = registry.register(saved(home, "aaaa", problem=problem), problem)
    folder = registry.download(version, home / "out")
    assert {path.name for path in folder.iterdir()} == {"model.npz", "manifest.json"}
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == {"model.npz"}
    row = model.example(version.folder)
    there, here = model.load_twin(folder), model.load(version.folder)
    assert there.pipeline.predict_proba(row).tolist() == here.pipeline.predict_proba(row).tolist()
    (folder / "model.npz").write_bytes((folder / "model.npz").read_bytes() + b" ")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        model.load_twin(folder)


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_has_every_column_in_its_own_unit(home, name):
    problem = PROBLEMS[name]
    row = model.example(saved(home, "aaaa", problem=problem))
    assert list(row.columns) == list(problem.feature_names)
    for column, transform in zip(problem.features, problem.transforms, strict=True):
        (cell,) = row[column.name]
        if column.categories:
            assert cell in column.categories
        else:
            assert cell == pytest.approx(np.expm1(0.5) if transform == "log1p" else 0.5)

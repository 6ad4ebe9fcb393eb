"""Keeping the global model: what is saved is what is loaded, and nothing else is opened."""

import json

import numpy as np
import pandas as pd
import pytest

from client_code import task
from workshop import problems
from workshop.errors import ModelError
from workshop.science import model

FRAUD = problems.load()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    parameters = [rng.normal(size=(1, 49)), rng.normal(size=1)]
    scaler = task.Scaler(rng.normal(3, 1, 49), rng.uniform(0.5, 2, 49))
    model.save(tmp_path, parameters, scaler, FRAUD, threshold=0.4, about={"seed": 1})
    return tmp_path


@pytest.fixture
def providers():
    rng = np.random.default_rng(2)
    return pd.DataFrame(rng.lognormal(3, 2, (20, 49)), columns=list(FRAUD.feature_names))


def test_model_and_twin_give_the_same_probabilities(folder, providers):
    loaded, twin = model.load(folder), model.load_twin(folder)
    np.testing.assert_array_equal(loaded.pipeline.predict_proba(providers), twin.pipeline.predict_proba(providers))
    assert loaded.threshold == twin.threshold == 0.4
    assert loaded.about == {"seed": 1}


@pytest.mark.parametrize("name", [model.MODEL, model.TWIN])
def test_a_file_that_was_swapped_is_not_opened(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes() + b"x")
    for load in (model.load, model.load_twin):
        with pytest.raises(ModelError, match=f"{name} is not the file"):
            load(folder)


def test_a_missing_model_names_the_notebook_that_makes_it(folder):
    (folder / model.MODEL).unlink()
    with pytest.raises(ModelError, match=r"model\.joblib is missing: run 03_run_federation"):
        model.load(folder)


def test_the_twin_holds_no_pickle(folder):
    with np.load(folder / model.TWIN, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fU" for name in arrays.files)


def test_the_manifest_says_how_it_was_trained(folder):
    manifest = json.loads((folder / model.MANIFEST).read_text())
    assert set(manifest["files"]) == {"model.joblib", "model.npz"}
    assert "scikit-learn" in manifest

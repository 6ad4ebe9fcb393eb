"""Random streams: every step and every owner draws bits of its own, whatever other steps there are."""

import inspect
import itertools

import numpy as np
import pytest

from data_prep import balance, owners, prepare, sources, split, streams, synthetic
from workshop import problems

FRAUD = problems.load()

STEPS = (streams.GENERATE, streams.HOLD_OUT, streams.DEAL, streams.SPLIT, streams.SMOTE, streams.UNDER_SAMPLE)
OWNERS = ("", *(f"client-{number}" for number in range(1, 13)))


@pytest.fixture
def entropies(monkeypatch):
    """Record which streams are opened, by the words that they are made of."""
    opened = []
    make = streams.sequence

    def recorded(seed, step, owner=""):
        opened.append((step, owner))
        return make(seed, step, owner)

    monkeypatch.setattr(streams, "sequence", recorded)
    return opened


def test_no_two_steps_and_no_two_owners_share_a_stream():
    first = {
        (seed, step, owner): tuple(streams.sequence(seed, step, owner).generate_state(4))
        for seed, step, owner in itertools.product((0, 1, 2**40), STEPS, OWNERS)
    }
    assert len(set(first.values())) == len(first) == 3 * 6 * 13


def test_names_that_run_together_are_not_the_same_stream():
    assert streams.random_state(0, "split", "2client") != streams.random_state(0, "split2", "client")


def test_a_stream_does_not_depend_on_which_others_were_opened():
    """By hand: a child of NumPy's SeedSequence is its seed and its key, and nothing else."""
    child = np.random.SeedSequence(7, spawn_key=tuple(b"deal\0"))
    for step in STEPS:
        streams.generator(7, step).random(100)
    assert streams.random_state(7, streams.DEAL) == int(child.generate_state(1)[0])


def test_every_step_of_a_preparation_opens_its_own_stream_once(entropies, tmp_path):
    table = sources.load("synthetic", FRAUD, seed=3, cache=tmp_path)
    prepare.prepare(table, n_clients=2, how="iid", balance="smote_undersample", seed=3, folder=tmp_path)
    own = [(step, owner) for owner in ("client-1", "client-2") for step in ("split", "smote", "under-sample")]
    assert sorted(entropies) == sorted([("generate", ""), ("hold out", ""), ("deal", ""), *own])


def test_a_step_that_is_left_out_changes_no_other(tmp_path):
    """Without balancing, the same rows are trained on and validated with; so they are with another client less."""
    table = sources.load("synthetic", FRAUD, seed=0, cache=tmp_path)
    read = {}
    for how in prepare.BALANCE:
        prepare.prepare(table, n_clients=2, how="iid", balance=how, seed=0, folder=tmp_path / how)
        read[how] = {
            path.relative_to(tmp_path / how): path.read_bytes()
            for path in (tmp_path / how).glob("*/*.csv")
            if path.name != "train_balanced.csv"
        }
    assert read["none"] == read["smote"] == read["smote_undersample"]
    assert len(read["none"]) == 5


def test_an_owner_alone_draws_as_it_does_among_others(tmp_path):
    frame = synthetic.generate(FRAUD, 800, seed=2)
    table = sources.Table(frame, "file", "0", FRAUD)
    for name in ("client-1", "client-2"):
        prepare.prepare_one(table, name=name, seed=5, folder=tmp_path)
    trained = {name: (tmp_path / name / "train.csv").read_bytes() for name in ("client-1", "client-2")}
    assert trained["client-1"] != trained["client-2"]
    train, _ = split.train_validation(split.deduplicate(frame, FRAUD), FRAUD, seed=5, owner="client-2")
    assert owners.csv_bytes(train) == trained["client-2"]


def test_generated_rows_say_nothing_of_how_they_are_dealt():
    """Drawn from one stream, the first numbers of the rows and of their shuffling would be the same bits."""
    for seed in range(20):
        bits = [
            streams.generator(seed, step).integers(2**63, size=4).tolist() for step in (streams.GENERATE, streams.DEAL)
        ]
        assert bits[0] != bits[1]
        assert bits[0] != np.random.default_rng(seed).integers(2**63, size=4).tolist()


def test_no_module_of_data_prep_opens_a_stream_of_its_own():
    """Another generator would be a stream without a name."""
    for module in (balance, split, synthetic, prepare):
        source = inspect.getsource(module)
        assert "default_rng" not in source
        assert "random_state=seed" not in source, module.__name__

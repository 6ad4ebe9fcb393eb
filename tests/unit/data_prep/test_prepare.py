"""From a table to one folder per owner: all steps in their order, and files that can be verified."""

import pandas as pd
import pytest

from client_code import schema
from data_prep import owners, prepare, sources, split
from workshop import problems

FRAUD = problems.load()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return sources.load("synthetic", FRAUD, seed=0, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def prepared(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return folder, prepare.prepare(table, n_clients=3, how="iid", balance="smote", seed=0, folder=folder)


def read(folder, *names):
    return pd.concat([schema.read_table(folder / name, FRAUD) for name in names])


@pytest.mark.promise("D-15", "No provider is in two owners' rows, nor in training and validation or test")
def test_no_provider_is_in_two_places(prepared, table):
    """Holds for test, validation and training rows of all owners: nothing leaks from one into another."""
    folder, _ = prepared
    names = ["server/test.csv"]
    names += [f"client-{number}/{part}.csv" for number in (1, 2, 3) for part in ("train", "validation")]
    rows = read(folder, *names)
    assert not rows.duplicated().any()
    assert len(rows) == len(table.frame.drop_duplicates())


@pytest.mark.promise("D-15", "SMOTE sees training rows only, after every split")
def test_smote_touches_the_balanced_file_and_no_other(prepared):
    folder, _ = prepared
    for number in (1, 2, 3):
        own = folder / f"client-{number}"
        real, balanced = read(own, "train.csv"), read(own, "train_balanced.csv")
        assert balanced.head(len(real)).equals(real)
        assert len(balanced) > len(real)
        assert balanced[FRAUD.label.name].mean() == pytest.approx(0.5)
        assert read(own, "validation.csv")[FRAUD.label.name].mean() < 0.2


@pytest.mark.parametrize("how", ["none", "smote_undersample"])
def test_balancing_is_a_choice(table, tmp_path, how):
    prepare.prepare(table, n_clients=2, how="iid", balance=how, seed=0, folder=tmp_path)
    real, balanced = (read(tmp_path / "client-1", name) for name in ("train.csv", "train_balanced.csv"))
    if how == "none":
        assert balanced.equals(real)
    else:
        assert balanced[FRAUD.label.name].mean() == 0.5
        assert len(balanced) < len(real)


def test_the_manifest_tells_rows_fraud_checksum_source_and_seed(prepared, table):
    folder, made = prepared
    manifest = owners.verify_owner(folder / "client-2")
    assert (manifest["owner"], manifest["source"], manifest["seed"]) == ("client-2", "synthetic", 0)
    assert manifest["source_sha256"] == table.sha256
    entry = manifest["files"]["train.csv"]
    counts = made.counts.loc["client-2"]
    assert (entry["rows"], entry["positives"]) == (counts["train_rows"], counts["train_positives"])


def test_every_file_of_synthetic_rows_is_stamped(prepared):
    folder, _ = prepared
    files = list(folder.glob("*/*.csv"))
    assert len(files) == 10
    assert all(path.read_text().startswith("# synthetic rows") for path in files)


def test_the_same_seed_writes_the_same_bytes(prepared, table, tmp_path):
    folder, _ = prepared
    prepare.prepare(table, n_clients=3, how="iid", balance="smote", seed=0, folder=tmp_path)
    for path in [*folder.glob("*/*.csv"), *folder.glob("*/*.json")]:
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_numbers_survive_the_file_exactly(prepared, table):
    folder, made = prepared
    written = read(folder, "server/test.csv")
    assert len(written.merge(table.frame.drop_duplicates(), on=list(FRAUD.names))) == len(written)
    assert made.test_rows == len(written)


def test_a_file_that_was_changed_or_lost_is_named(table, tmp_path):
    prepare.prepare(table, n_clients=1, how="iid", balance="none", seed=0, folder=tmp_path)
    path = tmp_path / "client-1" / "train.csv"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(owners.ManifestError, match=r"client-1/train\.csv is not the file"):
        owners.verify_owner(tmp_path / "client-1")
    path.unlink()
    with pytest.raises(owners.ManifestError, match=r"client-1/train\.csv is missing"):
        owners.verify_owner(tmp_path / "client-1")


def test_a_run_with_fewer_files_leaves_none_of_the_earlier_run(table, tmp_path):
    frame = table.frame.head(200)
    about = {"owner": "x", "source": "file", "source_sha256": "0", "seed": 0}
    owners.write_owner(tmp_path, {"a.csv": frame, "b.csv": frame}, FRAUD, **about)
    owners.write_owner(tmp_path, {"a.csv": frame}, FRAUD, **about)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "manifest.json", "salt"]


def test_an_unknown_way_to_balance_lists_the_choices(table, tmp_path):
    with pytest.raises(ValueError, match="choose one of smote, smote_undersample, none"):
        prepare.prepare(table, n_clients=1, how="iid", balance="magic", seed=0, folder=tmp_path)


def test_clients_of_an_earlier_run_are_gone(table, tmp_path):
    for n_clients in (3, 2):
        prepare.prepare(table, n_clients=n_clients, how="iid", balance="none", seed=0, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client-1", "client-2", "server"]


def test_a_damaged_manifest_is_named(table, tmp_path):
    prepare.prepare(table, n_clients=1, how="iid", balance="none", seed=0, folder=tmp_path)
    (tmp_path / "server" / "manifest.json").write_text("{}")
    with pytest.raises(owners.ManifestError, match=r"server/manifest\.json is damaged"):
        owners.verify_owner(tmp_path / "server")


def rows_of(table, honest, fraudulent):
    frame = table.frame.drop_duplicates()
    parts = [frame[frame[FRAUD.label.name] == kind].head(n) for kind, n in enumerate((honest, fraudulent))]
    return sources.Table(pd.concat(parts, ignore_index=True), "file", "0", FRAUD)


@pytest.mark.parametrize(
    ("name", "counts", "told"),
    [
        ("client-1", (600, 2), "client-1: 0 of 121 validation rows would be fraudulent"),
        ("client-2", (30, 6), "client-2: 28 training rows, and 50 are needed"),
        ("server", (300, 4), "server: 4 of 304 test rows would be fraudulent, and 5 are needed"),
    ],
)
def test_an_owners_rows_that_no_job_could_use_are_refused(table, tmp_path, name, counts, told):
    with pytest.raises(split.SplitError, match=told):
        prepare.prepare_one(rows_of(table, *counts), name=name, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_leaves_the_files_of_the_earlier_run(table, tmp_path):
    prepare.prepare(table, n_clients=2, how="iid", balance="none", seed=0, folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    for settings in ({"n_clients": 400, "balance": "none"}, {"n_clients": 2, "balance": "magic"}):
        with pytest.raises(ValueError, match=r"lower CLIENTS|choose one of"):
            prepare.prepare(table, how="iid", seed=1, folder=tmp_path, **settings)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*")} == before


@pytest.mark.parametrize(
    ("honest", "fraudulent"), [(252, 63), (254, 63), (302, 75), (402, 100), (403, 100), (300, 300)]
)
@pytest.mark.parametrize("balance", prepare.BALANCE)
def test_every_count_can_be_balanced(table, tmp_path, honest, fraudulent, balance):
    counts = prepare.prepare_one(rows_of(table, honest, fraudulent), name="client-1", balance=balance, folder=tmp_path)
    if balance == "none":
        assert counts["balanced_rows"] == counts["train_rows"]
    elif balance == "smote" or honest != fraudulent:
        assert counts["balanced_rows"] == 2 * counts["balanced_positives"]

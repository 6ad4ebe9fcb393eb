"""An owner's files give back every bit, and the manifest notices when one has changed."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from client_code import schema
from data_prep import owners, synthetic
from workshop import problems

FRAUD = problems.load()

ABOUT = {"owner": "client-1", "source": "file", "source_sha256": "0" * 64, "seed": 7}


@pytest.fixture
def tables():
    frame = synthetic.generate(FRAUD, 60, 0.5, seed=0)
    return {"train.csv": frame.iloc[:40], "validation.csv": frame.iloc[20:]}


def test_the_manifest_counts_rows_and_fraud_and_names_the_source(tmp_path, tables):
    manifest = owners.write_owner(tmp_path / "client-1", tables, FRAUD, **ABOUT)
    assert manifest == owners.verify_owner(tmp_path / "client-1")
    assert {key: manifest[key] for key in ABOUT} == ABOUT
    # The generator puts 30 honest rows before 30 fraudulent ones.
    assert {name: (entry["rows"], entry["positives"]) for name, entry in manifest["files"].items()} == {
        "train.csv": (40, 10),
        "validation.csv": (40, 30),
    }
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == hashlib.sha256((tmp_path / "client-1" / name).read_bytes()).hexdigest()


def test_every_number_comes_back_to_the_last_bit(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.lognormal(5, 9, size=(200, 50)), columns=list(FRAUD.names))
    frame[FRAUD.label.name], frame["female"] = [0, 1] * 100, [0, 0, 1, 1] * 50
    owners.write_owner(tmp_path, {"train.csv": frame}, FRAUD, **ABOUT)
    assert np.array_equal(schema.read_table(tmp_path / "train.csv", FRAUD).to_numpy(float), frame.to_numpy(float))


def test_the_same_rows_make_the_same_bytes(tmp_path, tables):
    for folder in ("one", "two"):
        owners.write_owner(tmp_path / folder, tables, FRAUD, **ABOUT)
    for name in (*tables, owners.MANIFEST):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert b"\r" not in (tmp_path / "one" / name).read_bytes()


def test_only_files_of_synthetic_rows_carry_the_stamp(tmp_path, tables):
    for source, stamped in (("synthetic", True), ("curated", False)):
        owners.write_owner(tmp_path, tables, FRAUD, **ABOUT | {"source": source})
        for name in tables:
            assert (tmp_path / name).read_text().startswith("# synthetic") is stamped
            assert len(schema.read_table(tmp_path / name, FRAUD)) == 40


def test_a_changed_digit_is_noticed_and_the_file_named(tmp_path, tables):
    owners.write_owner(tmp_path / "client-1", tables, FRAUD, **ABOUT)
    path = tmp_path / "client-1" / "train.csv"
    content = path.read_bytes()
    place = content.rindex(b"1")
    path.write_bytes(content[:place] + b"2" + content[place + 1 :])
    with pytest.raises(owners.ManifestError, match=r"client-1/train\.csv .*SHA-256"):
        owners.verify_owner(tmp_path / "client-1")


def test_a_missing_file_and_a_missing_manifest_are_named(tmp_path, tables):
    owners.write_owner(tmp_path / "client-1", tables, FRAUD, **ABOUT)
    (tmp_path / "client-1" / "train.csv").unlink()
    with pytest.raises(owners.ManifestError, match=r"client-1/train\.csv is missing"):
        owners.verify_owner(tmp_path / "client-1")
    (tmp_path / "client-1" / owners.MANIFEST).unlink()
    with pytest.raises(owners.ManifestError, match="client-1 has no manifest"):
        owners.verify_owner(tmp_path / "client-1")


def test_files_of_an_earlier_run_do_not_stay(tmp_path, tables):
    owners.write_owner(tmp_path, tables, FRAUD, **ABOUT)
    owners.write_owner(tmp_path, {"test.csv": tables["train.csv"]}, FRAUD, **ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [owners.MANIFEST, owners.SALT, "test.csv"]


def test_a_writing_that_was_interrupted_leaves_no_manifest(tmp_path, tables, monkeypatch):
    owners.write_owner(tmp_path, tables, FRAUD, **ABOUT)
    write = owners._write

    def full_disk(path, body):
        if path.name == "validation.csv":
            raise OSError("no space left")
        write(path, body)

    monkeypatch.setattr(owners, "_write", full_disk)
    with pytest.raises(OSError, match="no space"):
        owners.write_owner(tmp_path, tables, FRAUD, **ABOUT)
    with pytest.raises(owners.ManifestError):
        owners.verify_owner(tmp_path)


def test_the_manifest_is_sorted_json(tmp_path, tables):
    owners.write_owner(tmp_path, tables, FRAUD, **ABOUT)
    text = (tmp_path / owners.MANIFEST).read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_an_owner_s_secret_is_private_and_stays_as_long_as_its_folder(tmp_path, tables):
    about = {"owner": "client-1", "source": "synthetic", "source_sha256": "0", "seed": 0}
    owners.write_owner(tmp_path / "a", tables, FRAUD, **about)
    secret = (tmp_path / "a" / owners.SALT).read_bytes()
    owners.write_owner(tmp_path / "a", tables, FRAUD, **about)
    owners.write_owner(tmp_path / "b", tables, FRAUD, **about)
    assert (tmp_path / "a" / owners.SALT).read_bytes() == secret != (tmp_path / "b" / owners.SALT).read_bytes()
    assert len(secret) == 32
    assert (tmp_path / "a" / owners.SALT).stat().st_mode & 0o077 == 0
    assert secret.hex() not in (tmp_path / "a" / owners.MANIFEST).read_text()
    (tmp_path / "a" / owners.SALT).unlink()
    with pytest.raises(owners.ManifestError, match="a/salt is missing: run 01_prepare_data"):
        owners.verify_owner(tmp_path / "a")

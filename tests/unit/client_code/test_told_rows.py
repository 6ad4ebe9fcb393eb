"""What a client tells of which rows it has: a keyed checksum, by which nobody checks a guess."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client_code"))  # as in a job

import client

ROWS = np.arange(12.0).reshape(4, 3)
LABELS = np.array([0, 1, 0, 0])


def data(*, salt=b"s" * 32, rows=ROWS):
    return client.ClientData((rows, LABELS), (ROWS[:2], LABELS[:2]), rows, salt)


def test_the_same_rows_of_one_owner_have_one_checksum():
    assert data().checksum() == data().checksum()
    changed = ROWS.copy()
    changed[3, 2] += 1
    assert data(rows=changed).checksum() != data().checksum()


def test_who_guesses_the_rows_cannot_check_the_guess():
    plain = hashlib.sha256()
    for array in (ROWS, LABELS, ROWS[:2], LABELS[:2], ROWS):
        plain.update(np.ascontiguousarray(array).data)
    assert data().checksum() != plain.hexdigest()
    assert data(salt=b"t" * 32).checksum() != data().checksum()


@pytest.mark.parametrize("salt", [None, b"", b"short"])
def test_without_a_secret_nothing_is_told(tmp_path, salt, monkeypatch):
    monkeypatch.setattr(client.schema, "read_table", lambda *_, **__: None)
    monkeypatch.setattr(client.schema, "to_arrays", lambda *_: (ROWS, LABELS))
    if salt is not None:
        (tmp_path / "salt").write_bytes(salt)
    problem = client.problems.load(Path(__file__).parents[3] / "problems" / "fraud.toml")
    with pytest.raises(client.schema.TableError, match=r"salt.*there is none, or too short a one"):
        client.load_data(tmp_path, problem=problem)

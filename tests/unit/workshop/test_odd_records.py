"""Files of this kit that hold something odd: a sentence with what to do, whatever it is."""

import json

import pytest

from workshop import state
from workshop.aws import agreement, choices
from workshop.errors import MissingStep, WorkshopError
from workshop.owners import cards

ODD = {
    "null": "null",
    "a number": "3",
    "a list": "[]",
    "a text": '"x"',
    "nothing": "",
    "half": '{"data": {',
    "not UTF-8": b"\xff\xfe{}",
    "deep": "[" * 100_000,
}
READ = {
    "state.json": lambda: state.load("data"),
    "agreement.json": agreement.load,
    "choices.json": choices.load,
    "cards/client-1.json": lambda: cards.card_values("client-1"),
}
WRITE = {
    "state.json": lambda: state.save(data={}),
    "choices.json": lambda: choices.choose(idle_minutes=60),
    "agreement.json": agreement.members,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


def put(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("file", READ)
def test_an_odd_file_is_named_with_what_to_do(home, file, what):
    put(home / file, ODD[what])
    with pytest.raises(MissingStep, match=rf"{file.rpartition('/')[2]} cannot be read; (delete it and|join)"):
        READ[file]()


@pytest.mark.parametrize("file", READ)
def test_a_folder_in_a_file_s_place_is_named_too(home, file):
    (home / file).mkdir(parents=True)
    with pytest.raises(MissingStep, match=rf"{file.rpartition('/')[2]} cannot be read"):
        READ[file]()


@pytest.mark.parametrize("file", WRITE)
def test_nothing_is_written_over_an_odd_file(home, file):
    put(home / file, "null")
    with pytest.raises(WorkshopError, match="cannot be read"):
        WRITE[file]()
    assert (home / file).read_text() == "null"


@pytest.mark.parametrize("entry", [None, 3, [], "x"])
def test_an_entry_of_another_kind_is_missing(home, entry):
    put(home / "state.json", json.dumps({"accounts": entry, "target": entry}))
    with pytest.raises(MissingStep, match=r"run 02_connect_accounts\.ipynb first"):
        state.load("accounts")
    with pytest.raises(MissingStep, match=r"run 00_start_here\.ipynb first"):
        state.load("target")


def test_a_client_without_a_card_is_told_what_a_client_does():
    with pytest.raises(MissingStep) as error:
        cards.federation(["client-1"])
    assert "ask its owner for one (`python -m workshop card server --for client-1` writes it there)" in str(error.value)
    assert "python -m workshop join" in str(error.value)

"""The state file between notebooks."""

import threading

import pytest

from workshop import files, state
from workshop.aws import agreement, choices
from workshop.errors import AgreementError, MissingStep, WorkshopError


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))


def test_what_one_notebook_saves_the_next_loads():
    state.save(data={"rows": 3})
    state.save(target={"name": "embedded"})
    assert state.load("target", "data") == [{"name": "embedded"}, {"rows": 3}]


def test_what_cannot_be_written_is_named_with_the_reason_and_the_remedy(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WorkshopError, match=r"file/x cannot be written \(Not a directory\): make room or make its"):
        files.write_text(tmp_path / "file" / "x", "anything")


def test_a_missing_step_names_the_notebook_that_makes_it():
    with pytest.raises(MissingStep, match=r"run 02_connect_accounts\.ipynb first"):
        state.load("accounts")


def test_what_was_forgotten_is_missing_again():
    state.save(accounts={}, data={})
    state.forget("accounts")
    with pytest.raises(MissingStep):
        state.load("accounts")
    assert state.load("data") == [{}]


@pytest.mark.parametrize("content", ['{"data": {', "null", "3", "[]", '"x"', "", "\x00"])
def test_a_file_that_holds_something_else_says_where_to_start(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    for use in (lambda: state.load("data"), lambda: state.save(data={}), lambda: state.forget("data")):
        with pytest.raises(MissingStep, match=r"state\.json .*; delete it and start with 00_start_here"):
            use()
    assert (tmp_path / "state.json").read_text() == content


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    for name in ("state.json", "agreement.json", "choices.json"):
        (tmp_path / name).mkdir()
    for load in (lambda: state.load("data"), agreement.load, choices.load):
        with pytest.raises(MissingStep, match=r"\.json cannot be read; delete it and "):
            load()


def test_choices_of_another_version_are_named(tmp_path):
    (tmp_path / "choices.json").write_text('{"colour": "blue"}')
    with pytest.raises(AgreementError, match=r"choices\.json was written by another version .*colour"):
        choices.load()


def test_of_two_kernels_that_save_at_once_none_loses_an_entry():
    names = list(state.MAKERS)
    threads = [threading.Thread(target=lambda name=name: state.save(**{name: {"by": name}})) for name in names * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.load(*names) == [{"by": name} for name in names]


def test_only_entries_that_a_notebook_makes_can_be_saved():
    with pytest.raises(KeyError, match="surprise"):
        state.save(surprise=1)

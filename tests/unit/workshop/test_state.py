"""The state file between notebooks."""

import pytest

from workshop import files, state
from workshop.errors import MissingStep, WorkshopError


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


def test_a_file_that_was_cut_off_says_where_to_start(tmp_path):
    (tmp_path / "state.json").write_text('{"data": {')
    with pytest.raises(MissingStep, match="00_start_here"):
        state.load("data")


def test_only_entries_that_a_notebook_makes_can_be_saved():
    with pytest.raises(KeyError, match="surprise"):
        state.save(surprise=1)

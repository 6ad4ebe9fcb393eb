"""Tracks: which notebooks are run, in which order, in whose words."""

import pytest

from client_code import problem as problems_of
from workshop import problems
from workshop.errors import WorkshopError
from workshop.lessons import execute, tracks


def test_a_tracks_own_notebook_takes_the_place_of_the_shared_one():
    shared, heart = tracks.sources("fraud"), tracks.sources("heart")
    assert [source.name for source in heart] == [source.name for source in shared]
    own = {source.stem for source in heart if tracks.is_own(source, "heart")}
    assert {"01_prepare_data", "03_run_federation", "04_evaluate_global_model"} <= own
    assert not tracks.is_own(heart[0], "heart")
    assert all(tracks.is_own(source, "fraud") for source in shared)
    assert tracks.notebook_of(heart[1]) == tracks.NOTEBOOKS / "heart" / "01_prepare_data.ipynb"
    assert [tracks.problem_of(source).name for source in heart[:2]] == ["fraud", "heart"]


def test_prose_takes_the_words_of_the_problem(tmp_path):
    words = problems.path("heart").read_text().replace("about = ", "outcome_2 = ").replace("outcome_2", "# about")
    (tmp_path / "mine.toml").write_text(words)
    mine = problems_of.load(tmp_path / "mine.toml")
    assert tracks.told("${about} ${n_columns}, ${n_features}, $5", mine) == "One row is one patient. 14, 13, $5"


def test_without_a_track_it_is_the_fraud_track():
    assert execute.track_from({"CLIENTS": "2", "TRACK": ""}) == ("fraud", {"CLIENTS": 2})


def test_a_track_has_settings_and_what_is_set_by_hand_stays():
    track, options = execute.track_from({"TRACK": "heart", "ROUNDS": "5", "PROBLEM": ""})
    assert track == "heart"
    assert options == {"CLIENTS": 4, "PROBLEM": "heart", "PARTITION": "given", "ROUNDS": 5}
    assert execute.track_from({"TRACK": "heart", "CLIENTS": "3"})[1]["CLIENTS"] == 3


def test_a_track_that_there_is_not_and_another_problem_are_refused():
    with pytest.raises(WorkshopError, match="TRACK=hart is unknown; choose one of fraud, heart, data"):
        execute.track_from({"TRACK": "hart"})
    with pytest.raises(WorkshopError, match="TRACK=heart has a problem of its own: leave out TRACK, or PROBLEM=fraud"):
        execute.track_from({"TRACK": "heart", "PROBLEM": "fraud"})


def test_a_track_that_stands_alone_has_its_own_notebooks_and_another_s_problem():
    assert [source.stem for source in tracks.sources("data")] == [
        "01_build_the_table", "02_choices_and_labels", "03_in_your_account",
    ]  # fmt: skip
    assert tracks.problem_of(tracks.sources("data")[0]).name == "fraud"
    assert execute.track_from({"TRACK": "data"}) == ("data", {"PROBLEM": "fraud"})
    assert [track for track, _ in execute.tracks_from({})] == ["fraud", "heart"]

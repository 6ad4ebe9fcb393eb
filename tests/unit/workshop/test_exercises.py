"""Does an exercise say right to what is right, and only to that; is none solved in what a learner opens?"""

from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from workshop import problems
from workshop.lessons import exercises, tracks
from workshop.lessons.exercises.verdicts import NOT_YET, OPEN, PLACEHOLDER, RIGHT, exercise, verdict

SOURCES = sorted(tracks.SOURCES.rglob("[0-9]*.py"))


def of(source) -> str:
    return source.relative_to(tracks.SOURCES).with_suffix("").as_posix()


@pytest.mark.parametrize("source", SOURCES, ids=of)
def test_a_learner_finds_something_to_do_and_no_solution(source):
    problem = tracks.problem_of(source)
    for_learners = tracks.convert(source, problem)
    for_instructors = tracks.convert(source, problem, solutions=True)
    tagged = [cell.metadata.get("tags", []) for cell in for_instructors.cells]
    solved = [number for number, tags in enumerate(tagged) if tracks.SOLUTION in tags]
    assert solved
    for number in solved:
        assert tagged[number - 1] == ["exercise"], "a solution follows its exercise"
        assert for_instructors.cells[number].metadata["jupyter"] == {"source_hidden": True}
        assert "..." in for_instructors.cells[number - 1].source
        solution = for_instructors.cells[number].source
        assert "..." not in solution
        assert not any(solution == cell.source for cell in for_learners.cells)
    assert len(for_learners.cells) == len(for_instructors.cells) - len(solved)
    rendered = nbformat.read(tracks.notebook_of(source), as_version=4)
    open_ones = [cell for cell in rendered.cells if cell.metadata.get("tags") == ["exercise"]]
    assert len(open_ones) == len(solved)
    for cell in open_ones:
        assert cell.outputs[-1]["data"]["text/plain"] == f"{OPEN}: {PLACEHOLDER}"


def test_an_answer_that_is_missing_leaves_it_open_and_one_that_cannot_be_read_raises_nothing():
    @exercise
    def judge(answer, other):
        return verdict(int(answer["number"]) == other, "seven")

    for missing in (..., {"number": ...}, ["a", ...], {"a": {"b": (..., 1)}}):
        assert judge(missing, 7).state == OPEN
    assert judge({"number": "7"}, other=7).state == RIGHT
    assert judge({"number": 8}, ...).state == NOT_YET
    for odd in ({"number": "seven"}, {}, 3, None):
        assert judge(odd, 7).state == NOT_YET
        assert "cannot be read as an answer" in judge(odd, 7).says


def test_a_verdict_on_a_page_shows_an_answer_as_text():
    said = verdict(False, "<b>x</b> & y")
    assert repr(said) == "not yet: <b>x</b> & y"
    assert "&lt;b&gt;x&lt;/b&gt; &amp; y" in said._repr_html_()


def test_who_leads_is_the_server():
    named = [SimpleNamespace(name="server", account="111122223333"), SimpleNamespace(name="a", account="222233334444")]
    assert exercises.server_account("111122223333", named).state == RIGHT
    assert exercises.server_account(111122223333, named).state == RIGHT
    assert "a's" in exercises.server_account("222233334444", named).says
    assert exercises.server_account("444455556666", named).state == NOT_YET


def test_rows_that_smote_made():
    counts = pd.DataFrame({"train_rows": [100, 50], "balanced_rows": [180, 90]})
    assert exercises.rows_made(120, counts).state == RIGHT
    assert "How many of them are new" in exercises.rows_made(270, counts).says
    assert exercises.rows_made(80, counts).state == NOT_YET
    assert exercises.rows_made("1,20", counts).state == exercises.rows_made("120 ", counts).state == RIGHT
    assert "cannot be read" in exercises.rows_made("many", counts).says


def test_numbers_of_a_model():
    arrays = [np.zeros((1, 48)), np.zeros(1)]
    assert exercises.numbers_sent(49, arrays).state == RIGHT
    assert "belongs to none" in exercises.numbers_sent(48, arrays).says
    assert exercises.numbers_sent(0, arrays).state == NOT_YET


def test_half_of_the_positives_is_found_by_the_fewest_cases_that_hold_it():
    labels, probabilities = np.array([1, 0, 1, 0, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    words = problems.load("fraud").words
    judged = {k: exercises.investigators(k, labels, probabilities, words) for k in range(9)}
    assert [k for k, said in judged.items() if said.state == RIGHT] == [3]
    assert judged[2].says.endswith("go on")
    assert judged[4].says.endswith("fewer will do")
    assert "from 1 to 7" in judged[8].says


def test_what_a_test_table_can_tell():
    duel = SimpleNamespace(low=-0.004, high=0.012)
    assert exercises.told_apart(0.008, duel).state == RIGHT
    assert exercises.told_apart(0.016, duel).state == NOT_YET
    assert exercises.told_apart(0.0, duel).state == NOT_YET


def test_hospitals_that_differ():
    shares = pd.Series({"Cleveland": 0.46, "Zurich": 0.93, "Budapest": 0.05})
    assert exercises.one_sided("Budapest", shares).state == RIGHT
    assert exercises.one_sided("Zurich", shares).state == NOT_YET
    assert exercises.one_sided("Rome", shares).state == NOT_YET
    sites = pd.DataFrame({"rows": [60, 25, 20], "positives": [30, 24, 20]}, index=["Cleveland", "Zurich", "Budapest"])
    assert exercises.fewest("Zurich", sites).state == RIGHT
    assert "one class" in exercises.fewest("Budapest", sites).says
    assert exercises.fewest("Cleveland", sites).state == NOT_YET


def test_an_entry_of_a_manifest_that_differs():
    first, second = {"engine": "duckdb", "rows": 5}, {"engine": "spark", "rows": 5}
    assert exercises.manifests_differ("engine", first, second).state == RIGHT
    assert exercises.manifests_differ("rows", first, second).state == NOT_YET
    assert "no entry" in exercises.manifests_differ("colour", first, second).says
    assert exercises.manifests_differ("engine", first, {}).state == OPEN

"""``fl table``: the commands with which somebody brings a table of the own."""

import json

import numpy as np
import pandas as pd
import pytest

from client_code import problem
from data_prep import marginals, synthetic, validation
from workshop import problems, state
from workshop.errors import WorkshopError
from workshop.owners import tables


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({
        "patient": [f"p{number}" for number in range(200)],
        "age": rng.integers(20, 90, 200).astype(object),
        "ward": rng.choice(["a", "b"], 200).astype(object),
        "ill": rng.integers(0, 2, 200).astype(object),
    })  # fmt: skip
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


@pytest.fixture
def mine(path):
    output = path.with_name("mine.toml")
    tables.draft(path, output, label="ill", identifiers=["patient"], categories=["ward"], owner="")
    return output


def test_a_draft_is_written_once_and_printed_where_no_file_is_named(capsys, path, mine):
    assert "read every line; then `fl table check" in capsys.readouterr().out
    with pytest.raises(WorkshopError, match=r"mine.toml is there already: give another --output"):
        tables.draft(path, mine, label="ill", identifiers=[], categories=[], owner="")
    tables.draft(path, None, label="ill", identifiers=["patient"], categories=["ward"], owner="")
    assert capsys.readouterr().out == mine.read_text()


def test_a_table_that_is_right_is_described(path, mine, capsys):
    assert tables.check(mine, path) == 0
    told = capsys.readouterr().out
    assert "200 rows, 2 columns, 3 inputs" in told
    assert "look  mine.toml, [words]: as they were drafted" in told


def test_all_that_is_wrong_is_told_at_once_and_without_a_cell(path, mine, capsys):
    rows = pd.read_csv(path, dtype=object)
    rows.loc[0, "age"], rows.loc[1, "ward"], rows.loc[2, "ill"], rows.loc[3, "age"] = "old", "B ", "", "-4"
    rows.loc[5, "patient"] = rows.loc[6, "patient"]
    rows.to_csv(path, index=False)
    capsys.readouterr()
    assert tables.check(mine, path) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told] == [
        "WRONG rows.csv, column ill", "WRONG rows.csv, column age", "WRONG rows.csv, column age",
        "WRONG rows.csv, column ward", "WRONG rows.csv, column patient",
    ]  # fmt: skip
    assert "text stands in a number column in 1 row" in told[1]
    assert "a value is negative in 1 row" in told[2]
    assert "1 of its values stand in more than one row, in 2 rows in all" in told[-1]
    assert "(rows 6, 7 below the header)" in told[-1]
    assert [line.partition(" (row ")[2] for line in told[:4]] == [f"{row} below the header)" for row in (3, 1, 4, 2)]
    assert not any("old" in line or "p5" in line for line in told)
    rows.drop(columns="age").to_csv(path, index=False)
    tables.check(mine, path)
    assert capsys.readouterr().out.startswith("WRONG rows.csv, column age: the column is missing: age")


def test_a_subject_of_two_owners_is_told(tmp_path, capsys):
    rows = pd.DataFrame({"patient": [f"p{n}" for n in range(100)] * 2, "site": ["x"] * 100 + ["y"] * 100,
                         "age": np.arange(200) % 61, "ill": [0, 1] * 100})  # fmt: skip
    rows.to_csv(tmp_path / "rows.csv", index=False)
    mine = tmp_path / "mine.toml"
    tables.draft(tmp_path / "rows.csv", mine, label="ill", identifiers=["patient"], categories=[], owner="site")
    capsys.readouterr()
    assert tables.check(mine, tmp_path / "rows.csv") == 1
    assert "column patient: 100 rows stand in the rows of two owners (site)" in capsys.readouterr().out


def test_statistics_are_written_beside(path, mine, capsys):
    output = path.with_name("mine.statistics.json")
    assert tables.statistics(mine, path, output) == 0
    assert "read it before you send it" in capsys.readouterr().out
    assert output.read_text().startswith('{"stamp":"statistics of a table')


def test_a_problem_that_is_chosen_holds_for_what_follows(path, mine, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "home"))
    assert problems.load().name == "fraud"
    tables.statistics(mine, path, path.with_name("mine.statistics.json"))
    assert problems.choose(str(mine)).name == "rows"
    mine.unlink()  # a copy is kept
    assert problems.load().name == "rows"
    assert problems.statistics().is_file()
    with pytest.raises(WorkshopError, match="problem 'storms' is unknown"):
        problems.choose("storms")
    assert problems.load().name == "rows"
    problems.choose("fraud")
    assert problems.load() == problem.load(problems.FOLDER / "fraud.toml")
    assert not problems.statistics().is_file()
    assert (state.home() / "problem.toml").is_file()


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        (lambda age: age * 365.25, 40),  # days for years
        (lambda age: age * 0 + 9999.0, 12),  # a code for "unknown"
        (lambda age: age, 0),
        (lambda age: age * 1.4, 0),  # older patients
        (lambda age: 10 ** (age / 20), 0),  # a long tail without a gap
    ],
)
def test_a_column_of_two_units_is_worth_a_look_and_breaks_no_rule(path, mine, capsys, other, rows):
    table = pd.read_csv(path)
    some = slice(0, rows or 30)
    table["age"] = table["age"].astype(float)
    table.loc[table.index[some], "age"] = other(table["age"].iloc[some])
    table.to_csv(path, index=False)
    capsys.readouterr()
    assert tables.check(mine, path) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("look  rows.csv")]
    assert len(told) == (rows > 0)
    assert not rows or f"column age: values lie in two groups far apart, {rows} rows in the smaller" in told[0]


def test_the_hospitals_measurements_are_in_one_unit_each():
    heart = problems.load("heart")
    drawn = marginals.generate(json.loads(problems.statistics("heart").read_text()), heart, seed=3)
    assert list(validation.remarks(drawn, heart, file="heart")) == []
    fraud = problems.load("fraud")
    assert list(validation.remarks(synthetic.generate(fraud, seed=3), fraud, file="fraud")) == []

"""The program that serves a model: what it takes, what it refuses, and that it says what the pipeline says."""

import io
import json
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from client_code import task
from workshop import problems
from workshop.science import model
from workshop.serving import models, program
from workshop.tracking.registry import Version

PROBLEMS = {name: problems.load(name) for name in ("fraud", "heart")}


@pytest.fixture(scope="module", params=PROBLEMS)
def made(request, tmp_path_factory):
    """A folder with a model, its problem, and rows of its table with gaps where there may be some."""
    problem, folder = PROBLEMS[request.param], tmp_path_factory.mktemp("model")
    n, rng = len(problem.input_names), np.random.default_rng(0)
    scaler = task.Scaler(rng.uniform(0.1, 1, n), np.ones(n))
    parameters = [rng.normal(size=(1, n)), np.array([0.1])]
    model.save(folder, parameters, scaler, problem, threshold=0.5, about={"run": "r1"})
    row = model.example(folder)
    table = row.loc[[0] * 4].reset_index(drop=True).astype(object)
    for number, column in enumerate(problem.features):
        if column.missing:
            table.loc[number % 4, column.name] = None
        elif not column.categories:
            table[column.name] = [0.0, 1.0, 2.5, 3.0]
    return folder, problem, table


def csv_of(table, *, header=False):
    return table.to_csv(index=False, header=header)


def json_of(table):
    return json.dumps({"columns": list(table.columns), "rows": table.to_numpy().tolist()})


def scored(folder, body, kind="text/csv"):
    loaded = program.model_fn(str(folder))
    return program.predict_fn(program.input_fn(body, kind), loaded)


def expected(folder, problem, table):
    frame = table.astype({c.name: object if c.categories else float for c in problem.features})
    frame = frame.where(frame.notna(), np.nan)
    return model.load(folder).pipeline.predict_proba(frame)[:, 1].tolist()


@pytest.mark.promise("F-30", "A model that is served gives the probabilities of the pipeline, to the last digit")
def test_both_ways_give_what_the_pipeline_gives(made):
    folder, problem, table = made
    for body, kind in ((csv_of(table), "text/csv"), (json_of(table), "application/json")):
        assert scored(folder, body, kind) == expected(folder, problem, table)


def test_one_row_is_a_table_of_one_row(made):
    folder, problem, table = made
    (alone,) = expected(folder, problem, table.iloc[:1])
    assert scored(folder, csv_of(table.iloc[:1])) == [alone]
    assert scored(folder, csv_of(table.iloc[:1]).rstrip("\n")) == [alone]
    # Among others the sum of its products may be taken in another order.
    assert scored(folder, csv_of(table))[0] == pytest.approx(alone, rel=1e-12)


def test_a_header_is_a_header_and_may_have_another_order(made):
    folder, problem, table = made
    turned = table[list(table.columns)[::-1]]
    for body in (csv_of(table, header=True), csv_of(turned, header=True), f"{csv_of(table, header=True)}\n\n"):
        assert scored(folder, body) == expected(folder, problem, table)
    assert scored(folder, json_of(turned), "application/json; charset=utf-8") == expected(folder, problem, table)
    assert scored(folder, csv_of(table.iloc[:0], header=True)) == []


def test_a_cell_that_may_not_be_missing_is_named(made):
    folder, problem, table = made
    (first, *_) = [column.name for column in problem.features if not column.missing]
    table = table.copy()
    table.loc[2, first] = None
    with pytest.raises(ValueError, match=f"row 3, column {first}: there is no value"):
        scored(folder, csv_of(table))


@pytest.mark.parametrize("cell", ["secret", "nan", "-1", "inf"])
def test_a_cell_that_cannot_be_is_named_and_not_shown(made, cell):
    folder, problem, table = made
    kinds = zip(problem.features, problem.transforms, strict=True)
    amounts = [column.name for column, kind in kinds if kind == "log1p" and not column.missing]
    if not amounts:
        pytest.skip("no amount that must be there in this table")
    table = table.astype(object)
    table.loc[1, amounts[0]] = cell
    with pytest.raises(ValueError, match=f"row 2, column {amounts[0]}: not a number") as info:
        scored(folder, csv_of(table))
    assert "secret" not in str(info.value)


def test_a_word_that_is_none_is_refused(made):
    folder, problem, table = made
    words = [column for column in problem.features if column.categories]
    if not words:
        pytest.skip("no words in this table")
    table = table.copy()
    table.loc[0, words[0].name] = "elsewhere"
    with pytest.raises(ValueError, match=r"row 1, column .*: not one of") as info:
        scored(folder, json_of(table), "application/json")
    assert "elsewhere" not in str(info.value)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("1,2\n", "text/csv", "row 1 has 2 cells"),
        ("[1, 2]", "application/json", "JSON must be"),
        ('{"instances": [[1]]}', "application/json", "JSON must be"),
        ('{"columns": ["a"], "rows": [[1]]}', "application/json", "the columns must be"),
        ("{", "application/json", "Expecting"),
    ],
)
def test_a_request_that_is_no_table(made, body, kind, says):
    with pytest.raises(ValueError, match=says):
        scored(made[0], body, kind)


@pytest.mark.parametrize("kind", ["application/x-npy", "text/html", ""])
def test_another_format_is_not_served(kind):
    with pytest.raises(program.UnsupportedFormatError, match="text/csv and application/json"):
        program.input_fn("", kind)
    with pytest.raises(program.UnsupportedFormatError):
        program.output_fn([0.5], kind)


def test_answers_are_written_to_the_last_digit():
    values = [0.1 + 0.2, 1 / 3, 1e-300]
    text, kind = program.output_fn(values, "text/csv")
    assert ([float(line) for line in text.split()], kind) == (values, "text/csv")
    text, kind = program.output_fn(values, "application/json")
    assert (json.loads(text)["probabilities"], kind) == (values, "application/json")


def test_the_archive_is_the_same_each_time_and_holds_no_pickle(made):
    folder, problem, _ = made
    version = Version(problem.name, 1, folder, {"run": "r1"})
    packed = models.archive(version)
    assert packed == models.archive(version)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        names = sorted(tar.getnames())
    assert names == [
        "code/disclosure.py", "code/inference.py", "code/problem.py", "code/task.py", "manifest.json", "model.npz",
    ]  # fmt: skip


def test_the_program_needs_nothing_but_what_travels(made, tmp_path):
    folder, problem, table = made
    with tarfile.open(fileobj=io.BytesIO(models.archive(Version(problem.name, 1, folder, {})))) as tar:
        tar.extractall(tmp_path, filter="data")
    code = (
        "import sys\nsys.modules['client_code'] = None\nsys.path.insert(0, sys.argv[1] + '/code')\nimport inference\n"
        "rows = inference.input_fn(sys.stdin.read(), 'text/csv')\n"
        "print(inference.predict_fn(rows, inference.model_fn(sys.argv[1])))"
    )
    # This repository is installed here: -I and a name that stands for nothing keep it out of the way.
    run = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        input=csv_of(table),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == expected(folder, problem, table)

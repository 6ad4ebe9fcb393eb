"""Running the notebooks: options, progress, and what is said when a cell fails."""

import nbformat
import pytest

from data_prep import synthetic
from workshop import problems
from workshop.errors import WorkshopError
from workshop.lessons import execute


def notebook(path, *cells):
    built = [nbformat.v4.new_markdown_cell("# A title\n\n## A step"), *map(nbformat.v4.new_code_cell, cells)]
    book = nbformat.v4.new_notebook(
        cells=built, metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    )
    book.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def test_options_are_read_in_their_types():
    assert execute.options_from({"CLIENTS": "4", "SEED": "7", "DATA": "synthetic", "ROUNDS": "", "OTHER": "x"}) == {
        "CLIENTS": 4,
        "SEED": 7,
        "DATA": "synthetic",
    }


def test_a_number_that_is_none_is_refused():
    with pytest.raises(WorkshopError, match="CLIENTS=three is not a whole number"):
        execute.options_from({"CLIENTS": "three"})


@pytest.mark.parametrize(("name", "value"), [("CLIENTS", "0"), ("ROUNDS", "-1"), ("SEED", "-1"), ("SEED", "9" * 14)])
def test_a_number_out_of_range_is_refused(name, value):
    with pytest.raises(WorkshopError, match=f"{name}={value} is not between"):
        execute.options_from({name: value})


def test_a_page_folds_what_is_folded_and_needs_nothing_from_anywhere():
    folded = "<details><summary>Why?</summary>\n\nBecause.\n</details>\n\n![](images/gate.svg)"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(folded)])
    page = execute.page(book)
    assert "</summary>\n<p>Because.</p>\n</details>" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'src="http' not in page


def test_a_table_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(WorkshopError, match="is no file"):
        execute.options_from({"DATA": str(tmp_path / "nothing.csv")})


def test_a_path_is_made_absolute_since_notebooks_run_elsewhere(tmp_path, monkeypatch):
    synthetic.generate(problems.load("fraud"), n_rows=200, seed=0).to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert execute.options_from({"DATA": "mine.csv"}) == {"DATA": str(tmp_path / "mine.csv")}


@pytest.mark.slow
def test_parameters_reach_only_the_notebooks_that_declare_them(tmp_path):
    book = notebook(tmp_path / "a.ipynb", "SEED = 0  # any", "print('seed', SEED)")
    done = execute.execute(book, tmp_path / "out.ipynb", {"SEED": 7, "ROUNDS": 9}, on_cell=lambda doing: None)
    text = (tmp_path / "out.ipynb").read_text()
    assert "seed 7" in text
    assert "ROUNDS" not in text
    assert (done.name, done.cells) == ("a", 2)
    assert "seed 7" in (tmp_path / "out.html").read_text()


@pytest.mark.slow
def test_a_kernel_that_dies_is_named_with_the_heading(tmp_path):
    book = notebook(tmp_path / "c.ipynb", "SEED = 0  # any", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(execute.NotebookFailed, match="c failed, under “A step”\n  Kernel died\n"):
        execute.execute(book, tmp_path / "out.ipynb", {}, on_cell=lambda doing: None)


@pytest.mark.slow
def test_an_embedded_aws_that_has_ended_is_named_with_its_log(tmp_path):
    ask = "import boto3; boto3.client('sts', 'us-east-1', endpoint_url='http://localhost:9', aws_access_key_id='a', "
    ask += "aws_secret_access_key='b').get_caller_identity()"
    book = notebook(tmp_path / "d.ipynb", "SEED = 0  # any", ask)
    with pytest.raises(execute.NotebookFailed, match=r"the embedded AWS has ended; its log: .*server\.log"):
        execute.execute(book, tmp_path / "out.ipynb", {}, on_cell=lambda doing: None)


@pytest.mark.slow
def test_a_failing_cell_is_named_with_its_heading_and_its_error(tmp_path):
    book = notebook(tmp_path / "b.ipynb", "SEED = 0  # any", "1 / 0")
    seen = []
    with pytest.raises(execute.NotebookFailed) as failure:
        execute.execute(book, tmp_path / "out.ipynb", {}, on_cell=seen.append)
    assert "b failed in cell [2], under “A step”" in str(failure.value)
    assert "ZeroDivisionError: division by zero" in str(failure.value)
    assert (tmp_path / "out.ipynb").exists()
    assert "A step" in seen


def test_the_model_of_a_run_before_is_kept_once(tmp_path):
    folder = tmp_path / "model"
    assert execute.set_aside(folder) is None
    for content in ("first", "second"):
        folder.mkdir()
        (folder / "model.joblib").write_text(content)
        kept = execute.set_aside(folder)
        assert kept == tmp_path / "model-before"
        assert (kept / "model.joblib").read_text() == content
        assert not folder.exists()

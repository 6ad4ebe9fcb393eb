"""The house rules for notebooks, on sources and on what is committed."""

import ast
import hashlib
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").rglob("*.py"))
RENDERED = sorted(NOTEBOOKS.rglob("*.ipynb"))
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.Lambda, ast.For, ast.While)


def lesson(path: Path) -> str:
    """Return a notebook's or a source's name below its folder: "01_prepare_data", "heart/01_prepare_data"."""
    return path.relative_to(NOTEBOOKS / "source" if path.suffix == ".py" else NOTEBOOKS).with_suffix("").as_posix()


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


@pytest.fixture(params=RENDERED, ids=lesson)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_every_source_is_rendered_and_every_notebook_has_a_source():
    assert sorted(map(lesson, SOURCES)) == sorted(map(lesson, RENDERED))
    assert len(SOURCES) >= 10


@pytest.mark.parametrize("source", SOURCES, ids=lesson)
def test_a_notebook_carries_the_checksum_of_its_source(source):
    notebook = nbformat.read(NOTEBOOKS / f"{lesson(source)}.ipynb", as_version=4)
    assert notebook.metadata.workshop.sha256 == hashlib.sha256(source.read_bytes()).hexdigest(), "run make notebooks"


def test_it_was_executed_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_no_cell_ended_in_an_error(notebook):
    """Not even a refusal: papermill would stop there (docs/decisions/0006-notebooks.md)."""
    for cell in code_cells(notebook):
        assert not [output for output in cell.outputs if output.output_type == "error"], cell.source
        assert "raises-exception" not in tags(cell)


def test_no_cell_warns(notebook):
    """A warning that a learner has not caused makes him doubt what is right; its text names a process, too."""
    for cell in code_cells(notebook):
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell.source


def test_cells_are_small_and_hold_no_functions(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
        assert not re.search(r"^\s*[%!]|sys\.path|\bos\.environ", cell.source, re.MULTILINE), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, FORBIDDEN), cell.source


def test_no_account_id_address_or_folder_is_typed_by_hand(notebook):
    for cell in code_cells(notebook):
        assert not re.search(r"\b\d{12}\b|arn:aws|https?://|/home/|endpoint_url|embedded_aws", cell.source), cell.source


def test_one_cell_holds_the_parameters_each_with_its_choices(notebook):
    (cell,) = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    for line in cell.source.splitlines():
        assert re.fullmatch(r"[A-Z][A-Z_]* = .+  # .+", line), line


def test_at_most_one_cell_in_ten_is_not_compared(notebook):
    ignored = [cell for cell in code_cells(notebook) if "nbval-ignore-output" in tags(cell)]
    assert len(ignored) <= max(1, len(code_cells(notebook)) // 10)
    assert not any("nbval-skip" in tags(cell) for cell in code_cells(notebook))


def test_it_follows_the_shape_of_a_lesson(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    places = [text.find(part) for part in ("**You will**", "**You will learn**", "**You need**", "| needs | makes |")]
    places += [text.find(part) for part in ("## Check", "## What you saw", "## Three questions", "**Next:**")]
    assert -1 not in places
    assert places == sorted(places)
    assert text.count("<details>") == 3
    assert not re.search(r"!\[\]\(", text), "a picture without words for those who cannot see it"
    assert "${" not in text, "a word that no problem has"


def test_prose_comes_before_every_code_cell_but_one_in_a_row(notebook):
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert not any(kinds[i : i + 3] == ["code"] * 3 for i in range(len(kinds))), "three code cells without a word"

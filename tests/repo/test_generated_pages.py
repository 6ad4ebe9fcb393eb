"""Pages that are written from the code say what the code does."""

import re

import promises
import pytest

from workshop.aws import blueprint
from workshop.files import TEMPLATES
from workshop.owners import provider_table
from workshop.tools import rooms


def test_the_table_of_templates_is_the_blueprint():
    page = (TEMPLATES / "README.md").read_text()
    assert f"{blueprint.BEGIN}\n{blueprint.table()}\n{blueprint.END}" in page, "run `python -m workshop blueprint`"


def test_the_page_of_columns_is_the_problem_s_and_the_recipe_s():
    assert provider_table.COLUMNS.read_text() == provider_table.columns(), "run `python -m workshop cms columns`"


def test_every_template_is_in_the_blueprint():
    templates = {path.stem for path in TEMPLATES.glob("*.yaml")}
    assert templates == {step.template for step in blueprint.ALL}


def test_the_page_of_promises_lists_what_the_tests_promise():
    def without_figures(page):
        return [line.rsplit(" | ", 1)[0] for line in page.splitlines()]

    expected = promises.page(promises.collected(), [])
    assert without_figures(promises.PAGE.read_text()) == without_figures(expected), "run `make reliability`"


def test_promises_are_read_from_decorators_and_none_is_overlooked(tmp_path):
    (tmp_path / "tests").mkdir()
    file = tmp_path / "tests" / "test_a.py"
    file.write_text('@pytest.mark.promise("F-01", "a " "b")\n@pytest.mark.slow\ndef test_b(): pass\n')
    assert promises.collected(tmp_path) == [["tests/test_a.py::test_b", "F-01", "a b"]]
    file.write_text('MARKS = [pytest.mark.promise("F-01", "a")]\n')
    with pytest.raises(ValueError, match=r"test_a\.py, line 1"):
        promises.collected(tmp_path)


def test_the_drawing_shows_the_imports_of_today():
    assert rooms.PAGE.read_text() == rooms.page(), "run `make rooms`"


def test_what_is_drawn_is_what_is_imported(tmp_path):
    """By hand: ``aws`` imports ``data_prep`` also by way of ``packing``, so that arrow is in the table only."""
    for name, text in {
        "notebooks/source/01.py": "# %% [markdown]\n# A lesson\n# %%\nfrom workshop.aws import jobs",
        "client_code/task.py": "import schema",
        "data_prep/split.py": "",
        "emulator/embedded_aws/gate/gate.py": "import embedded_aws.gate.calls",
        "workshop/aws/__init__.py": '"""AWS: ``jobs``.\n\nMore."""',
        "workshop/aws/jobs.py": "from data_prep import split\nfrom workshop import packing",
        "workshop/packing/bundle.py": "def f():\n    from data_prep.split import deal",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    page = rooms.page(tmp_path)
    assert re.findall(r"^  (\w+) --> (\w+)$", page, re.MULTILINE) == [
        ("notebooks", "workshop_aws"),
        ("workshop_aws", "workshop_packing"),
        ("workshop_packing", "data_prep"),
    ]
    assert "| `workshop.aws` | AWS: `jobs`. | data_prep, workshop.packing |" in page
    assert "| `client_code` |  | nothing of ours |" in page

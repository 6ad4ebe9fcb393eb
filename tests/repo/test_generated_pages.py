"""Pages that are written from the code say what the code does."""

import promises

from workshop.aws import blueprint
from workshop.files import TEMPLATES


def test_the_table_of_templates_is_the_blueprint():
    page = (TEMPLATES / "README.md").read_text()
    assert f"{blueprint.BEGIN}\n{blueprint.table()}\n{blueprint.END}" in page, "run `python -m workshop blueprint`"


def test_every_template_is_in_the_blueprint():
    templates = {path.stem for path in TEMPLATES.glob("*.yaml")}
    assert templates == {step.template for step in blueprint.STEPS}


def test_the_page_of_promises_lists_what_the_tests_promise():
    def without_figures(page):
        return [line.rsplit(" | ", 1)[0] for line in page.splitlines()]

    expected = promises.page(promises.collected(), [])
    assert without_figures(promises.PAGE.read_text()) == without_figures(expected), "run `make reliability`"

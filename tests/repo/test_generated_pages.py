"""Pages that are written from the code say what the code does."""

from workshop import blueprint


def test_the_table_of_templates_is_the_blueprint():
    page = (blueprint.TEMPLATES / "README.md").read_text()
    assert f"{blueprint.BEGIN}\n{blueprint.table()}\n{blueprint.END}" in page, "run `python -m workshop blueprint`"


def test_every_template_is_in_the_blueprint():
    templates = {path.stem for path in blueprint.TEMPLATES.glob("*.yaml")}
    assert templates == {step.template for step in blueprint.STEPS}

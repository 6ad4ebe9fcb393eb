"""Every single weakening of a template is noticed; the templates themselves break no rule."""

import re
from pathlib import Path

import pytest
from template_rules import RULES, Template, findings
from weakenings import WEAKENINGS

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.stem: path.read_text() for path in sorted((ROOT / "cloudformation").glob("*.yaml"))}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_breaks_no_rule(name):
    assert findings(Template.of(name, TEMPLATES[name])) == []


def test_every_policy_says_which_step_needs_it():
    for name, text in TEMPLATES.items():
        template = Template.of(name, text)
        if any(template.grants()):
            assert re.search(r"^ *# (0\d|99|Always|Notebook)", text, re.MULTILINE), name


def weakened(weakening):
    text = TEMPLATES[weakening.template]
    assert text.count(weakening.old) == 1, (
        f"{weakening.name}: the text to change stands there {text.count(weakening.old)} times"
    )
    return Template.of(weakening.template, text.replace(weakening.old, weakening.new))


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=[weakening.name for weakening in WEAKENINGS])
def test_a_weakening_is_noticed(weakening):
    assert findings(weakened(weakening))


def test_every_rule_notices_something():
    noticed = {finding.partition(":")[0] for weakening in WEAKENINGS for finding in findings(weakened(weakening))}
    assert set(RULES) - noticed <= {"it_reads_like_the_others"}


def test_the_matrix_is_printed():
    lines = ["| weakening | template | noticed by |", "|---|---|---|"]
    for weakening in WEAKENINGS:
        rules = sorted({finding.partition(":")[0] for finding in findings(weakened(weakening))})
        lines.append(f"| {weakening.name} | {weakening.template} | {', '.join(rules)} |")
    page = ROOT / "build" / "template-weakenings.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(lines) + "\n")
    assert len(lines) == len(WEAKENINGS) + 2

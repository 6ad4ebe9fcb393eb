"""Every single weakening of a template is noticed; the templates themselves break no rule."""

import json
import os
import re
import subprocess
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


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Return what checkov says of the templates as they are ("") and of every weakening, by name."""
    python = os.environ.get("TEMPLATE_SCANNER_PYTHON")
    if not python:
        pytest.skip("TEMPLATE_SCANNER_PYTHON names no Python with checkov; CI makes one")
    folder = tmp_path_factory.mktemp("weakened")
    texts = {f"base/{name}": (name, text) for name, text in TEMPLATES.items()}
    texts |= {f"{number:03d}/x": (item.template, weakened(item).text) for number, item in enumerate(WEAKENINGS)}
    for place, (name, text) in texts.items():
        path = folder / Path(place).parent / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    run = subprocess.run(
        [Path(python).with_name("checkov"), "--directory", folder, "--framework", "cloudformation", "secrets",
         "--skip-download", "--quiet", "--compact", "--output", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    reports = json.loads(run.stdout)
    found = {}
    for report in reports if isinstance(reports, list) else [reports]:
        for failed in report["results"]["failed_checks"]:
            place = Path(failed["file_path"])
            number = place.parent.name
            name = "" if number == "base" else WEAKENINGS[int(number)].name
            found.setdefault(name, set()).add((failed["check_id"], place.stem))
    return found


# Why checkov is not followed here: check and template -> reason.
SKIPPED = {
    ("CKV_AWS_18", "storage"): "access logs of the bucket would need a second bucket; CloudTrail's data events do it",
    ("CKV2_AWS_68", "notebook-instance"): "the role is a parameter: its policy, which is narrow, is in server-access",
}


def test_checkov_finds_nothing_but_what_is_listed_with_its_reason(scanned):
    assert scanned.get("", set()) == set(SKIPPED)


def test_the_matrix_says_who_notices_what(scanned):
    """A scanner alone would let most of the weakenings pass: that is what our own rules are for."""
    lines = ["| weakening | template | rules of our own | checkov |", "|---|---|---|---|"]
    by_scanner = 0
    for weakening in WEAKENINGS:
        template = weakened(weakening)
        rules = sorted({finding.partition(":")[0] for finding in findings(template)})
        checkov = sorted({check for check, _ in scanned.get(weakening.name, set()) - set(SKIPPED)})
        by_scanner += bool(checkov)
        cells = [weakening.name, weakening.template, *(", ".join(names) for names in (rules, checkov))]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"\n{len(WEAKENINGS)} weakenings, all noticed; checkov alone notices {by_scanner}.")
    page = ROOT / "build" / "template-weakenings.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(lines) + "\n")
    print(page.read_text())
    assert len(WEAKENINGS) >= 34
    assert 0 < by_scanner < len(WEAKENINGS) / 2

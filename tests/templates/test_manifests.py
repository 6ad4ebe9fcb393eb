"""The manifests are what Kubernetes 1.32 to 1.35 take, hardened, and every single weakening of them is noticed.

An owner's folder is written as the kit writes it and put together by ``kubectl kustomize``; a run is filled in as the
launcher does it. No cluster is asked here: tests/clusters does that.
"""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifest_rules import RULES, Manifests, findings
from weakenings import OF_MANIFESTS

from workshop.clusters import launch, manifests
from workshop.clusters.agents import Agent
from workshop.clusters.spec import RunSpec
from workshop.files import MANIFESTS, REPOSITORY

VERSIONS = ("1.32", "1.33", "1.34", "1.35")
ROLES = ("agent", "server", "run")
REGISTRY, DIGEST = "dkr.ecr.eu-central-1.amazonaws.com/fl-federation", "sha256:" + "0123456789abcdef" * 4
AGENT = manifests.AgentValues(
    "client-1", "rows-of-client-1", "federation.example.org", 9092, "10.20.0.0/16", "a certificate\n",
    f"444455556666.{REGISTRY}@{DIGEST}",
)  # fmt: skip
SERVER = manifests.ServerValues(9092, ("10.30.0.0/16",), "10.20.0.0/16")
SPEC = RunSpec(
    "abcd1234", "federation.example.org", 9092, "rows-of-server", (Agent("client-1", "444455556666", "FL-agent"),)
)


def put_together(bases, folder):
    """Return the text of what each role applies, made of some bases."""
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl (1.32 or later), whose kustomize puts an owner's folder together")
    texts = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "MANIFESTS", bases)
        for role, written in (
            ("agent", manifests.write_agent(folder / "agent", AGENT)),
            ("server", manifests.write_server(folder / "server", SERVER)),
        ):
            made = subprocess.run(
                ["kubectl", "kustomize", written], capture_output=True, text=True, timeout=60, check=False
            )
            assert made.returncode == 0, made.stderr
            texts[role] = made.stdout
    job = launch.filled_in(
        SPEC, image=f"111122223333.{REGISTRY}@{DIGEST}", name="run-abcd1234", manifest=bases / "run" / "job.yaml"
    )
    return texts | {"run": yaml.safe_dump(job)}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return put_together(MANIFESTS, tmp_path_factory.mktemp("owners"))


@pytest.fixture(scope="module")
def weakened(texts, tmp_path_factory):
    """Return a function: of a weakening, what is applied differently, by role."""

    @cache
    def weaken(item):
        where, _, role = item.template.partition("/")
        if where == "rendered":
            return {role: changed(item, texts[role])}
        folder = tmp_path_factory.mktemp("weakened")
        shutil.copytree(MANIFESTS, folder / "kubernetes")
        path = folder / "kubernetes" / item.template
        path.write_text(changed(item, path.read_text()))
        whole = put_together(folder / "kubernetes", folder)
        found = {role: text for role, text in whole.items() if text != texts[role]}
        assert found, f"{item.name} changes nothing that is applied"
        return found

    return weaken


def changed(item, text):
    assert text.count(item.old) == 1, f"{item.name}: the text to change stands there {text.count(item.old)} times"
    return text.replace(item.old, item.new)


def objects(text):
    return tuple(yaml.safe_load_all(text))


@cache
def refusals(text, version=VERSIONS[0]):
    """Return what the schemas of a version refuse."""
    refused = []
    for item in objects(text):
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            refused.append(f"{item['kind']} {item['metadata']['name']}: {error.message}")
    return refused


def noticed(whole):
    """Return which of our rules, and of the schemas, notice something."""
    found = {
        finding.partition(":")[0]
        for role, text in whole.items()
        for finding in findings(Manifests(role, objects(text)))
    }
    return found | {"kubernetes-validate" for text in whole.values() if refusals(text)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("role", ROLES)
def test_a_version_s_schemas_take_every_object_and_field(texts, role, version):
    assert objects(texts[role])
    assert refusals(texts[role], version) == []


def test_the_schemas_are_those_of_each_version(texts):
    """A version that the package does not have would be checked by an older one's schemas."""
    for version in VERSIONS:
        assert kubernetes_validate.validate(objects(texts["run"])[0], version, strict=True) == version


@pytest.mark.parametrize("role", ROLES)
def test_the_manifests_break_no_rule(texts, role):
    assert findings(Manifests(role, objects(texts[role]))) == []


@pytest.mark.parametrize("weakening", OF_MANIFESTS, ids=[item.name for item in OF_MANIFESTS])
def test_a_weakening_is_noticed(weakened, weakening):
    assert noticed(weakened(weakening))


def test_every_rule_notices_something(weakened):
    assert set(RULES) - set().union(*(noticed(weakened(item)) for item in OF_MANIFESTS)) == set()


# Why checkov is not followed: check and role -> reason. There is nothing to list: keep it so.
SKIPPED = {}


@pytest.fixture(scope="module")
def scanned(texts, weakened, tmp_path_factory):
    """Return what checkov says of the manifests as they are ("") and of every weakening, by name."""
    python = os.environ.get("TEMPLATE_SCANNER_PYTHON")
    if not python:
        pytest.skip("TEMPLATE_SCANNER_PYTHON names no Python with checkov; CI makes one")
    folder = tmp_path_factory.mktemp("scanned")
    for number, whole in enumerate([texts, *map(weakened, OF_MANIFESTS)]):
        for role, text in whole.items():
            path = folder / ("weakened" if number else "base") / f"{number:03d}" / f"{role}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    names, found = ["", *(item.name for item in OF_MANIFESTS)], {}
    for part in ("base", "weakened"):  # apart: some checks look at all that is there
        run = subprocess.run(
            [Path(python).with_name("checkov"), "--directory", folder / part, "--framework", "kubernetes",
             "--skip-download", "--compact", "--output", "json"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)}, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        report = json.loads(run.stdout)
        assert report["summary"]["passed"] > 100, "checkov has read nothing"
        assert report["summary"]["parsing_errors"] == 0
        for one in report["results"]["failed_checks"]:
            path = Path(one["file_path"])
            found.setdefault(names[int(path.parent.name)], set()).add((one["check_id"], path.stem))
    return found


def test_checkov_finds_nothing_but_what_is_listed_with_its_reason(scanned):
    assert scanned.get("", set()) == set(SKIPPED)


def test_the_matrix_says_who_notices_what(weakened, scanned):
    """A scanner alone would let many of the weakenings pass: that is what our own rules are for."""
    lines = ["| weakening | manifest | schemas and rules of our own | checkov |", "|---|---|---|---|"]
    by_scanner = 0
    for item in OF_MANIFESTS:
        checkov = sorted({check for check, _ in scanned.get(item.name, set()) - set(SKIPPED)})
        by_scanner += bool(checkov)
        cells = [item.name, item.template, ", ".join(sorted(noticed(weakened(item)))), ", ".join(checkov)]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"\n{len(OF_MANIFESTS)} weakenings, all noticed; checkov alone notices {by_scanner}.")
    page = REPOSITORY / "build" / "manifest-weakenings.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(lines) + "\n")
    print(page.read_text())
    assert len(OF_MANIFESTS) >= 20
    assert 0 < by_scanner < len(OF_MANIFESTS)

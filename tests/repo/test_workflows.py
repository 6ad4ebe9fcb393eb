"""GitHub Actions run what the repository has: scripts and make targets that exist, actions by commit, few rights."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / ".ci").iterdir())
FORMS = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]


def targets(makefile: str) -> set[str]:
    """Return what ``make`` can be asked for."""
    return set(re.findall(r"^([\w./-]+):(?!=)", makefile, re.MULTILINE)) - {".PHONY"}


def asked_for(commands: str) -> tuple[set[str], set[str]]:
    """Return the make targets and the scripts of ``.ci`` that shell commands call."""
    made, called = set(), set()
    for line in commands.splitlines():
        for call in re.findall(r"(?:^|[;&|({] *)(?:sudo .*? )?make ([^|;&#})]+)", line.strip()):
            made |= {word for word in call.split() if not word.startswith("-") and "=" not in word}
        called |= set(re.findall(r"(?<![\w/])\.ci/[\w-]+", line))
    return made, called


def read(path: Path) -> dict:
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 (texts only: `on` stays a word)


def steps(path: Path) -> list[dict]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} >= {"check-and-test", "nightly"}


@pytest.mark.parametrize("path", [*WORKFLOWS, *SCRIPTS], ids=lambda path: path.name)
def test_what_is_called_exists(path):
    text = "\n".join(step.get("run", "") for step in steps(path)) if path in WORKFLOWS else path.read_text()
    made, called = asked_for(text)
    assert made <= targets((ROOT / "Makefile").read_text())
    for script in called:
        assert os.access(ROOT / script, os.X_OK), f"{path.name} calls {script}"


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ("make check test", ({"check", "test"}, set())),
        ("make --silent .venv/ready || { echo no; }", ({".venv/ready"}, set())),
        ("sudo --preserve-env env A=b .ci/run", (set(), {".ci/run"})),
        ("true && make workshop CLIENTS=5", ({"workshop"}, set())),
        ("# what a maker would make of it", (set(), set())),
    ],
)
def test_calls_are_seen(commands, expected):
    assert asked_for(commands) == expected


def test_a_target_that_is_missing_is_missed():
    assert targets("a := 1\n.PHONY: check\ncheck: x  ## y\n.venv/ready: z\n") == {"check", ".venv/ready"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_named_by_commit_with_the_version_beside_it(path):
    used = re.findall(r"uses: *(.+)", path.read_text())
    assert len(used) == len([step for step in steps(path) if "uses" in step])
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_ends(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert 0 < int(job["timeout-minutes"]) <= 180
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_every_push_runs_what_the_script_runs_on_every_python_that_the_kit_is_for():
    workflow = read(ROOT / ".github" / "workflows" / "check-and-test.yml")
    assert set(workflow["on"]) == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert [step["run"] for step in job["steps"] if "run" in step][-1].endswith(" .ci/run")


def test_only_the_canary_may_fail():
    jobs = {name: job for path in WORKFLOWS for name, job in read(path)["jobs"].items()}
    assert {name for name, job in jobs.items() if job.get("continue-on-error") == "true"} == {"canary"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash_that_parses(script):
    subprocess.run(["bash", "-n", script], check=True, capture_output=True)
    assert "\nset -" in script.read_text()


def test_every_linter_of_make_check_is_proven_on_a_file_that_must_fail():
    makefile = (ROOT / "Makefile").read_text()
    check = makefile[makefile.index("\ncheck:") :].split("\n\n")[0]
    proofs = (ROOT / ".ci" / "prove-linters").read_text()
    proven = re.findall(r'^must_fail (?:\S+|".*?") "\$BIN/([\w-]+)"', proofs, re.MULTILINE)
    linters = set(re.findall(r"\$\(BIN\)/([\w-]+)", check)) - {"python"}
    assert linters
    assert linters <= set(proven), "a linter of `make check` is not in .ci/prove-linters"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_something(path):
    form = read(path)
    assert form["name"]
    assert form["description"]
    names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert names
    assert len(names) == len(set(names))


def test_a_lesson_can_be_named_in_its_form():
    (menu,) = [
        field for field in read(ROOT / ".github/ISSUE_TEMPLATE/lesson.yml")["body"] if field.get("id") == "notebook"
    ]
    assert menu["attributes"]["options"] == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


STUB = """#!/bin/sh
case "$*" in
*version*) if [ -e upgraded ]; then echo "$NEWEST"; else echo 1.41.0; fi ;;
*"pip install"*) touch upgraded; [ -z "$BROKEN" ] || { echo "ERROR: no certifi of 2099"; exit 1; } ;;
*pytest*) echo "$TESTS"; [ -z "$TESTS" ] ;;
esac
"""


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"NEWEST": "1.43.0"}, 0, "the pin in pyproject.toml may move"),
        ({"NEWEST": "1.43.0", "TESTS": "FAILED tests/a.py::test_b - no service"}, 1, "(1.43.0) fails: 1 tests"),
        ({"NEWEST": "1.43.0", "TESTS": "FAILED tests/a.py::test_b - no service"}, 1, "FAILED tests/a.py::test_b"),
        ({"NEWEST": "1.41.0"}, 0, "nothing was tried"),
        ({"NEWEST": "1.43.0", "BROKEN": "1"}, 1, "pip cannot install it: ERROR: no certifi of 2099"),
    ],
)
def test_the_canary_says_what_failed(tmp_path, settings, code, words):
    """With stand-ins for make, pip and pytest: what the script makes of their ends."""
    for name, text in {
        ".ci/canary": (ROOT / ".ci/canary").read_text(),
        ".venv/bin/python": STUB,
        "bin/make": "#!/bin/sh",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    summary = tmp_path / "summary.md"
    environment = settings | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    run = subprocess.run([tmp_path / ".ci/canary"], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == code
    assert words in summary.read_text()
    assert ("::warning title=canary::" in run.stdout) == bool(code)

"""The image that owners build: same layout as the layer of code, a base by digest, packages by hash, nobody's root.

There is no container engine here, so nothing is built: the Containerfile is read, its copies are followed on the
repository's files, and its check of the base is run as it stands. `.github/workflows/kubernetes.yml` builds it.
"""

import ast
import fnmatch
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import PurePosixPath

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workshop.clusters import images
from workshop.files import REPOSITORY

LINES = re.sub(r"^#.*\n", "", (REPOSITORY / "Containerfile").read_text(), flags=re.MULTILINE)
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES.splitlines() if line]
DIGEST = "sha256:" + "0123456789abcdef" * 4
# What `python agent.py`, its probes and `python -m workshop.clusters.run` start with.
ENTRIES = ("client_code/agent.py", "client_code/status.py", "workshop/clusters/run.py")


def stages():
    """Return the instructions of each stage."""
    found = []
    for word, rest in INSTRUCTIONS:
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def in_context(path):
    """Tell whether .dockerignore lets a file through: the last line that speaks of it counts."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").replace("**/", "*")  # fnmatch's star crosses slashes, as two do there
        if not line.startswith("#") and fnmatch.fnmatch(path, pattern):
            sent = line.startswith("!")
    return sent


def laid_out(problem):
    """Follow the copies of the stage with the code; return the source of each path."""
    roots = [*images.PACKAGES, "kubernetes", "tests", "docs"]
    found = [file.relative_to(REPOSITORY) for root in roots for file in (REPOSITORY / root).rglob("*")]
    context = [str(path) for path in found if (REPOSITORY / path).is_file() and in_context(str(path))]
    files = {}
    for source, target in (rest.split() for word, rest in stages()[1] if word == "COPY"):
        given = source.replace("${PROBLEM}", problem)
        for path in context:
            if PurePosixPath(path).is_relative_to(given) and path != given:  # a folder: what is in it
                files[f"{target}/{PurePosixPath(path).relative_to(given)}"] = path
            elif path.count("/") == given.count("/") and fnmatch.fnmatch(path, given.replace("[^", "[!")):
                files[target + (PurePosixPath(path).name if target.endswith("/") else "")] = path
    return files


@pytest.mark.parametrize("problem", ["fraud", "heart"])
def test_the_image_has_the_layout_of_the_layer_of_code(problem):
    copied = {
        path[1:]: (REPOSITORY / source).read_bytes() for path, source in laid_out(f"problems/{problem}.toml").items()
    }
    expected = images._files(problem)
    assert len(expected) > 50
    assert copied == expected
    assert ("COPY", f"--from=code /{images.APP} /{images.APP}") in stages()[-1]


def test_no_more_is_sent_to_the_builder_than_what_is_copied():
    kinds = {f"!{package}/**/*{kind}" for package in images.PACKAGES for kind in images.KINDS}
    lines = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert set(lines[1:]) == kinds | {"!kubernetes/requirements.lock"}
    assert not in_context("workshop/clusters/authority.pem")
    assert not in_context("state.json")


def test_every_stage_stands_on_the_one_base_that_has_no_default():
    assert INSTRUCTIONS[0] == ("ARG", "BASE")
    assert [rest.partition(" AS ")[0] for word, rest in INSTRUCTIONS if word == "FROM"] == ["${BASE}"] * 3
    assert not [rest for word, rest in INSTRUCTIONS if word == "ARG" and rest.startswith("BASE=")]
    # No stage can come before the check: what is copied into the last one is made by the first.
    assert [word for word, _ in stages()[0][:3]] == ["FROM", "ARG", "RUN"]


@pytest.mark.parametrize(
    ("base", "accepted"),
    [
        (f"docker.io/library/python@{DIGEST}", True),
        (f"docker.io/library/python:3.11-slim@{DIGEST}", True),
        (f"444455556666.dkr.ecr.eu-central-1.amazonaws.com/python@{DIGEST}", True),
        ("python", False),
        ("docker.io/library/python:3.11-slim", False),
        (f"docker.io/library/python@{DIGEST[:-1]}", False),
        (f"docker.io/library/python@{DIGEST}0", False),
        (f"@{DIGEST}", False),
        ("", False),
    ],
)
def test_a_base_is_refused_unless_it_names_a_digest(base, accepted):
    _, *arguments = json.loads(stages()[0][2][1])
    run = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "BASE": base}, capture_output=True, text=True, check=False
    )
    assert (run.returncode == 0) == accepted
    assert accepted or "BASE names no digest" in run.stderr


def test_nothing_runs_through_a_shell_or_as_root():
    words = {word for word, _ in INSTRUCTIONS}
    assert words == {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD"}  # no ADD, no ENTRYPOINT, no SHELL
    for word, rest in INSTRUCTIONS:
        if word in ("RUN", "CMD"):
            assert all(isinstance(part, str) for part in json.loads(rest)), rest
    last = dict(stages()[-1])
    assert (last["USER"], last["WORKDIR"]) == (images.USER, f"/{images.APP}")
    assert "PYTHONDONTWRITEBYTECODE=1" in last["ENV"]  # the root file system is read-only
    assert [word for word, _ in stages()[-1]].count("RUN") == 0


def test_the_image_starts_as_the_layer_of_code_does(tmp_path):
    images.build(tmp_path, problem="heart")
    index = json.loads((tmp_path / "index.json").read_text())
    blob = lambda digest: json.loads((tmp_path / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())  # noqa: E731
    config = blob(blob(index["manifests"][0]["digest"])["config"]["digest"])["config"]
    last = dict(stages()[-1])
    assert json.loads(last["CMD"]) == config["Cmd"]
    assert (last["USER"], last["WORKDIR"]) == (config["User"], config["WorkingDir"])


def test_manifests_name_the_user_and_the_commands_of_the_image():
    for name in ("agent/deployment.yaml", "run/job.yaml"):
        pod = yaml.safe_load((REPOSITORY / "kubernetes" / name).read_text())["spec"]["template"]["spec"]
        assert str(pod["securityContext"]["runAsUser"]) == images.USER
        (container,) = pod["containers"]
        assert container["workingDir"] == f"/{images.APP}"
        *_, what = container["command"]
        path = what if what.endswith(".py") else f"{what.replace('.', '/')}.py"
        assert f"{images.APP}/{path}" in images._files("heart")


def module_file(name):
    """Return the file of a module of ours, as it is found in /app."""
    for folder in (REPOSITORY / "client_code", REPOSITORY):
        path = folder.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def imported_from_others():
    """Return the packages that the entry points import, however deep, also what they import only when it is used."""
    todo, seen, others = [REPOSITORY / entry for entry in ENTRIES], set(), set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                parts = name.split(".")
                ours = [file for end in range(len(parts)) if (file := module_file(".".join(parts[: end + 1])))]
                todo += ours
                if not ours and parts[0] not in sys.stdlib_module_names:
                    others.add(parts[0])
    assert REPOSITORY / "workshop" / "federation" / "server.py" in seen
    return others


def pins(path):
    found = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {(canonicalize_name(name), version) for name, version in found}


LOCK = REPOSITORY / "kubernetes" / "requirements.lock"


def test_the_packages_asked_for_are_those_that_the_code_imports():
    """No environment is made for this: names of modules are looked up in what is installed here."""
    distributions = metadata.packages_distributions()
    asked = (REPOSITORY / "kubernetes" / "requirements.txt").read_text().splitlines()
    wanted = {line for line in asked if not line.startswith("#")}
    by_module = {name: {canonicalize_name(one) for one in distributions[name]} for name in imported_from_others()}
    assert all(found & wanted for found in by_module.values()), by_module
    assert wanted == wanted & set().union(*by_module.values()), "something is asked for that nothing imports"


def test_the_lock_holds_all_that_its_packages_need_in_the_workshops_versions_with_hashes():
    locked = pins(LOCK)
    names = {name for name, _ in locked}
    assert locked <= pins(REPOSITORY / "requirements.lock")
    assert len(re.findall("--hash=sha256:[0-9a-f]{64}", LOCK.read_text())) > len(locked)
    for name in names:
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        for requirement in map(Requirement, requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in names, f"{name} needs {requirement.name}"


def test_packages_are_installed_by_hash_from_this_lock():
    (install,) = [json.loads(rest) for word, rest in stages()[0] if word == "RUN" and "install" in rest]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install)
    assert ("COPY", "kubernetes/requirements.lock /requirements.lock") in stages()[0]
    assert install[-1] == "/requirements.lock"
    assert (
        "kubernetes/requirements.lock"
        in (REPOSITORY / "Makefile").read_text().partition("\nlock:")[2].partition("\n\n")[0]
    )

"""The wheels of kit and embedded AWS hold what they need: installed outside the repository, they run a federation."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Project's folder -> its packages.
PROJECTS = {
    "": ("client_code", "cloudformation", "data_prep", "kubernetes", "problems", "workshop"),
    "emulator/": ("embedded_aws",),
}
RENAMED = {"kubernetes": "kubernetes_manifests"}  # in the wheel: Kubernetes' own client has the first name


def files_of_git() -> list[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def held(folder: str) -> set[str]:
    """Return the files of a project's packages, as git has them, by their path in the project."""
    inside = [name.removeprefix(folder) for name in files_of_git() if name.startswith(folder)]
    return {name for name in inside if name.split("/")[0] in PROJECTS[folder]}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """Return each project's wheel."""
    return {folder: build(folder, tmp_path_factory) for folder in PROJECTS}


def build(folder, tmp_path_factory) -> Path:
    """Build from a copy: setuptools leaves a ``build`` folder in its source, whose files end up in the next wheel."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in [*held(folder), "pyproject.toml", "README.md", *(["LICENSE"] if not folder else [])]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / folder / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", target, source], check=True)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory) -> Path:
    """Return the ``bin`` of an environment with the wheels, and with others' packages from this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    # What a .pth names is only a place to look: the editable installation that is registered there is not seen.
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", *wheels.values()], check=True)
    return folder / "bin"


@pytest.fixture
def run(installed, tmp_path):
    """Run a command of the environment in an empty folder."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    environment = kept | {"PATH": f"{installed}:{os.environ['PATH']}", "CLIENTS": "2"}

    def command(*words) -> subprocess.CompletedProcess:
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    return command


@pytest.mark.parametrize("folder", PROJECTS)
def test_a_wheel_holds_every_file_of_its_packages_and_no_other(wheels, folder):
    inside = {name for name in zipfile.ZipFile(wheels[folder]).namelist() if ".dist-info/" not in name}
    files = [name.partition("/")[::2] for name in held(folder)]
    assert inside == {f"{RENAMED.get(package, package)}/{rest}" for package, rest in files}


def test_the_embedded_aws_needs_nothing_of_the_kit(wheels, tmp_path):
    """In its own names: without anybody's settings its accounts, profiles and folder are called by its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "e"], check=True)
    site = tmp_path / "e" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheels["emulator/"]) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = "import boto3; print(boto3.Session(profile_name='account-1').client('sts').get_caller_identity()['Arn'])"
    python = tmp_path / "e" / "bin" / "python"
    command = [python, "-m", "embedded_aws", "--clients", "1", "run", "--", python, "-c", script]
    environment = {"PATH": os.environ["PATH"], "EMBEDDED_AWS_SETTINGS": "{}"}  # the kit's are among the others
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert answer.stdout == "arn:aws:iam::444455556666:user/administrator\n", answer.stderr
    assert (tmp_path / ".embedded-aws" / "embedded" / "server.log").exists()


def test_fl_is_a_command(run):
    assert run("fl", "--help").stdout.startswith("usage: fl ")


def test_what_needs_the_repository_says_so(run):
    answer = run("fl", "render")
    assert answer.returncode == 1
    assert answer.stderr == "WorkshopError: `fl render` works on the repository's files: run it in a clone\n"


def test_two_accounts_train_one_model_outside_the_repository(installed, run, tmp_path):
    places = run("python", "-c", "import client_code, data_prep, embedded_aws, workshop as _; print(_.__file__)").stdout
    assert places.startswith(str(installed.parent))
    before = installed_files(installed)
    answer = run("python", "-m", "embedded_aws", "--clients", "2", "run", "--", "fl", "bench")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "2 clients, 3 rounds, TLS, embedded AWS" in answer.stdout
    assert (tmp_path / ".workshop" / "state.json").exists(), "state is kept where the command was started"
    assert installed_files(installed) == before, "nothing is written among the packages"


def installed_files(binaries: Path) -> set[Path]:
    return {path for path in binaries.parent.rglob("*") if "__pycache__" not in path.parts}

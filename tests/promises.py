"""What the tests promise, for readers: ``docs/reliability.md`` is written from the tests that carry a promise.

A test says what it promises with ``@pytest.mark.promise("F-01", "what users may rely on")``, or what is refused, with
a table of ``@pytest.mark.promises(TABLE)``, and tells its last figure through the fixture ``figure``. ``make
reliability`` runs those tests and writes the page; ``make test`` compares all but the figures.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
HEAD = """\
# What a federation promises, and how it is tested

Written from the tests (`make reliability`); figures are of the last run, on two cores. Every test runs for real:
processes or threads with gRPC and TLS between them, the embedded AWS where AWS is asked, network namespaces where the
network fails. What no test shows is not promised.
"""
KINDS = {
    "T": "Who may join",
    "R": "What may be averaged",
    "F": "Nothing waits for ever, nothing is lost",
    "D": "Bad data",
    "A": "Artefacts",
    "I": "Access",
    "P": "Rows stay at home",
    "K": "No foreign code beside the rows",
    "G": "Agents that stay",
    "B": "The table from published files",
}


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that keeps a figure for the page."""
    return lambda text: record_property("figure", text)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the figures, where somebody asks for them."""
    if (path := os.environ.get("FIGURES")) and report.when == "call" and report.passed:
        with Path(path).open("a") as file:
            for name, value in report.user_properties:
                if name == "figure":
                    file.write(json.dumps([report.nodeid.partition("[")[0], value]) + "\n")


def page(promises: Sequence[Sequence[str]], figures: Sequence[Sequence[str]]) -> str:
    """Write the page.

    Parameters
    ----------
    promises, figures
        Lines of test, id, promise; and of test, figure.
    """
    text = HEAD
    for kind, title in KINDS.items():
        rows: dict[tuple[str, str, str], list[str]] = {}
        for test, number, promise in promises:
            if number.startswith(f"{kind}-"):
                rows.setdefault((number, promise, test), [])
        if not rows:
            continue
        text += f"\n## {title}\n| id | promise | test | last figure |\n|---|---|---|---|\n"
        for number, promise, test in sorted(rows):
            told = "; ".join(dict.fromkeys(value for where, value in figures if where == test)) or "passed"
            text += f"| {number} | {promise} | {_link(test)} | {told} |\n"
    return text


def collected(root: Path = ROOT) -> list[list[str]]:
    """Return test, id and promise of all tests, read from their sources: collecting them would take half a minute.

    Raises
    ------
    ValueError
        If a promise stands elsewhere than on a test, or is not written out.
    """
    promises = []
    for path in sorted([*root.glob("tests/**/test_*.py"), *root.glob("emulator/tests/**/test_*.py")]):
        where = str(path.relative_to(root))
        tree = ast.parse(path.read_text())
        marks = {id(call): call for call in ast.walk(tree) if isinstance(call, ast.Call) and _promises(call)}
        for item in tree.body:
            for call in getattr(item, "decorator_list", ()):
                if marks.pop(id(call), None):
                    if ast.unparse(call.func).endswith("promises"):
                        rows = _rows(tree, ast.unparse(call.args[0]))
                    else:
                        rows = [[ast.literal_eval(value) for value in call.args]]
                    promises += [[f"{where}::{item.name}", *row] for row in rows]
        if marks:
            raise ValueError(
                f"{where}, line {next(iter(marks.values())).lineno}: a promise that no test function carries"
            )
    return promises


def _promises(call: ast.Call) -> bool:
    return ast.unparse(call.func) in ("pytest.mark.promise", "pytest.mark.promises")


def _rows(tree: ast.Module, table: str) -> list[list[str]]:
    """Return id and promise from the keys of a test's table: ``"K-01 another image"`` is refused."""
    for item in tree.body:
        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == table and isinstance(item.value, ast.Dict):
            keys = [ast.literal_eval(key) for key in item.value.keys if key]
            return [[number, f"Refused: {what}"] for number, _, what in (key.partition(" ") for key in keys)]
    return []


def kept(text: str, promises: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the figures of a page, as lines of test and figure."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.count("](../") == 1]
    told = {(line[0], line[2]): line[3] for line in lines if line[3] != "passed"}
    return [[test, told[number, _link(test)]] for test, number, _ in promises if (number, _link(test)) in told]


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def main(paths: Sequence[str] = ()) -> int:
    """Run the tests that promise something, and write the page; with paths only these, beside the figures there are."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.jsonl"
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "promise or promises", *(paths or ("tests", "emulator/tests"))],
            cwd=ROOT,
            env=os.environ | {"FIGURES": str(path), "TIMES": "20"},
            check=False,
        )
        if run.returncode:
            return run.returncode
        figures = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    promises, again = collected(), {test for test, _ in figures}
    before = kept(PAGE.read_text(), promises) if paths else []
    PAGE.write_text(page(promises, [*(entry for entry in before if entry[0] not in again), *figures]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Commands in pages and notebooks: each is one that there is, with options that it takes."""

import contextlib
import io
import re
import shlex

import pytest
from test_pages_name_what_exists import PAGES
from test_repository_rules import FILES, ROOT

from workshop.__main__ import arguments

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VARIABLES = set(re.search(r"^export (TRACK .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())
VARIABLES |= {"CMS", "LEIE", "HEART", "FAST", "PYTHON", "EMBEDDED_AWS_NETWORK", "KUBECONFIG", "FEDERATION_IMAGE"}
SOURCES = [path for path in FILES if "source" in path.parts and path.suffix == ".py"]
PROGRAMS = ("fl", ".venv/bin/fl", "make", "python")


def commands(text: str) -> list[tuple[list[str], bool]]:
    """Return the commands of this kit that stand in code quotes or blocks, and whether in a block: these are whole.

    >>> commands("`make lab CLIENTS=5` or ```\\nfl card server > a.json  # sends\\nls\\n```")
    [(['make', 'lab', 'CLIENTS=5'], False), (['fl', 'card', 'server'], True)]
    """
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    quoted = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    quoted += re.findall(r"<code>([^<]+)</code>", text)
    lines = [line for block in blocks for line in re.sub(r"\\\n", " ", block).splitlines()]
    found = []
    for written, whole in (*((" ".join(each.split()), False) for each in quoted), *((line, True) for line in lines)):
        line = re.split(r"\s[>|&]|\s#|;", written)[0].strip()
        if line.startswith((*(f"{name} " for name in PROGRAMS), *(f"{name}=" for name in VARIABLES))):
            found.append((shlex.split(line), whole))
    return found


def lacking(words: list[str], *, whole: bool = True) -> str:
    """Say what is wrong with a command; empty if nothing is. One that is not whole may lack arguments."""
    set_before = [word for word in words if re.match(r"[A-Z_]+=", word) and words[0] != "fl"]
    if unknown := [word for word in set_before if word.partition("=")[0] not in VARIABLES]:
        return f"{unknown} is no variable of the Makefile"
    rest = [word for word in words if word not in set_before and not re.fullmatch(r"\.\.\.|\S*-\.\.\.", word)]
    if rest[:1] == ["make"]:
        return f"{set(rest[1:]) - TARGETS} is no target" if set(rest[1:]) - TARGETS else ""
    if rest[:3] == ["python", "-m", "workshop"]:
        rest = ["fl", *rest[3:]]
    if rest[:1] not in (["fl"], [".venv/bin/fl"]):
        return ""
    for alternative in rest[-1].removesuffix("|...").split("|"):
        said = io.StringIO()
        with (
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.suppress(SystemExit),
        ):
            arguments().parse_args([*rest[1:-1], alternative] if len(rest) > 1 else [])
        error = said.getvalue().rpartition("error: ")[2].strip()
        if error and (whole or not re.search(r"are required|expected (one|at least one) argument", error)):
            return error
    return ""


@pytest.mark.parametrize("page", [*PAGES, *SOURCES], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_there_and_take_these_options(page):
    text = page.read_text()
    if page.suffix == ".py":
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    wrong = {" ".join(words): what for words, whole in commands(text) if (what := lacking(words, whole=whole))}
    assert not wrong


def test_a_command_that_there_is_not_is_seen():
    assert lacking(["make", "wrkshop"]) == "{'wrkshop'} is no target"
    assert "no variable" in lacking(["make", "workshop", "CLENTS=3"])
    assert "invalid choice: 'deploi'" in lacking(["fl", "deploi", "server"], whole=False)
    assert "unrecognized arguments: --kickoff" in lacking(["fl", "deploy", "server", "--kickoff", "published"])
    assert lacking(["fl", "deploy", "server", "--kick-off", "published"]) == ""
    assert "are required" in lacking(["fl", "deploy"])
    assert lacking(["fl", "deploy"], whole=False) == ""

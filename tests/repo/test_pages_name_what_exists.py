"""Links and file names in the pages: each leads to something that is there."""

import re

import pytest
from test_repository_rules import FILES, ROOT

PAGES = [path for path in FILES if path.suffix == ".md"]
TOP = {path.relative_to(ROOT).parts[0] for path in FILES}
LENS = ROOT / "docs" / "flower-lens.md"


def linked(text: str) -> list[str]:
    """Return the relative targets of Markdown links, without anchors.

    >>> linked("[a](b/c.md#d), [e](https://example.org), [f](#g), ![h](i.png)")
    ['b/c.md', 'i.png']
    """
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    return [target for target in targets if target]


def named(text: str) -> list[str]:
    """Return what stands in code quotes and begins like a path of the repository.

    >>> named("`docs/rooms.md`, `Makefile`, `and/or`, `notebooks/source/NN_*.py`, `python -m workshop`")
    ['docs/rooms.md', 'Makefile']
    """
    quoted = re.findall(r"`([\w.-]+(?:/[\w./-]*)?)`", text)
    return [path for path in quoted if path.partition("/")[0] in TOP]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [target for target in linked(page.read_text()) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_in_code_quotes_are_there(page):
    missing = [name for name in named(page.read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_the_lens_has_an_answer_and_a_file_for_each_choice():
    """The lens of AWS, version 1.0: how many choices each question has, counted in its JSON file."""
    choices = {"PERF1": 6, "PERF2": 3, "PERF3": 5, "PERF4": 2, "OPS1": 2}
    choices |= {"OPS2": 3, "SEC1": 4, "SEC2": 3, "COST1": 2, "COST2": 2}
    sections = dict(re.findall(r"^### (\w+): .*?\n(.*?)(?=^##|\Z)", LENS.read_text(), re.MULTILINE | re.DOTALL))
    assert set(sections) == set(choices)
    for question, section in sections.items():
        lines = re.findall(r"^\| (\d+) .*? \| (\w+).*? \| (.*) \|$", section, re.MULTILINE)
        assert [int(number) for number, _, _ in lines] == list(range(1, choices[question] + 1)), question
        assert {answer for _, answer, _ in lines} <= {"Answered", "Otherwise", "Not"}, question
        assert all(named(where) for _, _, where in lines), question

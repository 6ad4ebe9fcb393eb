"""What the first run found: one line per question, in a file that holds no id and may be sent to anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workshop.files import write_text

VERDICTS = {True: "as expected", False: "**otherwise**", None: ""}
# What could tell whose accounts these are, and what stands for it.
_IDS = (
    (r"arn:aws[\w-]*:\S+", "<arn>"),
    (r"\b[a-z]{1,14}-[0-9a-f]{8}(?:[0-9a-f]{9})?\b", "<id>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\bfl-storage-[\w.-]+", "<bucket>"),
    (r"\bA[A-Z0-9]{15,31}\b", "<id>"),
    (r"\b\d{12}\b", "<account>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?\b", "<address>"),
    (r"\bip-\d+-\d+-\d+-\d+\b", "<host>"),
    (r"[\w.+-]+@[\w.-]+", "<mail>"),
    (r"\b[A-Za-z0-9_+/=-]{48,}", "<word>"),
    (re.escape(str(Path.home())), "~"),
)


@dataclass(frozen=True)
class Finding:
    """One question, what was seen, what the kit takes for true; None where nobody knew, or nothing could be seen."""

    step: str
    question: str
    found: str
    expected: str = ""
    as_expected: bool | None = None


class Report:
    """Findings, kept in a Markdown file from the first one on: a run that is cut off leaves what it has seen.

    Parameters
    ----------
    path : Path
        Where it is written.
    heading : str
        What was run, where and with which versions.
    names : mapping
        Words that must not be told, such as account ids, and what to put in their place.
    """

    def __init__(self, path: Path, heading: str, *, names: Mapping[str, str] | None = None) -> None:
        self.path, self.heading, self.names = path, heading, dict(names or {})
        self.findings: list[Finding] = []

    def add(
        self, step: str, question: str, found: object, *, expected: str = "", as_expected: bool | None = None
    ) -> None:
        """Keep a finding, without ids."""
        step, question, answer, expected = (
            without_ids(word, self.names) for word in (step, question, str(found), expected)
        )
        self.findings.append(Finding(step, question, answer, expected, as_expected))
        write_text(self.path, self.text())

    @property
    def otherwise(self) -> list[Finding]:
        """What was not as the kit takes it to be."""
        return [finding for finding in self.findings if finding.as_expected is False]

    def text(self) -> str:
        """Return the report as Markdown."""
        lines = [
            "# First run", "", without_ids(self.heading, self.names), "",
            "| step | question | found | expected | verdict |", "|---|---|---|---|---|",
        ]  # fmt: skip
        for finding in self.findings:
            cells = (finding.step, finding.question, finding.found, finding.expected, VERDICTS[finding.as_expected])
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        return "\n".join(lines) + "\n"


def without_ids(text: str, names: Mapping[str, str]) -> str:
    """Put a word in place of every id, address, key, bucket and path of a person.

    >>> without_ids("arn:aws:iam::444455556666:user/ann of 444455556666, eni-0a1b2c3d4e5f60718 at 10.80.0.7", {})
    '<arn> of <account>, <id> at <address>'
    """
    for word, instead in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(word, instead)
    for pattern, instead in _IDS:
        text = re.sub(pattern, instead, text)
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")

"""Disclosure table: every field that leaves a client, what could be learnt from it, and what is done about it.

``docs/privacy.md`` and the end of notebook 03 are made from ``crossing.toml``; a test compares that with what the wire
carried.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "privacy.md"
BEGIN, END = "<!-- crossing -->", "<!-- end of crossing -->"


@dataclass(frozen=True)
class Crossing:
    """One field that leaves a client's account.

    Attributes
    ----------
    message, field : str
        On the wire: of which answer, and its name there; of a job's description, by SageMaker's name.
    what, often : str
        What it is, and how often it is sent.
    learnt : str
        What a server could learn that does what it should, and looks.
    done, remains : str
        What is done about it, and what is not.
    """

    message: str
    field: str
    what: str
    often: str
    learnt: str
    done: str
    remains: str


CROSSINGS = tuple(
    Crossing(**entry) for entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["crossing"]
)
TITLES = {
    "properties": "When a client joins",
    "sums": "Before round 1",
    "update": "In every round",
    "end": "At the end",
    "job": "Beside the federation",
}
COLUMNS = "| field | what | how often | could be learnt | done about it | remains |\n|---|---|---|---|---|---|\n"


def table() -> pd.DataFrame:
    """Return one line per field: what it is, how often it is sent, what could be learnt, what is done, what remains."""
    lines = [(c.message, c.field, c.what, c.often, c.learnt, c.done, c.remains) for c in CROSSINGS]
    columns = ["message", "field", "what", "how often", "could be learnt", "done about it", "remains"]
    return pd.DataFrame(lines, columns=columns).set_index(["message", "field"])


def tables() -> str:
    """Return the tables of ``docs/privacy.md``, one for each message."""
    text = ""
    for message, title in TITLES.items():
        text += f"\n## {title}\n{COLUMNS}"
        for c in CROSSINGS:
            if c.message == message:
                text += f"| `{c.field}` | {c.what} | {c.often} | {c.learnt} | {c.done} | {c.remains} |\n"
    return text


def main() -> int:
    """Write the tables into the page."""
    begin, end = PAGE.read_text().partition(BEGIN)[0], PAGE.read_text().partition(END)[2]
    PAGE.write_text(f"{begin}{BEGIN}\n{tables()}{END}{end}")
    return 0

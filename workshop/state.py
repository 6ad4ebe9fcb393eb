"""Notebook state: what one notebook leaves for the next, a small JSON file, and folders beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from workshop.errors import MissingStep
from workshop.files import WORKPLACE, locked, read_object, write_text

# Which notebook writes which entry of the state file.
MAKERS = {
    "target": "00_start_here",
    "data": "01_prepare_data",
    "accounts": "02_connect_accounts",
    "cluster": "02_connect_accounts",  # of `fl cluster server`: what the server's card tells
    "federation": "03_run_federation",
    "evaluation": "04_evaluate_global_model",
    "cms": "data/01_build_the_table",
}


def home() -> Path:
    """Return the folder that holds all local state: ``$WORKSHOP_HOME``, or ``.workshop`` beside the notebooks."""
    folder = Path(os.environ.get("WORKSHOP_HOME", WORKPLACE / ".workshop")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(**entries: object) -> None:
    """Keep entries, each a JSON value, under the names of ``MAKERS``."""
    unknown = entries.keys() - MAKERS.keys()
    if unknown:
        raise KeyError(f"no notebook makes {sorted(unknown)}")
    with locked(_path()):
        write_text(_path(), json.dumps(_read() | entries, indent=1))


def load(*names: str) -> list:
    """Return entries in the order asked for.

    Raises
    ------
    MissingStep
        Names the notebook that makes the first missing entry.
    """
    entries = _read()
    for name in names:
        if not isinstance(entries.get(name), dict):
            raise MissingStep(f"{name!r} is not there yet: run {MAKERS[name]}.ipynb first")
    return [entries[name] for name in names]


def entry(name: str) -> dict:
    """Return an entry; an empty one where there is none yet."""
    known = _read().get(name)
    return known if isinstance(known, dict) else {}


def forget(*names: str) -> None:
    """Drop entries that are no longer true."""
    with locked(_path()):
        kept = {name: entry for name, entry in _read().items() if name not in names}
        write_text(_path(), json.dumps(kept, indent=1))


def _read() -> dict:
    return read_object(_path(), remedy="start with 00_start_here.ipynb")


def _path() -> Path:
    return home() / "state.json"

"""What one notebook leaves for the next: a small JSON file, and folders beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from workshop.errors import MissingStep
from workshop.files import REPOSITORY, write_text

# Which notebook writes which entry of the state file.
MAKERS = {
    "target": "00_start_here",
    "data": "01_prepare_data",
    "accounts": "02_connect_accounts",
    "federation": "03_run_federation",
    "evaluation": "04_evaluate_global_model",
}


def home() -> Path:
    """Return the folder that holds all local state: ``$WORKSHOP_HOME``, or ``.workshop`` beside the notebooks."""
    folder = Path(os.environ.get("WORKSHOP_HOME", REPOSITORY / ".workshop")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(**entries: object) -> None:
    """Keep entries, each a JSON value, under the names of ``MAKERS``."""
    unknown = entries.keys() - MAKERS.keys()
    if unknown:
        raise KeyError(f"no notebook makes {sorted(unknown)}")
    write_text(home() / "state.json", json.dumps(_read() | entries, indent=1))


def load(*names: str) -> list:
    """Return entries in the order asked for.

    Raises
    ------
    MissingStep
        Names the notebook that makes the first missing entry.
    """
    entries = _read()
    for name in names:
        if name not in entries:
            raise MissingStep(f"{name!r} is not there yet: run {MAKERS[name]}.ipynb first")
    return [entries[name] for name in names]


def forget(*names: str) -> None:
    """Drop entries that are no longer true."""
    kept = {name: entry for name, entry in _read().items() if name not in names}
    write_text(home() / "state.json", json.dumps(kept, indent=1))


def _read() -> dict:
    path = home() / "state.json"
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise MissingStep(f"{path.name} cannot be read; delete it and start with 00_start_here.ipynb") from error

"""Paths, checksums, atomic writes, JSON records: where files are, written whole or not at all, read or explained."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from workshop.errors import MissingStep, WorkshopError

REPOSITORY = Path(__file__).resolve().parents[1]
TEMPLATES = REPOSITORY / "cloudformation"
NOTEBOOKS = REPOSITORY / "notebooks"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if there is no file.

    Raises
    ------
    MissingStep
        If it is cut off, of another kind, or cannot be read; with the remedy.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise MissingStep(f"{path.name} cannot be read; {remedy}") from error
    if not isinstance(record, dict):
        raise MissingStep(f"{path.name} cannot be read; {remedy}")
    return record


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file so that it is there whole or not at all; if ``private``, for nobody else to read.

    Raises
    ------
    WorkshopError
        If it cannot be written: the disk is full, or the folder is read-only.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600 if private else 0o644)
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # nothing can be deleted from a read-only disk either
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> WorkshopError:
    """Put into words that a file or folder cannot be written."""
    return WorkshopError(
        f"{path} cannot be written ({error.strerror}): make room or make its folder writable, then run the cell again"
    )

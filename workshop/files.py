"""Paths, checksums and atomic writes: where the repository's files are, and files written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from workshop.errors import WorkshopError

REPOSITORY = Path(__file__).resolve().parents[1]
TEMPLATES = REPOSITORY / "cloudformation"
NOTEBOOKS = REPOSITORY / "notebooks"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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

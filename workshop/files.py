"""Paths, checksums, atomic writes, JSON records: where files are, written whole or not at all, read or explained."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

from workshop.errors import MissingStep, WorkshopError

REPOSITORY = Path(__file__).resolve().parents[1]  # of an installed wheel: the folder of its packages
IS_CLONE = (REPOSITORY / "pyproject.toml").is_file()
# What is kept and built lies in the clone, or where the command of an installed wheel was started.
WORKPLACE = REPOSITORY if IS_CLONE else Path.cwd()
CMS_TABLE = WORKPLACE / "build" / "cms"  # where `make table` puts what it builds
TEMPLATES = REPOSITORY / "cloudformation"
NOTEBOOKS = REPOSITORY / "notebooks"
# In a wheel, ``kubernetes`` is the client library.
MANIFESTS = REPOSITORY / ("kubernetes" if IS_CLONE else "kubernetes_manifests")


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
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")  # two writers do not share it
    try:
        temporary.touch(mode=0o600 if private else 0o644, exist_ok=False)
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # nothing can be deleted from a read-only disk either
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def read_object(path: Path, *, remedy: str) -> dict:
    """Return the JSON object in a file; an empty one where there is no file.

    Raises
    ------
    MissingStep
        If something else is there: half a file, another value, a folder. The ``remedy`` says what to do next.
    """
    try:
        entries = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise MissingStep(f"{path.name} cannot be read; delete it and {remedy}") from error
    if not isinstance(entries, dict):
        raise MissingStep(f"{path.name} cannot be read; delete it and {remedy}")
    return entries


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock while the block runs, so that of two kernels which change a file none loses the other's change.

    Raises
    ------
    WorkshopError
        If the lock's file cannot be made.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        file = lock.open("a")
    except OSError as error:
        raise unwritable(lock, error) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # held for milliseconds; the system ends it with its process
        yield


def unwritable(path: Path, error: OSError) -> WorkshopError:
    """Put into words that a file or folder cannot be written."""
    return WorkshopError(
        f"{path} cannot be written ({error.strerror}): make room or make its folder writable, then run the cell again"
    )

"""Directory trees that a job leaves: walked and removed, of any depth, with names, links and modes of all kinds."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result | OSError]]:
    """Yield every path below a folder, relative and sorted, with what it is or why that cannot be said.

    Links are not followed; what disappears meanwhile is passed over. A folder that cannot be read comes a second time,
    with the error.
    """
    ahead = [""]
    while ahead:
        relative = ahead.pop()
        try:
            names = sorted(os.listdir(folder / relative))  # noqa: PTH208 - names, whatever they are
        except FileNotFoundError:
            continue
        except OSError as error:
            yield relative, error
            continue
        below = []
        for name in names:
            path = os.path.join(relative, name)  # noqa: PTH118
            try:
                about = os.lstat(folder / path)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield path, error
                continue
            yield path, about
            if stat.S_ISDIR(about.st_mode):
                below.append(path)
        ahead += reversed(below)


def remove(folder: Path) -> None:
    """Delete a folder and everything in it, as far as this user may; no depth and no read-only folder is in the way.

    What lies deeper is first moved up: no path gets too long and nothing recurs.
    """
    if folder.is_symlink():  # to what is not the job's
        folder.unlink()
        return
    names = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
    with contextlib.suppress(OSError):
        while entries := list(os.scandir(folder)):
            if not sum(_removed(entry, folder, names) for entry in entries):
                return
        folder.rmdir()


def _removed(entry: os.DirEntry[str], folder: Path, names: Iterator[str]) -> bool:
    """Remove one entry, having moved what is in it up to ``folder``; tell whether that was possible."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)  # noqa: PTH108
            return True
        os.chmod(entry.path, stat.S_IRWXU)  # noqa: PTH101
        for inner in os.scandir(entry.path):
            if inner.is_dir(follow_symlinks=False):
                os.chmod(inner.path, stat.S_IRWXU)  # noqa: PTH101 - a folder that is moved is written to
            os.rename(inner.path, folder / next(names))  # noqa: PTH104
        os.rmdir(entry.path)  # noqa: PTH106
    except OSError:
        return False
    return True

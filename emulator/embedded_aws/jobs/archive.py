"""Safe extraction of a tar.gz: plain files and folders, inside one folder, of a bounded size."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

MAX_MEMBERS = 5_000
MAX_DEPTH = 50  # folders within each other
MAX_BYTES = 500_000_000
MAX_RATIO = 100  # unpacked to packed; a wheelhouse has about 1, source text about 5, a bomb about 1000
FREE_BYTES = 10_000_000  # below this the ratio does not matter
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


class ArchiveError(Exception):
    """The archive is damaged, or holds what a bundle of source code never needs."""


class _Bounded(io.RawIOBase):
    """Count what is unpacked, headers included, and stop before memory or disk are full."""

    def __init__(self, stream: io.BufferedIOBase, limit: int, reason: str) -> None:
        self._stream, self._left, self._reason = stream, limit, reason

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise ArchiveError(self._reason)
        return chunk


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` into ``folder``, which is left empty when the archive is refused.

    Parameters
    ----------
    archive : Path
        A gzipped tar.
    folder : Path
        Is made if need be; what is in it may be overwritten.

    Raises
    ------
    ArchiveError
        If a member is a link, device or pipe, is named absolutely or through ``..``; if there are more than
        ``MAX_MEMBERS`` members or ``MAX_BYTES`` bytes, or the archive swells more than ``MAX_RATIO`` fold;
        if it is damaged. The message names the member.
    """
    swollen = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    limit, reason = min(
        (MAX_BYTES, f"the archive unpacks to more than {MAX_BYTES // 1_000_000} MB"),
        (swollen, f"the archive unpacks to more than {MAX_RATIO} times its size"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive) as stream:
            # A tar pads its end: 1 MB is room for that, so that a bundle of exactly the limit passes.
            _unpack(_Bounded(stream, limit + 1_000_000, reason), folder)
    except (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeError) as error:
        _empty(folder)
        raise ArchiveError(f"the archive is damaged or not a tar.gz ({type(error).__name__}: {error})") from error
    except ArchiveError:
        _empty(folder)
        raise


def _unpack(stream: io.RawIOBase, folder: Path) -> None:
    # "r|" reads forward only: every member is judged and written before the next one is looked at.
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for number, member in enumerate(tar, start=1):
            if number > MAX_MEMBERS:
                raise ArchiveError(f"the archive has more than {MAX_MEMBERS} members")
            _judge(member)
            tar.extract(member, folder, filter="data")


def _judge(member: tarfile.TarInfo) -> None:
    if member.type not in _PLAIN or member.issparse():
        raise ArchiveError(f"member {member.name!r} is {_KINDS.get(member.type, 'not a plain file')}")
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise ArchiveError(f"member {member.name!r} points out of the archive")
    if len(path.parts) > MAX_DEPTH:
        raise ArchiveError(f"a member lies more than {MAX_DEPTH} folders deep")
    if member.size > MAX_BYTES:
        raise ArchiveError(f"member {member.name!r} has more than {MAX_BYTES // 1_000_000} MB")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)

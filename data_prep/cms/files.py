"""Published files in a folder, ZIP archives as downloaded: what each is, read once, hashed on the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from data_prep.cms import layouts
from data_prep.cms.layouts import YEARLY, Layout
from data_prep.errors import DataError

STAMP = "SYNTHETIC.md"  # beside generated files: a table that is built from them says so
ENDINGS = (".csv", ".txt", ".tsv")
BLOCK = 1 << 20  # bytes


class FilesError(DataError):
    """A folder does not hold what the recipe needs, or a file is damaged."""


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes
    ----------
    member : str
        Its name in the archive, where ``path`` is one.
    year : int
        Of the claims; 0 for the list of exclusions.
    header : tuple of str
        The columns as they stand there.
    size : int
        Bytes, unpacked.
    """

    path: Path
    member: str
    layout: Layout
    year: int
    header: tuple[str, ...]
    size: int

    @property
    def kind(self) -> str:
        """Which of the published files it is."""
        return self.layout.kind

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.path.name}: {self.member}" if self.member else self.path.name

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Yield its bytes, of an archive those of the member."""
        if not self.member:
            with self.path.open("rb", buffering=0) as stream:
                yield stream
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
            yield stream


def find(folder: Path) -> list[Source]:
    """Return the published files of a folder, in the order of kind and year.

    Other files (a data dictionary, a readme) are left alone; a table that is none of CMS's or the OIG's is refused.

    Raises
    ------
    FilesError
        If there is none, or two are of the same kind and year.
    LayoutError
        If a header or a name is unknown.
    """
    if not folder.is_dir():
        raise FilesError(f"{folder} is no folder; put the files of CMS there (docs/cms-files.md says which)")
    found = [source for path in sorted(folder.iterdir()) for source in _in(path)]
    if not found:
        raise FilesError(f"{folder} holds no file of CMS's (docs/cms-files.md says which to download, and from where)")
    by_year: dict[tuple[str, int], Source] = {}
    for source in found:
        if other := by_year.get((source.kind, source.year)):
            what = f"{layouts.kinds()[source.kind].title}{f' of {source.year}' if source.year else ''}"
            raise FilesError(f"{folder}: {other.name} and {source.name} are both {what}; keep the newer release")
        by_year[source.kind, source.year] = source
    return [by_year[key] for key in sorted(by_year)]


def one(path: Path) -> Source:
    """Return a single file, such as the list of exclusions.

    Raises
    ------
    FilesError, LayoutError
        If it is not there, or none of the published ones.
    """
    if not path.is_file():
        raise FilesError(f"{path} is no file")
    found = list(_in(path))
    if len(found) != 1:
        raise FilesError(f"{path} holds {len(found)} tables of CMS's or the OIG's, and should hold one")
    return found[0]


def _in(path: Path) -> Iterator[Source]:
    if path.suffix.lower() in ENDINGS and path.is_file():
        with path.open("rb") as stream:
            yield _source(path, "", stream, path.stat().st_size)
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = [each for each in archive.infolist() if each.filename.lower().endswith(ENDINGS)]
                for member in members:
                    with archive.open(member) as stream:
                        yield _source(path, member.filename, stream, member.file_size)
        except (zipfile.BadZipFile, EOFError) as error:
            raise FilesError(f"{path.name} is no whole ZIP archive ({error}): download it again") from error


def _source(path: Path, member: str, stream: IO[bytes], size: int) -> Source:
    file = f"{path.name}: {member}" if member else path.name
    line = (
        io.BufferedReader(stream, BLOCK).readline(1 << 16)
        if isinstance(stream, io.RawIOBase)
        else stream.readline(1 << 16)
    )
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    if not text.strip():
        raise FilesError(f"{file} is empty: download it again")
    layout, header = layouts.recognise(text, file=file)
    year = 0
    if layout.kind in YEARLY:
        kind = layouts.kinds()[layout.kind]
        told = kind.year(Path(member).name if member else path.name) or kind.year(path.name)
        if told is None:
            raise layouts.LayoutError(
                f"{file}: its name does not tell the year of the claims, as in {kind.file}: rename it"
            )
        year = told
    return Source(path, member, layout, year, tuple(header), size)


class Hashed:
    """A file that an engine reads by itself, and that is hashed meanwhile: the disk is read once.

    Parameters
    ----------
    tell : callable
        Called with bytes done and bytes in all, a few times a second.
    """

    def __init__(self, source: Source, tell: Callable[[int, int], None] = lambda done, of: None) -> None:
        self.source, self.tell = source, tell
        self.sha256 = ""
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stop.set()
        self._thread.join()

    def checked(self) -> str:
        """Return the checksum, or raise what went wrong while the file was read.

        Raises
        ------
        FilesError
            If the file cannot be read to its end.
        """
        if isinstance(self.error, (OSError, zipfile.BadZipFile, EOFError, NotImplementedError)):
            raise FilesError(
                f"{self.source.name} cannot be read to its end: {self.error}; download it again"
            ) from self.error
        if self.error is not None:
            raise self.error
        return self.sha256

    def _run(self) -> None:
        try:
            with self.source.open() as stream:
                self._read(stream, lambda block: None)
        except BaseException as error:  # raised by whoever waits for the engine
            self.error = error

    def _read(self, stream: IO[bytes], use: Callable[[bytes], object]) -> None:
        digest, done, told = hashlib.sha256(), 0, time.monotonic()
        while (block := stream.read(BLOCK)) and not self._stop.is_set():
            digest.update(block)
            use(block)
            done += len(block)
            if time.monotonic() - told > 0.2:
                self.tell(done, self.source.size)
                told = time.monotonic()
        if done != self.source.size and not self._stop.is_set():
            raise FilesError(f"{self.source.name} ended after {done:,} of {self.source.size:,} bytes")
        self.sha256 = digest.hexdigest()
        self.tell(done, self.source.size)


class Feed(Hashed):
    """A pipe that an engine reads a file from, which it cannot read by itself: once, hashed on the way.

    Parameters
    ----------
    pipe : Path
        Made for as long as the block runs.
    tell : callable
        Called with bytes done and bytes in all, a few times a second.
    """

    def __init__(self, source: Source, pipe: Path, tell: Callable[[int, int], None] = lambda done, of: None) -> None:
        super().__init__(source, tell)
        self.pipe = pipe

    def __enter__(self) -> Self:
        self.pipe.unlink(missing_ok=True)
        os.mkfifo(self.pipe, 0o600)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stop.set()  # nobody reads it any more
            with contextlib.suppress(OSError):  # whoever writes wakes up and finds nobody
                os.close(os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK))
        super().__exit__(kind)
        self.pipe.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            with self.source.open() as stream, self._opened() as out:
                self._read(stream, out.write)
        except BrokenPipeError:
            pass  # the engine has stopped, and says why
        except BaseException as error:  # raised by whoever waits for the engine
            self.error = error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Open the pipe once somebody reads it; give up when nobody will."""
        while True:
            try:
                handle = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError as error:
                if error.errno != errno.ENXIO or self._stop.is_set():
                    raise BrokenPipeError from error
                time.sleep(0.002)
        os.set_blocking(handle, True)
        with os.fdopen(handle, "wb", buffering=0) as out:
            yield out


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

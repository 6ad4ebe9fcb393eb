"""File signatures ("magic numbers"): what a file is that was taken for a CSV table, and what makes a table of it.

Only the first bytes are looked at; nothing is opened, unpacked or run.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

FIRST = 4096  # bytes that are looked at
_CSV = "save the table as CSV (UTF-8, commas between cells)"


class Kind(NamedTuple):
    """What a file is, as the end of a sentence, and what to do with it."""

    is_: str
    remedy: str


_PACKED = "unpack it, and give the CSV file that is in it"
_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x1f\x8b", Kind("compressed (gzip)", _PACKED)),
    (b"BZh", Kind("compressed (bzip2)", _PACKED)),
    (b"\xfd7zXZ\0", Kind("compressed (xz)", _PACKED)),
    (b"\x28\xb5\x2f\xfd", Kind("compressed (zstd)", _PACKED)),
    (b"\x04\x22\x4d\x18", Kind("compressed (lz4)", _PACKED)),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", _PACKED)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", _PACKED)),
    (b"PAR1", Kind("a Parquet file", _CSV)),
    (b"ARROW1", Kind("an Arrow (Feather) file", _CSV)),
    (b"ORC", Kind("an ORC file", _CSV)),
    (b"Obj\x01", Kind("an Avro file", _CSV)),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", _CSV)),
    (b"SQLite format 3\0", Kind("an SQLite database", "export the table as CSV")),
    (b"\x93NUMPY", Kind("a NumPy array", _CSV)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Office document (such as .xls)", _CSV)),
    (b"%PDF", Kind("a PDF document", "take the table from its source, as CSV")),
    (b"{\\rtf", Kind("a text document (RTF)", _CSV)),
    (b"\x89PNG", Kind("a picture (PNG)", "give the table itself, as CSV")),
    (b"\xff\xd8\xff", Kind("a picture (JPEG)", "give the table itself, as CSV")),
    (b"GIF8", Kind("a picture (GIF)", "give the table itself, as CSV")),
    (b"\x80\x04\x95", Kind("a Python pickle", _CSV + "; do not open pickles of others")),
    (b"\x80\x05\x95", Kind("a Python pickle", _CSV + "; do not open pickles of others")),
)
_UTF = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is the beginning of it
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_LFS = re.compile(rb"version https?://[^\s]*git-lfs[^\s]*/spec/")


def recognise(path: Path) -> Kind | None:
    """Return what a file is if it is surely no CSV table in UTF-8, else None.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "rows.csv"
    ...     _ = file.write_bytes(b"PAR1....")
    ...     recognise(file).is_
    'a Parquet file'
    """
    with path.open("rb") as file:
        start = file.read(FIRST)
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return kind
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path)
    return _archive_or_encoding(start) or _text(start)


def _zip(path: Path) -> Kind:
    """Return which of the formats that are ZIP archives a file is: its last bytes list what is in it."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - (1 << 16), 0))
        names = file.read()
    if b"xl/" in names:
        return Kind("an Excel workbook (XLSX)", _CSV)
    if b"content.xml" in names and b"META-INF/" in names:
        return Kind("an OpenDocument file (such as .ods)", _CSV)
    if b"word/" in names:
        return Kind("a Word document", _CSV)
    return Kind("a ZIP archive", _PACKED)


def _archive_or_encoding(start: bytes) -> Kind | None:
    """Recognise what holds NUL bytes: an archive, UTF-16 or UTF-32, or something that is no text at all."""
    if start[257:262] == b"ustar":
        return Kind("a tar archive", _PACKED)
    encoding = next((name for mark, name in _UTF.items() if start.startswith(mark)), "")
    if not encoding and b"\0" in start:
        # Without a mark: of Latin letters every other byte (UTF-16), or three of four (UTF-32), are NUL.
        empty = [start[place::4].count(0) * 4 / len(start) > 0.9 for place in range(4)]
        encoding = {(True, False) * 2: "UTF-16", (False, True) * 2: "UTF-16"}.get(tuple(empty), "")
        encoding = encoding or ("UTF-32" if sum(empty) == 3 else "")
        if not encoding:
            return Kind("no text (it holds NUL bytes)", _CSV)
    return Kind(f"text in {encoding}", "save the file as UTF-8") if encoding else None


def _text(start: bytes) -> Kind | None:
    """Recognise text that is something else than a table."""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        return Kind("empty", "it must hold a header and rows")
    if text.startswith(b"<"):
        return _markup(text[:1024].lower())
    if _LFS.match(text):
        return Kind("a Git LFS pointer, not the table", "fetch the table with `git lfs pull`")
    if b"/annex/objects/" in text.partition(b"\n")[0]:
        return Kind("a git-annex pointer, not the table", "fetch the table with `git annex get`")
    return Kind("JSON", _CSV) if re.match(rb"[\[{]\s*[\"\[{\]}\d-]", text) else None


def _markup(text: bytes) -> Kind:
    if any(mark in text for mark in (b"<!doctype html", b"<html", b"<head", b"<body")):
        return Kind("a web page (HTML)", "download the table itself: the address led to a page about it or a log-in")
    if b"<error>" in text:
        return Kind("an error message of a server (XML)", "download the table again: the server refused it")
    return Kind("an XML document", _CSV)

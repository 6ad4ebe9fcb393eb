"""Files that are no tables are called by their name, with what makes a table of them."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from client_code import filekind, schema
from data_prep import sources
from workshop import problems

FRAUD = problems.load()


def packed(name, *members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members or (name,):
            archive.writestr(member, "x,y\n1,2\n" * 50)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("rows.csv"))
    return file.getvalue()


def numpy_array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


TABLE = ",".join(FRAUD.names) + "\n" + ",".join("0" * 50) + "\n"
# The three lines of a pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 1714660\n"
XLSX = ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/worksheets/sheet1.xml")
FILES = {
    "Git LFS pointer": (LFS.encode(), "a Git LFS pointer, not the table; fetch the table with `git lfs pull`"),
    "git-annex pointer": (b"/annex/objects/SHA256E-s17--4d7a.csv\n", "git-annex pointer"),
    "web page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "a web page (HTML)"),
    "web page, indented": (b"\n\n  <HTML lang=en>\n<body>gone</body>", "a web page (HTML)"),
    "web page, XHTML": (
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0"><html>',
        "a web page (HTML)",
    ),
    "web page, comment first": (b"<!-- saved from x --><html></html>", "a web page (HTML)"),
    "S3's refusal": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "error message of a server"),
    "XML": (b'<?xml version="1.0"?>\n<rows><row/></rows>', "an XML document"),
    "ZIP": (packed("rows.csv"), "a ZIP archive; unpack it"),
    "empty ZIP": (b"PK\x05\x06" + bytes(18), "a ZIP archive"),
    "XLSX": (packed("", *XLSX), "an Excel workbook (XLSX); save the table as CSV"),
    "ODS": (packed("", "mimetype", "content.xml", "META-INF/manifest.xml"), "an OpenDocument file"),
    "DOCX": (packed("", "[Content_Types].xml", "word/document.xml"), "a Word document"),
    "XLS": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "an old Office document (such as .xls)"),
    "gzip": (gzip.compress(TABLE.encode()), "compressed (gzip); unpack it"),
    "bzip2": (bz2.compress(TABLE.encode()), "compressed (bzip2)"),
    "xz": (lzma.compress(TABLE.encode()), "compressed (xz)"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "compressed (zstd)"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7-Zip archive"),
    "tar": (tarred(), "a tar archive"),
    "Parquet": (b"PAR1\x15\x04\x15", "a Parquet file"),
    "Feather": (b"ARROW1\0\0", "an Arrow (Feather) file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
    "NumPy": (numpy_array(), "a NumPy array"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture (PNG)"),
    "RTF": (rb"{\rtf1\ansi", "a text document (RTF)"),
    "JSON": (json.dumps([{"female": 1}], indent=1).encode(), "JSON; save the table as CSV"),
    "JSON object": (json.dumps({"female": [1, 0]}).encode(), "JSON"),
    "JSON lines": (b'{"female": 1}\n{"female": 0}\n', "JSON"),
    "JSON numbers": (b"[[0, 1], [1, 0]]", "JSON"),
    "UTF-16": (TABLE.encode("utf-16"), "text in UTF-16; save the file as UTF-8"),
    "UTF-16 without a mark": (TABLE.encode("utf-16-le"), "text in UTF-16"),
    "UTF-16, large end first": (TABLE.encode("utf-16-be"), "text in UTF-16"),
    "UTF-32": (TABLE.encode("utf-32"), "text in UTF-32"),
    "UTF-32 without a mark": (TABLE.encode("utf-32-le"), "text in UTF-32"),
    "empty": (b"", "the file is empty; it must hold a header and rows"),
    "a byte order mark": (b"\xef\xbb\xbf", "the file is empty"),
    "blank lines": (b"\n \r\n\t\n", "the file is empty"),
    "machine code": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0>\0\x01", "no text (it holds NUL bytes)"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_table_is_called_by_its_name(tmp_path, case):
    content, told = FILES[case]
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(schema.TableError) as error:
        schema.read_table(tmp_path / "rows.csv", FRAUD)
    assert told in str(error.value)
    assert str(error.value).startswith("rows.csv: the file is ")
    with pytest.raises(schema.TableError):  # the owner's command reads with the same words
        sources.load(str(tmp_path / "rows.csv"), FRAUD, seed=0, cache=tmp_path)


def test_a_database_is_called_by_its_name(tmp_path):
    with sqlite3.connect(tmp_path / "rows.db") as database:
        database.execute("create table rows (female integer)")
    database.close()
    assert filekind.recognise(tmp_path / "rows.db").is_ == "an SQLite database"


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE,
        "# a stamp\n" + TABLE,
        TABLE.replace(",", ";"),
        '"a","b"\n1,2\n',
        "id,<5\n1,2\n",
        "version,size\n1,2\n",
        "caf\xe9,b\n1,2\n",
        "1,0,3.5\n",
    ],
)
def test_a_table_is_nothing_else(tmp_path, content):
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    assert filekind.recognise(tmp_path / "rows.csv") is None

"""Reproducible archives: ``client_code/`` for a job, the kit for a notebook instance; same content, same bytes."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from data_prep import download
from data_prep.download import Remote
from workshop import problems
from workshop.errors import BundleError
from workshop.files import REPOSITORY, WORKPLACE, sha256
from workshop.packing import wheelhouse
from workshop.packing.wheelhouse import KIT_LOCK, Python

CLIENT_CODE = REPOSITORY / "client_code"
KIT = WORKPLACE / "build" / "bundle" / "kit.tar"
# The Python of the notebook instance, which brings 3.9 and 3.10: relocatable, for glibc 2.17 and later.
# Source of address and checksum: python-build-standalone's releases, as pbs-installer 2026.10.25 lists them.
INTERPRETER = Remote(
    url=(
        "https://github.com/astral-sh/python-build-standalone/releases/download/20261021/"
        "cpython-3.12.15%2B20261021-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
    ),
    sha256="6d7521138fd33afddc1ccd08abb007d9a2829e38117c2576f9efdc0ec73ce772",
    size=30_000_000,
    name="CPython 3.12.15",
    remedy="try again, or put the file there by hand: build/bundle/python.tar.gz",
)
PYTHON = "3.12"
WHEELS = "wheels"  # folder of the wheels in source.tar.gz


def source_archive(
    folder: Path = CLIENT_CODE,
    *,
    problem: str = "",
    wheels: Path | None = None,
    also: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a gzipped tar of code (``.py``, ``.txt``) and problem, sorted, without times, owners or modes.

    ``__init__.py`` stays at home: in a job the modules stand at the top level.

    Parameters
    ----------
    problem : str
        What the rows are, as ``problems.path`` takes it: its file travels as ``problem.toml``.
    wheels : Path
        A folder of wheels that travel too: ``requirements.txt`` is then installed from them and from nowhere else,
        which a job without internet needs.
    also : mapping
        More files, by name.
    """
    files = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".py", ".txt") and path.name != "__init__.py"
    }
    if wheels:
        offline = f"--no-index\n--find-links {WHEELS}\n".encode()
        files["requirements.txt"] = offline + files.get("requirements.txt", b"")
        files |= {f"{WHEELS}/{path.name}": path.read_bytes() for path in wheels.glob("*.whl")}
    files["problem.toml"] = problems.path(problem).read_bytes()
    files |= also or {}
    # mtime=0 and an empty file name: gzip would otherwise write the hour into its header.
    archive = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=archive, mode="wb", mtime=0) as compressed:
        _write(compressed, sorted(files.items()))
    return archive.getvalue()


def kit(target: Path = KIT, *, interpreter: Remote = INTERPRETER, python: str = PYTHON) -> str:
    """Write the repository, a Python and the wheels of the lock for it as one tar; return its SHA-256.

    Parameters
    ----------
    interpreter : Remote
        A relocatable Python, as a tar.gz with one folder in it.
    python : str
        Its version.

    Raises
    ------
    BundleError
        If a wheel cannot be had, or this is no git checkout.
    data_prep.download.DownloadError
        If the Python cannot be had, or is not the one that it should be.
    """
    carried = download.fetch(interpreter, target.with_name("python.tar.gz"))
    folder = wheelhouse.build(Python(python), lock=KIT_LOCK, folder=wheelhouse.FOLDER / "kit" / python)
    files = {name: REPOSITORY / name for name in tracked()}
    files |= {f"wheelhouse/{wheel.name}": wheel for wheel in folder.glob("*.whl")}
    files["python.tar.gz"] = carried
    draft = target.with_suffix(".part")
    with draft.open("wb") as file:
        _write(file, ((name, path.read_bytes()) for name, path in sorted(files.items())))
    draft.replace(target)
    digest = sha256(target)
    target.with_suffix(".sha256").write_text(f"{digest}\n")
    return digest


def kit_digest() -> str:
    """Return the SHA-256 of the bundle that ``make bundle`` wrote; empty if there is none."""
    file = KIT.with_suffix(".sha256")
    return file.read_text().strip() if KIT.exists() and file.exists() else ""


def tracked() -> list[str]:
    """Return the repository's files: those that git keeps; a table or a card that lies beside them does not travel.

    Raises
    ------
    BundleError
        If git does not know.
    """
    command = ["git", "ls-files", "-z"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BundleError(f"the bundle holds what git knows of, and git says: {run.stderr.strip()}")
    return sorted(name for name in run.stdout.split("\0") if name and (REPOSITORY / name).is_file())


def _write(file: IO[bytes] | gzip.GzipFile, content: Iterable[tuple[str, bytes]]) -> None:
    """Write files, which come sorted, into a tar."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in content:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(data))


def main() -> int:
    """Write the kit's bundle and say what a stack needs to know of it."""
    digest = kit()
    print(f"{KIT.relative_to(WORKPLACE)}: {KIT.stat().st_size / 1e6:.0f} MB\nBundleSha256: {digest}")
    return 0

"""Pack what travels, same content, same bytes: ``client_code/`` to a job, the whole kit to a notebook instance."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from workshop import wheelhouse
from workshop.errors import BundleError
from workshop.wheelhouse import KIT_LOCK, Python

REPOSITORY = Path(__file__).resolve().parents[1]
CLIENT_CODE = REPOSITORY / "client_code"
KIT = REPOSITORY / "build" / "bundle" / "kit.tar"
PYTHONS = ("3.11", "3.12")
WHEELS = "wheels"  # folder of the wheels in source.tar.gz


def source_archive(folder: Path = CLIENT_CODE, *, wheels: Path | None = None) -> bytes:
    """Return a gzipped tar of the folder's ``.py`` and ``.txt`` files, sorted, without times, owners or modes.

    ``__init__.py`` stays at home: in a job the modules stand at the top level.

    Parameters
    ----------
    wheels : Path
        A folder of wheels that travel too: ``requirements.txt`` is then installed from them and from nowhere else,
        which a job without internet needs.
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
    # mtime=0 and an empty file name: gzip would otherwise write the hour into its header.
    archive = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=archive, mode="wb", mtime=0) as compressed:
        _write(compressed, sorted(files.items()))
    return archive.getvalue()


def kit(target: Path = KIT, *, pythons: Sequence[str] = PYTHONS) -> str:
    """Write the repository and the wheels of its lock as one tar; return its SHA-256.

    Parameters
    ----------
    pythons : sequence of str
        The versions that a notebook instance may have.

    Raises
    ------
    BundleError
        If a wheel cannot be had, or this is no git checkout.
    """
    folder = wheelhouse.FOLDER / "kit"
    for version in pythons:
        wheelhouse.build(Python(version), lock=KIT_LOCK, folder=folder)
    files = {name: REPOSITORY / name for name in tracked()}
    files |= {f"wheelhouse/{wheel.name}": wheel for wheel in folder.glob("*.whl")}
    target.parent.mkdir(parents=True, exist_ok=True)
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


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(file: IO[bytes], content: Iterable[tuple[str, bytes]]) -> None:
    """Write files, which come sorted, into a tar."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in content:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(data))


def main(pythons: Sequence[str]) -> int:
    """Write the kit's bundle and say what a stack needs to know of it."""
    digest = kit(pythons=pythons or PYTHONS)
    print(f"{KIT.relative_to(REPOSITORY)}: {KIT.stat().st_size / 1e6:.0f} MB\nBundleSha256: {digest}")
    return 0

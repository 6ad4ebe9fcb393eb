"""Output folders, one per owner: rows, and a manifest that says what they are."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from client_code.problem import Problem
from data_prep.errors import DataError

MANIFEST, SALT = "manifest.json", "salt"
STAMP = "# synthetic rows, made by data_prep.synthetic: no {subject} is described here\n"


class ManifestError(DataError):
    """A file is not the one that its manifest describes."""


def write_owner(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    problem: Problem,
    *,
    owner: str,
    source: str,
    source_sha256: str,
    seed: int,
) -> dict:
    """Write tables as CSV files, a secret if there is none yet, and a manifest beside them, the manifest last.

    The secret is a key of 32 random bytes for the checksum of the rows that a client's job tells: it stays in the
    folder and in the owner's bucket, and stays the same as long as the folder is there.

    Parameters
    ----------
    folder : Path
        The owner's; made when it is not there, and CSV files of an earlier run are removed.
    tables : mapping of str to DataFrame
        By file name.
    source, source_sha256, seed
        Where the rows come from; files of synthetic rows carry a stamp in their first line.

    Returns
    -------
    dict
        ``owner``, ``source``, ``source_sha256``, ``seed`` and per table ``rows``, ``positives`` and ``sha256``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.csv"), folder / MANIFEST):
        old.unlink(missing_ok=True)
    if not (folder / SALT).exists():
        _write(folder / SALT, secrets.token_bytes(32), private=True)
    stamp = STAMP.format(subject=problem.words.subject) if source == "synthetic" else ""
    files = {}
    for name, frame in tables.items():
        body = csv_bytes(_in_words(frame, problem), stamp=stamp)
        _write(folder / name, body)
        positives = int(frame[problem.label.name].sum())
        files[name] = {"rows": len(frame), "positives": positives, "sha256": hashlib.sha256(body).hexdigest()}
    manifest = {"owner": owner, "source": source, "source_sha256": source_sha256, "seed": seed, "files": files}
    _write(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return manifest


def _in_words(frame: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Return a table as its files say it: a label of two words in its words."""
    label = problem.label
    if not label.categories:
        return frame
    return frame.assign(**{label.name: frame[label.name].map(dict(enumerate(label.categories)))})


def verify_owner(folder: Path) -> dict:
    """Compare every file with the manifest and return the manifest.

    Raises
    ------
    ManifestError
        Names the folder's owner and the file that is missing or differs.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{folder.name}/{MANIFEST} is damaged: run 01_prepare_data.ipynb again") from error
    except FileNotFoundError as error:
        raise ManifestError(f"{folder.name} has no {MANIFEST}: run 01_prepare_data.ipynb first") from error
    if not (folder / SALT).is_file():
        raise ManifestError(f"{folder.name}/{SALT} is missing: run 01_prepare_data.ipynb again")
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file():
            raise ManifestError(f"{folder.name}/{name} is missing: run 01_prepare_data.ipynb again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise ManifestError(f"{folder.name}/{name} is not the file its manifest describes (SHA-256 differs)")
    return manifest


def csv_bytes(frame: pd.DataFrame, *, stamp: str = "") -> bytes:
    """Return the table as CSV below its stamp; every number is written so that reading gives the same number back."""
    return (stamp + frame.to_csv(index=False, lineterminator="\n")).encode()


def is_stamped(path: Path) -> bool:
    """Return whether a file's first line says that its rows are synthetic."""
    with path.open("rb") as file:
        return file.readline().startswith(b"# synthetic")


def _write(path: Path, body: bytes, *, private: bool = False) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.touch(0o600 if private else 0o666)
    temporary.write_bytes(body)
    temporary.replace(path)

"""UCI Heart Disease: four hospitals' published files, as one table in words, with whose patient each row is.

Source: Janosi, Steinbrunn, Pfisterer and Detrano, UCI Machine Learning Repository, CC BY 4.0,
https://doi.org/10.24432/C52P4X.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from client_code.problem import Problem
from data_prep import download
from data_prep.download import Remote
from data_prep.errors import DataError

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/"
OWNER = "hospital"
_SHA256 = {  # of the files of 1988, in the order of the clients
    "cleveland": "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
    "hungarian": "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
    "switzerland": "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
    "va": "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
}
HOSPITALS = {"cleveland": "Cleveland", "hungarian": "Budapest", "switzerland": "Zurich and Basel", "va": "Long Beach"}
FILES = {
    site: Remote(
        url=f"{URL}processed.{site}.data",
        sha256=sha256,
        size=20_000,
        name=f"heart patients of {HOSPITALS[site]}",
        remedy="try again, or download the four processed.*.data files by hand and give their folder as DATA",
    )
    for site, sha256 in _SHA256.items()
}
PUBLISHED = (
    "age", "male", "chest_pain", "blood_pressure", "cholesterol", "high_sugar", "resting_ecg", "heart_rate",
    "exercise_pain", "st_depression", "st_slope", "vessels", "thallium", "num",
)  # fmt: skip
_CODES = {  # as published -> in words
    "chest_pain": {1: "typical angina", 2: "atypical angina", 3: "other pain", 4: "no pain"},
    "resting_ecg": {0: "normal", 1: "ST-T abnormality", 2: "hypertrophy"},
    "st_slope": {1: "up", 2: "flat", 3: "down"},
    "thallium": {3: "normal", 6: "fixed defect", 7: "reversible defect"},
}
_NOT_MEASURED = ("cholesterol", "blood_pressure")  # 0 stands there for nothing


def fetch(cache: Path, *, url: str = URL) -> Path:
    """Return the folder of the four cached files; download those that are not there.

    Raises
    ------
    download.DownloadError
        Names the address, what happened and what to do.
    """
    folder = cache / "uci_heart"
    for remote in FILES.values():
        name = remote.url.rpartition("/")[2]
        download.fetch(replace(remote, url=url + name), folder / name)
    return folder


def read(folder: Path, problem: Problem) -> tuple[pd.DataFrame, str]:
    """Read the four files into one table with the problem's columns, and ``hospital`` as the last.

    Parameters
    ----------
    folder : Path
        Holds ``processed.cleveland.data`` and the three others, as published.

    Returns
    -------
    tuple
        The table, ``(920, 2 + n_features)``, in the order of the hospitals; and a SHA-256 of the four files' own.

    Raises
    ------
    DataError
        If a file is missing, or is not the published one.
    """
    parts, digests = [], []
    for site, remote in FILES.items():
        path = folder / remote.url.rpartition("/")[2]
        if not path.is_file():
            raise DataError(f"folder {folder.name} has no {path.name}: all four hospitals' files are needed")
        if (digest := download.checksum(path)) != remote.sha256:
            raise DataError(
                f"{path.name} is not the published file (SHA-256 {digest[:12]}..., not {remote.sha256[:12]}...): "
                "copies with other codes are about; download it again, or give a table in words (problems/heart.toml)"
            )
        digests.append(digest)
        parts.append(_in_words(pd.read_csv(path, header=None, names=list(PUBLISHED), na_values="?"), problem))
        parts[-1][OWNER] = HOSPITALS[site]
    table = pd.concat(parts, ignore_index=True)
    for column in problem.features:
        if column.categories:
            table[column.name] = pd.Categorical(table[column.name], categories=list(column.categories))
    return table, hashlib.sha256("".join(digests).encode()).hexdigest()


def _in_words(published: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Return rows in the words and units of the problem; a code that is none of the published is missing."""
    rows = published.astype(float)
    rows[problem.label.name] = (rows["num"] > 0).astype(np.int64)
    for name in _NOT_MEASURED:
        rows[name] = rows[name].where(rows[name] > 0)
    for name, words in _CODES.items():
        rows[name] = rows[name].map(words).astype(object)
    return rows[list(problem.names)]

"""The curated table: where the published file is, and how to get it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_prep import download
from data_prep.download import Remote

TABLE = Remote(
    url=(
        "https://raw.githubusercontent.com/aws-samples/wwps-payment-integrity-solutions/"
        "ee1b00d85aa8ba775d8eafd68173391c1dd6f613/Federated-Learning/data_prep/processed_data_classification_v2.csv"
    ),
    sha256="d33f11f0237f2024cd326ca6a8b4ed1630fb7dcc22d79dd04a298ea270995525",
    size=1_714_660,
    name="curated table",
    remedy="try again, or download it by hand and give its path as DATA",
)
NAME = "processed_data_classification_v2.csv"


def fetch(cache: Path, **other: str) -> Path:
    """Return the cached table; download it when it is not there, or not the one that it should be.

    Raises
    ------
    download.DownloadError
        Names the address, what happened and what to do.
    """
    return download.fetch(replace(TABLE, **other), cache / NAME)

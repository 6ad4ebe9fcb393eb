"""Installed versions, for the first page of the workshop and for bug reports."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pandas as pd

PACKAGES = (
    "flwr",
    "scikit-learn",
    "imbalanced-learn",
    "pandas",
    "numpy",
    "boto3",
    "sagemaker",
    "papermill",
    "nbval",
)


def table() -> pd.DataFrame:
    """Return the version of Python and of every package that the notebooks are about."""
    python = ".".join(platform.python_version_tuple()[:2])
    return pd.DataFrame({"version": {"python": python, **{name: version(name) for name in PACKAGES}}})

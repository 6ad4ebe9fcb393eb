"""Shared by the unit tests: the published table, where somebody has put it."""

import os
from pathlib import Path

import pytest

NAME = "cms_medicare_providers.csv"


@pytest.fixture(scope="session")
def real_table_path() -> Path:
    """Return the path of the published table; skip where it is not there."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(os.environ.get("WORKSHOP_SHARED_DATA", default)) / NAME
    if not path.is_file():
        pytest.skip(f"{NAME} is not there: set WORKSHOP_SHARED_DATA to the folder that holds it")
    return path

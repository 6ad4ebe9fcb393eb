"""Rows for small federations, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cohort import Rows


@pytest.fixture(scope="session")
def three_folder(tmp_path_factory):
    """Return the folder with every owner's files."""
    return tmp_path_factory.mktemp("three")


@pytest.fixture(scope="session")
def three(three_folder):
    return Rows.make(three_folder, 3)


@pytest.fixture(scope="session")
def ten(tmp_path_factory):
    return Rows.make(tmp_path_factory.mktemp("ten"), 10)

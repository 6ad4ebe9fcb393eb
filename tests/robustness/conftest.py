"""Rows for small federations, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cohort import Rows


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    return Rows.make(tmp_path_factory.mktemp("three"), 3)


@pytest.fixture(scope="session")
def ten(tmp_path_factory):
    return Rows.make(tmp_path_factory.mktemp("ten"), 10)

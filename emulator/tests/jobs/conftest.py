"""Desks from which the tests start jobs."""

from __future__ import annotations

import itertools

import pytest
from training_desk import Desk

from embedded_aws.testing import end

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def aws(serve_aws, tmp_path_factory):
    """Return an embedded AWS of this folder's own: its tests count what is in an account."""
    process, own = serve_aws(tmp_path_factory.mktemp("home"))
    yield own
    end(process)


@pytest.fixture(scope="session")
def desk(aws) -> Desk:
    """Return the desk of client 4, whom no federation of the other tests has."""
    return Desk.open(aws.session("client-4"), "jobs-of-client-4")


@pytest.fixture
def name() -> str:
    """Return a job name that no other test has."""
    return f"fl-job-{next(_numbers)}"

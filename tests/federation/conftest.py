"""Accounts that are connected and hold their rows, on the session's embedded AWS."""

import pytest

from workshop.lessons import rehearsal


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=3, seed=0)
        yield connected
        rehearsal.clean_up(connected)

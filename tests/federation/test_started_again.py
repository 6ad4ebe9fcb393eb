"""An embedded AWS that was started again has lost everything, and the kit says so."""

import pytest

from workshop import state
from workshop.aws import accounts
from workshop.errors import AccountError, StartedAgain

ROLE = "arn:aws:iam::444455556666:role/FL-kickoff-client-job"


def end(process):
    process.terminate()
    process.wait(10)


def test_a_role_that_went_with_the_old_one_is_not_called_a_question_of_trust(serve_aws, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    process, _ = serve_aws(tmp_path, n_clients=1)
    try:
        state.save(target={"name": "embedded", "clients": 1})
        with pytest.raises(AccountError) as error:  # nothing is connected yet
            accounts.assume_role(accounts.session("server"), ROLE, session_name="test")
        assert type(error.value) is AccountError
        state.save(accounts={"instance": accounts.instance()})
        with pytest.raises(AccountError) as error:  # what is missing was never there
            accounts.assume_role(accounts.session("server"), ROLE, session_name="test")
        assert type(error.value) is AccountError
        assert "AccessDenied" in str(error.value)
    finally:
        end(process)
    process, _ = serve_aws(tmp_path, n_clients=1)
    try:
        with pytest.raises(StartedAgain, match=r"was started after .* run 02_connect_accounts\.ipynb again"):
            accounts.notebook_session(ROLE)
        state.save(accounts={"instance": accounts.instance()})  # as notebook 02 does
        with pytest.raises(AccountError) as error:
            accounts.notebook_session(ROLE)
        assert type(error.value) is AccountError
    finally:
        end(process)

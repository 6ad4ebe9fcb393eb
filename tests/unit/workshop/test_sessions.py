"""Sessions by account name: which file is read, and what is said when an account is not there."""

import pytest

from workshop import state
from workshop.aws import accounts
from workshop.errors import AccountError

CONFIG = """
[profile fl-server]
region = us-east-1
endpoint_url = http://127.0.0.1:9
aws_access_key_id = a
aws_secret_access_key = b
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "aws-config").write_text(CONFIG)
    state.save(target={"name": "embedded", "clients": 3})
    return tmp_path


def test_a_session_takes_region_and_endpoint_from_its_profile(home):
    session = accounts.session("server")
    assert session.region_name == "us-east-1"
    assert session.client("s3").meta.endpoint_url == "http://127.0.0.1:9"


def test_an_account_without_a_profile_is_named_with_the_remedy(home):
    with pytest.raises(AccountError, match=r"no profile fl-client-11 for account client-11: .*make lab CLIENTS=12"):
        accounts.session("client-11")


def test_an_embedded_aws_that_is_not_running_says_how_to_start_it(home):
    (home / "embedded" / "aws-config").unlink()
    with pytest.raises(AccountError, match="not running: start it with `make lab`"):
        accounts.session("server")


def test_a_target_that_is_unknown_lists_the_choices():
    with pytest.raises(AccountError, match="choose one of embedded, aws"):
        accounts.config_file("azure")


def test_the_real_target_never_reads_the_embedded_profiles(home, monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "embedded" / "aws-config"))  # as `make lab` leaves it
    assert accounts.config_file("aws").name == "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", "/somewhere/else")
    assert str(accounts.config_file("aws")) == "/somewhere/else"


def test_an_account_that_does_not_answer_is_named(home, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(AccountError, match="account server does not answer"):
        accounts.identity("server", accounts.session("server"))


def test_client_names_count_from_one():
    assert accounts.client_names(3) == ["client-1", "client-2", "client-3"]

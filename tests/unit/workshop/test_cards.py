"""What a card from somebody else may change on this machine, and what not."""

import json
from dataclasses import asdict

import pytest

from workshop.aws import agreement
from workshop.aws.agreement import Agreement
from workshop.errors import AgreementError, MissingStep
from workshop.owners import cards

AGREED = Agreement(
    {"server": "111122223333", "client-1": "444455556666", "client-2": "777788889999"},
    {"server": "10.80.0.0/24", "client-1": "10.80.1.0/24", "client-2": "10.80.2.0/24"},
    8080,
    "arn:aws:iam::111122223333:user/x",
    "AIDAEXAMPLEEXAMPLE",
    {"client-1": "a word of the pair", "client-2": "another word of theirs"},
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "home"))
    return tmp_path


def card(folder, name, account, **more):
    path = folder / "card.json"
    path.write_text(json.dumps({"name": name, "account": account, "outputs": {}} | more))
    return path


def test_a_client_takes_over_what_the_server_agreed_with_it(home):
    path = card(home, "server", "111122223333", agreed=asdict(AGREED.for_client("client-1")))
    assert cards.read(path) == "server"
    assert agreement.load() == AGREED.for_client("client-1")


@pytest.mark.parametrize(
    ("name", "account", "more", "told"),
    [
        ("client-1", "777788889999", {}, "client-1's card, of account 777788889999; the agreement has 444455556666"),
        ("client-3", "777788889999", {}, "nobody of that name"),
        ("client-1", "444455556666", {"outputs": {"fl-network": {"VpcCidr": "10.80.0.0/16"}}}, "agreed on are 10.80.1"),
        ("server", "111122223333", {"agreed": asdict(AGREED.for_client("client-1"))}, "client-2 too and would forget"),
        ("server", "444455556666", {"agreed": asdict(AGREED)}, "the agreement has 111122223333"),
        ("client-1", "444455556666", {"outputs": 7}, "is no card"),
    ],
)
def test_a_card_that_does_not_fit_changes_nothing(home, name, account, more, told):
    agreement.save(AGREED)
    with pytest.raises(AgreementError, match=told):
        cards.read(card(home, name, account, **more))
    assert agreement.load() == AGREED


def test_a_client_s_card_brings_no_agreement(home):
    agreement.save(AGREED)
    evil = asdict(AGREED) | {"port": 22, "external_ids": {"client-1": "evil evil evil evil"}}
    assert cards.read(card(home, "client-1", "444455556666", agreed=evil)) == "client-1"
    assert agreement.load() == AGREED


def test_a_card_that_is_not_there_is_said_so(home):
    with pytest.raises(AgreementError, match="there is no file"):
        cards.read(home / "nope.json")


def test_a_client_without_the_server_s_card_is_told_to_join_one_and_nothing_of_the_server_s_commands(home):
    with pytest.raises(MissingStep, match="python -m workshop join FILE") as missing:
        cards.federation(["client-1"])
    assert "agree" not in str(missing.value)
    with pytest.raises(MissingStep, match="python -m workshop agree"):
        cards.federation(["server"])

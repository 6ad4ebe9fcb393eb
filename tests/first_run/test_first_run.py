"""The first run on the embedded AWS: once through, and the ways in which it can end early."""

import re

import pytest

from workshop import first_run
from workshop.aws import agreement, choices, cleanup
from workshop.errors import AccountError, AgreementError
from workshop.first_run import deploying


@pytest.fixture(scope="module")
def sessions(own_accounts):
    return own_accounts(1, EMBEDDED_AWS_STOP_GRACE="3")


@pytest.fixture(scope="module")
def once(sessions, tmp_path_factory):
    """Return how a first run ended, its report, the words that must not be in it, and what is left in the accounts."""
    path = tmp_path_factory.mktemp("report") / "first-run.md"
    ended = first_run.main(path, yes=True, endpoints="all")
    agreed = agreement.load()
    secrets = [*agreed.ids.values(), *agreed.external_ids.values(), agreed.requester_id]
    return ended, path.read_text(), secrets, cleanup.left_over(sessions)


def found(report, question):
    """Return what was found, what was expected and the verdict of a question."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("|")]
    (line,) = (line for line in lines if question in line[1])
    return line[2:]


def test_all_is_as_expected_and_nothing_is_left(once):
    ended, report, _, left = once
    assert ended == 0
    assert "otherwise" not in report
    assert left.empty
    assert found(report, "what is left") == ["nothing", "nothing", "as expected"]


def test_what_nobody_could_know_is_answered(once):
    _, report, _, _ = once
    assert found(report, "peering") == ["active", "active", "as expected"]
    told, _, verdict = found(report, "region in its environment")
    assert (verdict, "SAGEMAKER_REGION=us-east-1" in told, "AWS_DEFAULT_REGION=not set" in told) == (
        "as expected", True, True,
    )  # fmt: skip
    assert found(report, "can it prove who it is")[2] == "as expected"
    assert found(report, "do packets arrive at the server")[0] == "refused"
    assert found(report, "does the script hear SIGTERM") == ["no", "no", "as expected"]
    # It was given three seconds between StopTrainingJob and SIGKILL, and its signs of life came each second.
    assert found(report, "how long it went on meanwhile")[0] in ("about 2 s", "about 3 s", "about 4 s", "about 5 s")
    assert found(report, "its address after a stop and start")[0] == "the same"
    assert re.fullmatch(r"last seen \d+ s after the job's end", found(report, "the job's interface")[0])


def test_what_did_not_run_here_is_not_told_as_if_it_had(once):
    _, report, _, _ = once
    assert found(report, "kit and Pythons on it")[0].startswith("not seen")
    assert "endpoint" not in report.partition("6 flow logs")[2].partition("##")[0]  # its packets are not counted here


def test_the_flow_logs_of_both_ends_say_that_the_job_reached_the_server(once):
    _, report, _, _ = once
    assert found(report, "client-1: job with server's network")[0].startswith("ACCEPT, ")
    assert found(report, "server: notebook instance with client-1's network")[0].startswith("ACCEPT, ")


def test_the_report_holds_no_id(once):
    _, report, secrets, _ = once
    for secret in secrets:
        assert secret not in report
    assert not re.search(r"\b(?:eni|vpc|subnet|sg|pcx|vpce|fl)-[0-9a-f]{8}|arn:aws|10\.80\.\d|\d{12}", report)


def test_accounts_that_hold_something_are_left_alone(sessions, once, tmp_path):
    sessions["client-1"].client("s3").create_bucket(Bucket="fl-somebody-works-here")
    with pytest.raises(AgreementError, match=r"something of this kit in client-1 \(bucket fl-somebody-works-here"):
        first_run.main(tmp_path / "report.md", yes=True)
    assert not (tmp_path / "report.md").exists()
    sessions["client-1"].client("s3").delete_bucket(Bucket="fl-somebody-works-here")


def test_an_agreement_with_others_is_not_forgotten(once, tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "members", lambda: {"client-1", "client-2"})
    with pytest.raises(AgreementError, match=r"has agreed with client-2 too.*set WORKSHOP_HOME"):
        first_run.main(tmp_path / "report.md", yes=True)


def test_nothing_is_created_without_a_yes(sessions, once, tmp_path):
    with pytest.raises(AgreementError, match="nothing was created"):
        first_run.main(tmp_path / "report.md")
    assert cleanup.left_over(sessions).empty


def test_a_step_that_fails_is_told_and_what_stands_is_deleted(sessions, once, tmp_path, monkeypatch, capsys):
    def silent(session, outputs):
        raise AccountError(f"account server: notebook instance has no address ({agreement.load().ids['server']})")

    assert choices.load().endpoints == "needed"  # what the first run was told is not kept
    monkeypatch.setattr(deploying.connections, "server_host", silent)
    path = tmp_path / "report.md"
    assert first_run.main(path, yes=True) == 1
    told = "account server: notebook instance has no address (<server>)"
    assert found(path.read_text(), "went through") == [told, "yes", "**otherwise**"]
    assert "5 job" not in path.read_text()
    assert "otherwise: 4 notebook instance" in capsys.readouterr().out
    assert cleanup.left_over(sessions).empty


def test_what_nobody_foresaw_is_told_by_its_kind(sessions, once, tmp_path, monkeypatch):
    def surprised(session, account):
        raise KeyError("AvailabilityZones")

    monkeypatch.setattr(deploying.region, "zones", surprised)
    path = tmp_path / "report.md"
    assert first_run.main(path, yes=True) == 1
    assert found(path.read_text(), "went through")[0] == "KeyError: 'AvailabilityZones'"
    assert cleanup.left_over(sessions).empty


def test_ctrl_c_cleans_up_too(sessions, once, tmp_path, monkeypatch):
    def interrupted(run, step):
        """Be interrupted."""
        raise KeyboardInterrupt

    monkeypatch.setitem(first_run.STEPS, "3 accepter, peering", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first_run.main(tmp_path / "report.md", yes=True)
    assert found((tmp_path / "report.md").read_text(), "what is left")[0] == "nothing"
    assert cleanup.left_over(sessions).empty


def test_a_quota_of_zero_ends_it_before_anything_is_created(own_accounts, once, tmp_path):
    unused = own_accounts(1, EMBEDDED_AWS_QUOTA="0")
    path = tmp_path / "report.md"
    assert first_run.main(path, yes=True) == 1
    assert found(path.read_text(), "client-1: ml.m5.large for training job usage") == [
        "0",
        "2 or more",
        "**otherwise**",
    ]
    assert "python -m workshop quotas client-1 --request" in found(path.read_text(), "went through")[0]
    assert "2 storage" not in path.read_text()
    assert cleanup.left_over(unused).empty

"""Everything at once in which AWS is less kind than one would wish: new accounts, old zones, things that take time."""

import re
import time

import pytest

from workshop.aws import accounts, blueprint, cleanup, connections, deployment, kickoff, quotas, stacks
from workshop.aws.choices import Choices
from workshop.errors import AccountError, JobError, StackError
from workshop.lessons import rehearsal

CHOSEN = Choices()


@pytest.fixture(scope="module")
def sessions(own_accounts):
    """Return sessions in new accounts; a stopped job has AWS's 120 s, and interfaces outlast the first deletions."""
    return own_accounts(2, EMBEDDED_AWS_QUOTA="0", EMBEDDED_AWS_INTERFACES_LINGER="20", EMBEDDED_AWS_STOP_GRACE="120")


@pytest.fixture(scope="module")
def asked(sessions):
    """Ask for every quota, as its owner does; return what the accounts had before."""
    before = quotas.table(sessions, CHOSEN)
    for name, session in sessions.items():
        need = quotas.needed(name, CHOSEN)
        assert quotas.request(session, need) == "asked for (PENDING)"
        assert quotas.request(session, need) in ("asked for already (PENDING)", "there is enough")
    give_up = time.monotonic() + 10
    while (quotas.table(sessions, CHOSEN)["has"] < quotas.table(sessions, CHOSEN)["needed"]).any():
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return before


@pytest.fixture(scope="module")
def stage(sessions, asked):
    return rehearsal.connect_accounts(n_clients=2)


def test_new_accounts_are_told_what_to_ask_for(asked):
    assert asked["has"].tolist() == [0, 0, 0]
    assert asked.loc["client-1"].tolist() == ["ml.m5.large for training job usage", 2, 0]
    assert asked.loc["server"].tolist() == ["ml.t3.medium for notebook instance usage", 1, 0]


def test_subnets_stand_where_the_services_are_and_stay_there(sessions, stage):
    for name, session in sessions.items():
        network = stage.accounts.outputs[name]["fl-network"]
        told = session.client("ec2").describe_subnets(SubnetIds=network["SubnetIds"].split(","))["Subnets"]
        assert "use1-az3" not in {subnet["AvailabilityZoneId"] for subnet in told}
        assert len({subnet["AvailabilityZoneId"] for subnet in told}) == 2
    assert set(deployment.deploy(stage.accounts)["did"]) == {"unchanged"}


def test_the_federation_runs(stage):
    result, _ = rehearsal.federate(stage, rounds=2)
    assert len(result.history) == 2


def test_a_quota_that_is_used_up_is_waited_for_and_else_named(stage, sessions):
    client, session = stage.clients[0], sessions["client-1"]
    place, certificates = rehearsal.stand(stage)
    settings = {
        "image": rehearsal.IMAGE, "server_address": place.address,
        "ca_certificate": certificates.authority_hyperparameter(), "join_deadline": 3,
    }  # fmt: skip
    both = [f"fl-{client.name}-quota{number}-1" for number in (1, 2)]
    for name in both:
        kickoff.start(client, session, kickoff.training_request(client, name=name, **settings))
    third = kickoff.training_request(client, name=f"fl-{client.name}-quota3-1", **settings)
    with pytest.raises(JobError, match=r"is 2 Instances.*python -m workshop quotas client-1 --request"):
        kickoff.start(client, session, third)
    # Nobody is there whom they could join: they end after three seconds, and then there is room.
    started = kickoff.start(client, session, third, patience=60)
    assert started.lookup() in ("InProgress", "Failed")


def test_a_server_s_role_that_is_made_anew_is_trusted_again_by_a_deployment(stage, sessions):
    members, server = stage.accounts, sessions["server"]
    for stack in ("fl-serving", "fl-server-access"):  # a policy of the first hangs on the role of the second
        stacks.delete(server, stack, account="server")
        members.outputs["server"].pop(stack, None)
    steps = [step for step in blueprint.SAGEMAKER if step.template == "server-access"]
    deployment.deploy(members, steps)
    role = members.outputs["server"]["fl-server-access"]["NotebookRoleArn"]
    assert role == stage.server_role
    client = connections.client_account(members, "client-1")
    with pytest.raises(AccountError, match="cannot be borrowed"):
        accounts.borrow(accounts.notebook_session(role), client, session_name="ghost")
    did = deployment.deploy(members)["did"]
    assert did["client-1", "fl-client-access"] == did["client-2", "fl-client-access"] == "changed"
    accounts.borrow(accounts.notebook_session(role), client, session_name="again")


def test_the_clean_up_waits_for_interfaces_and_nothing_is_left(stage, sessions):
    rehearsal.federate(stage, rounds=1)
    told = []
    with pytest.raises(StackError, match="SageMaker has not taken back eni-") as error:
        cleanup.delete_all(sessions, deadline=0.0)
    # What the interfaces need still stands; with time, all of it goes.
    (owner,) = re.findall(r"^account (\S+):", str(error.value))
    assert {"fl-network"} < {*stacks.names(sessions[owner])}
    cleanup.delete_all(sessions, progress=lambda *line: told.append(line[:2]))
    assert cleanup.left_over(sessions).empty


@pytest.mark.parametrize("operation", ["GetServiceQuota", "ListRequestedServiceQuotaChangeHistoryByQuota"])
def test_a_quota_that_is_granted_while_one_asks_again_is_no_error(own_accounts, operation):
    session = own_accounts(1, EMBEDDED_AWS_QUOTA="0")["client-1"]  # from here on, no test needs those of before
    need = quotas.needed("client-1", CHOSEN)
    assert quotas.request(session, need) == "asked for (PENDING)"
    # Between this answer and what is asked next, AWS grants it.
    session.client("service-quotas").meta.events.register(
        f"after-call.service-quotas.{operation}", lambda **_: time.sleep(0.5)
    )
    assert quotas.request(session, need) in ("asked for already (PENDING)", "there is enough")

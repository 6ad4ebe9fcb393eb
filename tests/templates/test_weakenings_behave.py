"""Some weakenings at work: what the templates refuse goes through when one of them is weakened, and only then."""

import pytest
from botocore.exceptions import ClientError
from weakenings import WEAKENINGS

from workshop.aws import accounts, blueprint, deployment, stacks
from workshop.aws.choices import Choices
from workshop.aws.steps import placements
from workshop.lessons import experiments, rehearsal

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=2, seed=0, choices=Choices(kick_off="published"))
        yield connected
        rehearsal.clean_up(connected)


def refused(call, **request):
    """Tell whether IAM refuses a call; what it lets through may fail for another reason."""
    try:
        call(**request)
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIED
    return False


def borrow(who, **extra):
    return lambda stage: refused(
        who(stage).client("sts").assume_role,
        RoleArn=stage.clients[0].kickoff_role, RoleSessionName="attack", **{
            name: value(stage) if callable(value) else value for name, value in extra.items()
        },
    )  # fmt: skip


def server(stage):
    return accounts.notebook_session(stage.server_role)


def administrator(stage):
    return stage.sessions["server"]


def word(stage):
    return stage.clients[0].external_id


def job(**changes):
    def probe(stage):
        client = stage.clients[0]
        kickoff = accounts.borrow(server(stage), client, session_name="attack").client("sagemaker")
        request = experiments.job_request(client, image=rehearsal.IMAGE)
        told = {name: change(client) if callable(change) else change for name, change in changes.items()}
        return refused(kickoff.create_training_job, **{**request, **told})

    return probe


def network(*, subnets=("own",), group="own"):
    return lambda client: {
        "Subnets": [client.subnets[0] if subnet == "own" else subnet for subnet in subnets],
        "SecurityGroupIds": [client.security_group if group == "own" else group],
    }


def write_test_table(stage):
    bucket = stage.accounts.outputs["server"]["fl-storage"]["Bucket"]
    return refused(server(stage).client("s3").put_object, Bucket=bucket, Key="data/other.csv", Body=b"")


FOREIGN = "subnet-0123456789abcdef0"
PROBES = {
    "kick-off role trusts the server's whole account": borrow(administrator, ExternalId=word),
    "kick-off role trusts everybody": borrow(lambda stage: stage.sessions["client-2"], ExternalId=word),
    "no external id": borrow(server),
    "external id may be left out": borrow(server),
    "any role may be passed": job(RoleArn=lambda client: client.kickoff_role),
    "jobs of any name": job(TrainingJobName="my-own"),
    "jobs in any subnet": job(VpcConfig=network(subnets=[FOREIGN])),
    "one right subnet is enough": job(VpcConfig=network(subnets=["own", FOREIGN])),
    "jobs with any group": job(VpcConfig=network(group="sg-0123456789abcdef0")),
    "server overwrites its test table": write_test_table,
}


@pytest.fixture
def weaken(stage, tmp_path, monkeypatch):
    """Return a function that deploys a weakened template in its account; afterwards all is as it was."""
    changed = []

    def stack(name):
        step = next(step for step in blueprint.SAGEMAKER if step.template == name)
        place = next(place for place in placements(step, list(stage.accounts.ids)) if place.account != "client-2")
        return place.account, deployment.stack_of(stage.accounts, place)

    def weaken(weakening):
        text = (stacks.TEMPLATES / f"{weakening.template}.yaml").read_text()
        (tmp_path / f"{weakening.template}.yaml").write_text(text.replace(weakening.old, weakening.new))
        account, wanted = stack(weakening.template)
        with monkeypatch.context() as patch:
            patch.setattr(stacks, "TEMPLATES", tmp_path)
            assert stacks.deploy(stage.sessions[account], wanted).did == "changed"
        changed.append((account, wanted))

    yield weaken
    for account, wanted in changed:
        stacks.deploy(stage.sessions[account], wanted)


@pytest.mark.parametrize("name", PROBES)
def test_what_is_refused_goes_through_when_the_template_is_weakened(stage, weaken, name):
    assert PROBES[name](stage), "refused by the template as it is"
    weaken(next(weakening for weakening in WEAKENINGS if weakening.name == name))
    assert not PROBES[name](stage), "the probe shows the weakening"

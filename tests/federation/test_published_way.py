"""The published way, by an owner's choice: what its policy refuses, and what no policy can refuse.

The server's account calls ``CreateTrainingJob`` itself. IAM binds network, role, machine, key and time; it has no
condition for image, entry point, environment or hyperparameters.
"""

import pytest
from botocore.exceptions import ClientError
from error_codes import code

from workshop.aws import accounts, jobs
from workshop.aws.choices import Choices
from workshop.lessons import experiments, rehearsal

FOREIGN_SUBNET, FOREIGN_GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=2, seed=0, choices=Choices(kick_off="published"))
        yield connected
        rehearsal.clean_up(connected)


@pytest.fixture(scope="module")
def lent(stage):
    """Return the kick-off role of client-1, as the server borrows it."""
    return accounts.borrow(accounts.notebook_session(stage.server_role), stage.clients[0], session_name="attack")


def test_a_federation_runs_in_the_published_way(stage):
    assert all(client.kick_off == "published" and not client.machine for client in stage.clients)
    result, started = rehearsal.federate(stage, rounds=2)
    assert len(result.history) == 2
    assert "fl-started-by" not in str(started[0].describe())


@pytest.fixture
def request_of_client_1(stage):
    return experiments.job_request(stage.clients[0], image=rehearsal.IMAGE)


def network(client, **changes):
    own = {"Subnets": list(client.subnets), "SecurityGroupIds": [client.security_group]}
    return {"VpcConfig": {**own, **changes}}


@pytest.mark.parametrize(
    "change",
    [
        lambda stage, request: {"TrainingJobName": "my-own-job"},
        lambda stage, request: {"TrainingJobName": "xfl-1"},
        lambda stage, request: {"VpcConfig": None},
        lambda stage, request: network(stage.clients[0], Subnets=[FOREIGN_SUBNET]),
        lambda stage, request: network(stage.clients[0], Subnets=[*stage.clients[0].subnets, FOREIGN_SUBNET]),
        lambda stage, request: network(stage.clients[0], SecurityGroupIds=[FOREIGN_GROUP]),
        lambda stage, request: network(
            stage.clients[0], SecurityGroupIds=[stage.clients[0].security_group, FOREIGN_GROUP]
        ),
        lambda stage, request: network(stage.clients[1]),
        lambda stage, request: {"RoleArn": stage.clients[0].kickoff_role},
        lambda stage, request: {"RoleArn": stage.clients[1].execution_role},
    ],
    ids=[
        "name of its own", "name with fl- inside", "no network", "foreign subnet", "one foreign subnet",
        "foreign group", "one foreign group", "another client's network", "the kick-off role",
        "another account's role",
    ],
)  # fmt: skip
@pytest.mark.promise("I-02", "A job that is not the agreed one is refused")
def test_a_job_that_is_not_the_agreed_one_is_refused(stage, lent, request_of_client_1, change):
    changed = {**request_of_client_1, **change(stage, request_of_client_1)}
    changed = {name: value for name, value in changed.items() if value is not None}
    assert code(lent.client("sagemaker").create_training_job, **changed) == "AccessDeniedException"


def test_the_agreed_job_is_started_followed_and_stopped(stage, lent, request_of_client_1):
    sagemaker, name = lent.client("sagemaker"), request_of_client_1["TrainingJobName"]
    assert code(sagemaker.create_training_job, **request_of_client_1) == "allowed"
    assert code(sagemaker.describe_training_job, TrainingJobName=name) == "allowed"
    assert code(sagemaker.stop_training_job, TrainingJobName=name) in (
        "allowed",
        "ValidationException",
    )  # ended already
    job = jobs.TrainingJob(stage.clients[0], name, lent)
    with pytest.raises(jobs.JobError):
        jobs.wait([job], deadline=60)


MONEY = [
    lambda request: {"StoppingCondition": {"MaxRuntimeInSeconds": 432_000}},
    lambda request: {"ResourceConfig": request["ResourceConfig"] | {"InstanceType": "ml.p5.48xlarge"}},
    lambda request: {"ResourceConfig": request["ResourceConfig"] | {"KeepAlivePeriodInSeconds": 3600}},
    lambda request: {"RemoteDebugConfig": {"EnableRemoteDebug": True}},
    lambda request: {"OutputDataConfig": {"S3OutputPath": "s3://bucket-of-the-attacker/"}},
]


@pytest.mark.parametrize("change", MONEY, ids=["five days", "a dear machine", "kept warm", "a shell", "another key"])
def test_what_iam_can_bind_is_bound(lent, request_of_client_1, change):
    changed = request_of_client_1 | change(request_of_client_1)
    assert code(lent.client("sagemaker").create_training_job, **changed) == "AccessDeniedException"


def algorithm(request, **more):
    return request | {"AlgorithmSpecification": request["AlgorithmSpecification"] | more}


def test_iam_allows_another_entry_point_and_the_embedded_aws_says_that_it_does_not_run_it(lent, request_of_client_1):
    """Not denied: this is why the owner's machine is the default."""
    changed = algorithm(request_of_client_1, ContainerEntrypoint=["python", "-c", "print()"])
    with pytest.raises(ClientError, match="ContainerEntrypoint") as refused:
        lent.client("sagemaker").create_training_job(**changed)
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_an_image_of_another_registry_is_not_pulled(lent, request_of_client_1):
    """No condition binds it; but the execution role may pull from SageMaker's own registry alone."""
    image = rehearsal.IMAGE.replace(rehearsal.IMAGE.partition(".")[0], "111122223333")
    with pytest.raises(ClientError, match=r"ValidationException.*has proper pull permissions"):
        lent.client("sagemaker").create_training_job(**algorithm(request_of_client_1, TrainingImage=image))


def test_other_hyperparameters_reach_the_script_which_takes_no_file_from_the_server(stage, lent, request_of_client_1):
    """Which of an owner's files are summed up and scored is no setting of the owner's code."""
    chosen = request_of_client_1["HyperParameters"] | {"test-file": "train.csv"}
    lent.client("sagemaker").create_training_job(**request_of_client_1 | {"HyperParameters": chosen})
    job = jobs.TrainingJob(stage.clients[0], request_of_client_1["TrainingJobName"], lent)
    with pytest.raises(jobs.JobError):
        jobs.wait([job], deadline=60)
    assert "unrecognized arguments: --test-file train.csv" in "\n".join(
        jobs.log_tail(stage.sessions["client-1"], job.job_name, 50)
    )

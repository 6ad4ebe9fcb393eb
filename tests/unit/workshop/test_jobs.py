"""The request that a client account receives, and the waits around a job."""

import re
from pathlib import Path

import pytest
from botocore.session import Session

from workshop.aws import jobs, kickoff
from workshop.errors import JobError
from workshop.federation.participants import Phase, Status

ROOT = Path(__file__).resolve().parents[3]
CLIENT = jobs.ClientAccount(
    name="client-1",
    account="444455556666",
    bucket="rows",
    key="arn:aws:kms:eu-west-1:444455556666:key/11111111-2222-3333-4444-555555555555",
    execution_role="arn:aws:iam::444455556666:role/FL-client-job-execution",
    kickoff_role="arn:aws:iam::444455556666:role/FL-kickoff-client-job",
    subnets=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
    security_group="sg-0123456789abcdef0",
    region="eu-west-1",
    instance_type="ml.t3.medium",
    external_id="agreed-by-the-pair",
)


def request(**options):
    return kickoff.training_request(
        CLIENT, name="fl-client-1-x", image="image:1", server_address="10.0.0.1:8080", ca_certificate="MII", **options
    )


def test_the_request_is_one_that_sagemaker_accepts():
    model = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob")
    from botocore.validate import ParamValidator

    assert not ParamValidator().validate(request(), model.input_shape).has_errors()


def test_the_job_stands_in_the_client_s_own_network():
    assert request()["VpcConfig"] == {
        "Subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }


def test_the_external_id_is_in_no_request_and_no_printed_account():
    assert "agreed-by-the-pair" not in str(request()) + repr(CLIENT)


def test_the_original_samples_hyperparameters_keep_their_names():
    hyperparameters = request(max_iter=25, penalty="l1")["HyperParameters"]
    assert hyperparameters["sagemaker_program"] == "client.py"
    assert hyperparameters["sagemaker_submit_directory"] == "s3://rows/code/source.tar.gz"
    assert (hyperparameters["max-iter"], hyperparameters["penalty"]) == ("25", "l1")
    assert hyperparameters["server-address"] == "10.0.0.1:8080"


def test_everything_the_request_names_belongs_to_the_client():
    text = str(request())
    assert "s3://rows/data/" in text
    assert text.count("s3://") == text.count("s3://rows/") == 4
    assert request()["RoleArn"] == CLIENT.execution_role


def test_the_job_is_told_its_region_and_runs_on_the_machine_that_its_owner_pays_for():
    assert request()["HyperParameters"]["sagemaker_region"] == "eu-west-1"
    assert request()["ResourceConfig"]["InstanceType"] == "ml.t3.medium"


def test_a_job_s_name_follows_from_its_run_and_matches_what_the_kickoff_policy_allows():
    assert (
        kickoff.job_name("client-1", "0a1b2c3d") == kickoff.job_name("client-1", "0a1b2c3d") == "fl-client-1-0a1b2c3d-1"
    )
    assert kickoff.job_name("client-1", "0a1b2c3d", 2) == "fl-client-1-0a1b2c3d-2"
    names = {kickoff.job_name("client-1") for _ in range(50)}
    assert len(names) > 45
    assert all(name.startswith("fl-client-1-") and len(name) <= 63 for name in names)


class Endless:
    """A job that never ends."""

    name, account, job_name, pace = "client-1", "444455556666", "fl-x", 3.0

    def describe(self):
        return {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}

    def status(self):
        return Status(Phase.RUNNING, "InProgress (Training)")


def test_a_wait_ends_at_its_deadline_and_names_the_job():
    times = iter(range(100))
    with pytest.raises(JobError, match=r"still running after 5 s:\nclient-1 \(account 444455556666\)"):
        jobs.wait([Endless()], deadline=5, clock=lambda: next(times), sleep=lambda seconds: None)


class Answering(Endless):
    """A job whose account says one thing, or nothing."""

    def __init__(self, name, status):
        self.name, self.known = name, status

    def describe(self):
        if self.known is None:
            raise JobError(f"{self.name} says nothing")
        return {"TrainingJobStatus": self.known, "SecondaryStatus": self.known, "BillableTimeInSeconds": 7}

    def status(self):
        return Status(Phase.ENDED, self.describe()["TrainingJobStatus"])


def waited(statuses, needed):
    times = iter(range(100))
    started = [Answering(f"client-{number}", status) for number, status in enumerate(statuses, 1)]
    return jobs.wait(started, deadline=5, needed=needed, clock=lambda: next(times), sleep=lambda seconds: None)


def test_an_account_that_does_not_answer_counts_as_one_whose_job_did_not_complete():
    table = waited(["Completed", "Completed", None], needed=2)
    assert list(table["status"]) == ["Completed", "Completed", "no answer"]
    assert list(table["billable seconds"].iloc[:2]) == [7, 7]
    with pytest.raises(JobError, match=r"still running after 5 s:\nclient-3 says nothing$"):
        waited(["Completed", "Completed", None], needed=3)
    with pytest.raises(JobError, match=r"^client-2 \(account 444455556666\), job fl-x: Failed$"):
        waited(["Completed", "Failed", "Completed"], needed=3)


def test_what_is_billed_is_left_empty_where_nobody_says():
    started = [Answering("client-1", "Completed"), Answering("client-2", None)]
    assert jobs.billed(started) == {"client-1": 7, "client-2": None}


def test_the_request_says_what_the_script_says_to_libraries_that_are_loaded_before_it():
    source = (ROOT / "client_code" / "client.py").read_text()
    own = dict(re.findall(r'os\.environ\.setdefault\("(\w+)", "(\w+)"\)', source))
    assert own["GRPC_VERBOSITY"] == "NONE"
    assert own.items() <= request()["Environment"].items()

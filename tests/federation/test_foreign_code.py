"""K-rows: what a dishonest server's owner tries to make a client's account run, read or pay for.

The attacker has every right in the server's account, so the server's notebook role and, through it, the kick-off role
of a client. Each way is tried for real, and must be refused for its own reason; at the end no job is there.
"""

import json
import time

import pytest
from error_codes import code

from workshop.aws import accounts, jobs, kickoff
from workshop.lessons import rehearsal

REPOSITORY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"
OURS, THEIRS = "s3://bucket-of-the-attacker/", "FL-client-1-nightly"
BAD_INPUT = "FL.InputRefused"
DENIED = ("AccessDenied", "AccessDeniedException")


@pytest.fixture(scope="module")
def lent(stage):
    """Return the kick-off role of client-1, as the server borrows it."""
    return accounts.borrow(accounts.notebook_session(stage.server_role), stage.clients[0], session_name="attack")


@pytest.fixture(scope="module")
def words(stage):
    """Return what the agreed way takes from the server."""
    place, certificates = rehearsal.stand(stage)
    return kickoff.machine_input(
        run="attack", attempt=1, server_address=place.address, join_deadline=1,
        ca_certificate=certificates.authority_hyperparameter(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def request_(stage):
    """Return the published way's request for the very job that the owner has written."""
    client = stage.clients[0]
    return kickoff.training_request(
        client, name="fl-client-1-attack-1", image=rehearsal.IMAGE, server_address="192.0.2.1:8080", ca_certificate="M="
    )


@pytest.fixture(scope="module")
def owners(stage):
    """Return the owner's session, with a job and a state machine of the owner's own, which are nobody else's affair."""
    owner, client = stage.sessions["client-1"], stage.clients[0]
    request = kickoff.training_request(
        client, name=THEIRS, image=rehearsal.IMAGE, server_address="192.0.2.1:8080", ca_certificate="M=",
        join_deadline=100,
    )  # fmt: skip
    owner.client("sagemaker").create_training_job(**request)
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = owner.client("iam").create_role(RoleName="owner-s-own", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    states = owner.client("stepfunctions")
    waits = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}})
    machine = states.create_state_machine(name="owner-s-own", definition=waits, roleArn=role)["stateMachineArn"]
    states.start_execution(stateMachineArn=machine, name="nightly")
    yield owner
    states.stop_execution(executionArn=machine.replace("stateMachine", "execution") + ":nightly")
    states.delete_state_machine(stateMachineArn=machine)
    owner.client("iam").delete_role(RoleName="owner-s-own")
    job = jobs.TrainingJob(client, THEIRS, owner)
    job.stop()
    while job.describe()["TrainingJobStatus"] not in jobs.FINISHED:
        time.sleep(0.1)


def algorithm(**more):
    return {"AlgorithmSpecification": {"TrainingImage": rehearsal.IMAGE, "TrainingInputMode": "File", **more}}


def hyperparameters(**more):
    return lambda request: {"HyperParameters": request["HyperParameters"] | more}


def resources(**more):
    return lambda request: {"ResourceConfig": request["ResourceConfig"] | more}


def channel(uri):
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    extra = {"ChannelName": "more", "DataSource": {"S3DataSource": source}}
    return lambda request: {"InputDataConfig": [*request["InputDataConfig"], extra]}


RULE = {"RuleConfigurationName": "mine", "RuleEvaluatorImage": REPOSITORY}
FILES = {"FileSystemId": "fs-01234567", "FileSystemAccessMode": "ro", "FileSystemType": "EFS", "DirectoryPath": "/"}
# A job of the server's own: what it would be, and how the request differs from the one that the owner has written.
REQUESTS = {
    "K-01 the agreed job, by a request of its own": {},
    "K-02 another image, of its own registry": algorithm(TrainingImage=REPOSITORY),
    "K-03 another entry point of the container": algorithm(ContainerEntrypoint=["python", "-c", "print()"]),
    "K-04 other arguments of the container": algorithm(ContainerArguments=["-c", "print()"]),
    "K-05 an algorithm from the marketplace": algorithm(AlgorithmName="x"),
    "K-06 metrics that copy numbers out of the log": algorithm(MetricDefinitions=[{"Name": "m", "Regex": "(.*)"}]),
    "K-07 another environment": {"Environment": {"PYTHONPATH": "/opt/ml/input/data/more"}},
    "K-08 another program": hyperparameters(sagemaker_program="other.py"),
    "K-09 other code": hyperparameters(sagemaker_submit_directory=f"{OURS}code.tar.gz"),
    "K-10 other files of the owner": hyperparameters(**{"train-file": "validation.csv"}),
    "K-11 a second channel with code": channel(f"{OURS}code/"),
    "K-12 rows of another client": channel("s3://fl-rows-of-client-2/data/"),
    "K-13 a file system as a channel": {
        "InputDataConfig": [{"ChannelName": "f", "DataSource": {"FileSystemDataSource": FILES}}]
    },
    "K-14 a model in another bucket": {"OutputDataConfig": {"S3OutputPath": OURS}},
    "K-15 checkpoints in another bucket": {"CheckpointConfig": {"S3Uri": OURS}},
    "K-16 TensorBoard's files in another bucket": {"TensorBoardOutputConfig": {"S3OutputPath": OURS}},
    "K-17 the debugger's tensors in another bucket": {"DebugHookConfig": {"S3OutputPath": OURS}},
    "K-18 a debugger rule with an image of its own": {"DebugRuleConfigurations": [RULE]},
    "K-19 the profiler's files in another bucket": {"ProfilerConfig": {"S3OutputPath": OURS}},
    "K-20 a profiler rule with an image of its own": {"ProfilerRuleConfigurations": [RULE]},
    "K-21 a shell in the container": {"RemoteDebugConfig": {"EnableRemoteDebug": True}},
    "K-22 a dear machine": resources(InstanceType="ml.p5.48xlarge"),
    "K-23 twenty machines": resources(InstanceCount=20),
    "K-24 a terabyte of disk": resources(VolumeSizeInGB=1024),
    "K-25 a machine that is kept warm": resources(KeepAlivePeriodInSeconds=3600),
    "K-26 five days": {"StoppingCondition": {"MaxRuntimeInSeconds": 432_000}},
    "K-27 thirty attempts": {"RetryStrategy": {"MaximumRetryAttempts": 30}},
    "K-28 no network": {"VpcConfig": None},
    "K-29 another execution role": lambda request: {
        "RoleArn": f"{request['RoleArn'].partition('/')[0]}/FL-kickoff-machine"
    },
}
# What the owner's machine is given instead of what was agreed on, and what it answers.
INPUTS = {
    "K-30 an image beside the input": ({"image": REPOSITORY}, "this machine takes no image"),
    "K-31 an environment beside the input": ({"Environment": {"A": "b"}}, "this machine takes no Environment"),
    "K-32 other files beside the input": ({"train_file": "validation.csv"}, "this machine takes no train_file"),
    "K-33 checkpoints elsewhere, by the run's id": ({"run": "../../data"}, "run must be"),
    "K-34 a run's id that is an expression": ({"run": "{% $states.context %}"}, "run must be"),
    "K-35 a run's id that ends a text": ({"run": "a' & 'b"}, "run must be"),
    "K-36 a run's id in two lines": ({"run": "attack\n"}, "run must be"),
    "K-37 a run's id in a list": ({"run": ["attack"]}, "run must be"),
    "K-38 another name, by the attempt": ({"attempt": "1-nightly"}, "attempt must be"),
    "K-39 a server by its name": ({"server": "attacker.example.com:443"}, "server must be"),
    "K-40 an argument behind the server": ({"server": "10.80.0.4:8080 --train-file x"}, "server must be"),
    "K-41 a server in two lines": ({"server": "10.80.0.4:8080\n"}, "server must be"),
    "K-42 an argument behind the authority": ({"authority": "M" * 200 + " --rows-file x"}, "authority must be"),
    "K-43 no authority": ({"authority": None}, "authority must be"),
    "K-44 a seed that is a text": ({"seed": "0 --test-file x"}, "seed must be"),
    "K-45 a seed below zero": ({"seed": -1}, "seed must be"),
    "K-46 another penalty": ({"penalty": "elasticnet"}, "penalty must be"),
    "K-47 iterations without end": ({"max_iter": 10**9}, "max_iter must be"),
    "K-48 half an iteration": ({"max_iter": 1.5}, "max_iter must be"),
    "K-49 a wait without end": ({"join_deadline": 10**9}, "join_deadline must be"),
    "K-50 less than the whole input": (lambda words: {"server": words["server"]}, "run must be"),
    "K-51 an input that is no object": (lambda words: [words], "the input must be an object"),
}


def machine(kind):
    return lambda client: client.machine.replace("FL-kickoff", kind)


def execution(kind, name):
    return lambda client: f"{machine(kind)(client).replace(':stateMachine:', ':execution:')}:{name}"


PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
MACHINE_ROLE = "role/FL-kickoff-machine"


def role(client):
    return client.execution_role.replace("role/FL-client-job-execution", MACHINE_ROLE)


# Around the machine: service, operation and its arguments.
CALLS = {
    "K-52 change the machine": (
        "stepfunctions",
        "update_state_machine",
        {"stateMachineArn": machine("FL-kickoff"), "definition": PASS},
    ),
    "K-53 a machine of its own with the machine's role": (
        "stepfunctions",
        "create_state_machine",
        {"name": "mine", "definition": PASS, "roleArn": role},
    ),
    "K-54 delete the machine": ("stepfunctions", "delete_state_machine", {"stateMachineArn": machine("FL-kickoff")}),
    "K-55 start another machine of the owner": (
        "stepfunctions",
        "start_execution",
        {"stateMachineArn": machine("owner-s-own")},
    ),
    "K-56 stop an execution of another machine": (
        "stepfunctions",
        "stop_execution",
        {"executionArn": execution("owner-s-own", "nightly")},
    ),
    "K-57 see an execution of another machine": (
        "stepfunctions",
        "describe_execution",
        {"executionArn": execution("owner-s-own", "nightly")},
    ),
    "K-58 read the machine's definition": (
        "stepfunctions",
        "describe_state_machine",
        {"stateMachineArn": machine("FL-kickoff")},
    ),
    "K-59 list the owner's machines": ("stepfunctions", "list_state_machines", {}),
    "K-60 take the machine's role": ("sts", "assume_role", {"RoleArn": role, "RoleSessionName": "attack"}),
    "K-61 take the execution role": (
        "sts",
        "assume_role",
        {"RoleArn": lambda client: client.execution_role, "RoleSessionName": "attack"},
    ),
    "K-62 stop a job of the owner's own": ("sagemaker", "stop_training_job", {"TrainingJobName": THEIRS}),
    "K-63 stop it by its name in small letters": (
        "sagemaker",
        "stop_training_job",
        {"TrainingJobName": THEIRS.lower()},
    ),
    "K-64 see a job of the owner's own": ("sagemaker", "describe_training_job", {"TrainingJobName": THEIRS}),
    "K-65 make the owner's job look like one of the machine's": (
        "sagemaker",
        "add_tags",
        {
            "ResourceArn": lambda client: f"arn:aws:sagemaker:us-east-1:{client.account}:training-job/{THEIRS.lower()}",
            "Tags": [{"Key": "fl-started-by", "Value": "FL-kickoff"}],
        },
    ),
    "K-66 list the owner's jobs": ("sagemaker", "list_training_jobs", {}),
    "K-67 delete a job's entry": ("sagemaker", "delete_training_job", {"TrainingJobName": THEIRS}),
    "K-68 read a job's log": (
        "logs",
        "get_log_events",
        {"logGroupName": jobs.LOG_GROUP, "logStreamName": "fl-client-1-attack-1/algo-1"},
    ),
    "K-69 find jobs' logs": ("logs", "describe_log_streams", {"logGroupName": jobs.LOG_GROUP}),
    "K-70 put other code into the bucket": (
        "s3",
        "put_object",
        {"Bucket": lambda client: client.bucket, "Key": "code/source.tar.gz", "Body": b""},
    ),
    "K-71 put other rows into the bucket": (
        "s3",
        "put_object",
        {"Bucket": lambda client: client.bucket, "Key": "data/train.csv", "Body": b""},
    ),
    "K-72 read the model that the job left": (
        "s3",
        "list_objects_v2",
        {"Bucket": lambda client: client.bucket, "Prefix": "artefacts/"},
    ),
}


@pytest.fixture
def nothing_started(owners):
    """Afterwards: no job is there but the owner's own."""
    yield
    found = owners.client("sagemaker").list_training_jobs(NameContains="attack")["TrainingJobSummaries"]
    assert found == []


@pytest.mark.parametrize("way", REQUESTS)
@pytest.mark.promises(REQUESTS)
def test_no_request_of_its_own_starts_a_job(lent, request_, nothing_started, way):
    changes = REQUESTS[way](request_) if callable(REQUESTS[way]) else REQUESTS[way]
    changed = {name: value for name, value in (request_ | changes).items() if value is not None}
    assert code(lent.client("sagemaker").create_training_job, **changed) in DENIED


@pytest.mark.parametrize("way", INPUTS)
@pytest.mark.promises(INPUTS)
def test_the_machine_takes_nothing_but_what_was_agreed_on(stage, lent, words, nothing_started, way):
    change, why = INPUTS[way]
    given, states = change(words) if callable(change) else words | change, lent.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=stage.clients[0].machine, name=f"attack-{time.monotonic_ns()}", input=json.dumps(given)
    )
    while (ended := states.describe_execution(executionArn=execution["executionArn"]))["status"] == "RUNNING":
        time.sleep(0.02)
    assert ended.get("error") == BAD_INPUT, ended
    assert why in ended["cause"]


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.promises(CALLS)
def test_nothing_around_the_machine_can_be_reached(stage, lent, nothing_started, way):
    service, operation, given = CALLS[way]
    given = {name: value(stage.clients[0]) if callable(value) else value for name, value in given.items()}
    assert code(getattr(lent.client(service), operation), **given) in DENIED


@pytest.mark.promise("K-00", "The agreed job, in the agreed words, is started, followed and stopped")
def test_the_agreed_job_is_started_followed_and_stopped(stage, lent, words):
    """The positive control: what every way above differs from goes through, and is what its owner has written."""
    client = stage.clients[0]
    place, certificates = rehearsal.stand(stage)
    (job,) = kickoff.kick_off(
        [client], {"client-1": lent}, run="agreed", image=rehearsal.IMAGE, server_address=place.address,
        ca_certificate=certificates.authority_hyperparameter(), join_deadline=100,
    )  # fmt: skip
    described = job.describe()
    assert described["TrainingJobStatus"] == "InProgress"
    assert described["AlgorithmSpecification"]["TrainingImage"] == rehearsal.IMAGE
    assert described["HyperParameters"]["sagemaker_submit_directory"] == f"s3://{client.bucket}/code/source.tar.gz"
    assert described["OutputDataConfig"]["KmsKeyId"] == client.key
    again = kickoff.kick_off(
        [client], {"client-1": lent}, run="agreed", image=rehearsal.IMAGE, server_address=place.address,
        ca_certificate=certificates.authority_hyperparameter(), join_deadline=100,
    )  # fmt: skip
    assert again == [job]
    job.stop()
    while job.describe()["TrainingJobStatus"] not in jobs.FINISHED:
        time.sleep(0.1)

"""The deployed templates under attack: who may borrow the kick-off role, which jobs it may start, what it may read.

Each table has its positive control: the same call, made as it is meant, goes through.
"""

import json
import re
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from error_codes import code

from workshop.aws import accounts, jobs
from workshop.errors import AccountError
from workshop.lessons import experiments, rehearsal


@pytest.fixture(scope="module")
def server(stage):
    """The server's notebook role."""
    return accounts.notebook_session(stage.server_role)


@pytest.fixture(scope="module")
def kickoff(stage, server):
    """The kick-off role of client-1, borrowed by the server."""
    return accounts.borrow(server, stage.clients[0], session_name="attack")


@pytest.fixture(scope="module")
def other_role(stage):
    """Another role of the server's account, which may assume anything."""
    admin = stage.sessions["server"]
    iam, account = admin.client("iam"), stage.accounts.ids["server"]
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    grant = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    documents = [json.dumps({"Version": "2012-10-17", "Statement": [part]}) for part in (trust, grant)]
    arn = iam.create_role(RoleName="other", AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName="other", PolicyName="everything", PolicyDocument=documents[1])
    yield accounts.assume_role(admin, arn, session_name="other")
    iam.delete_role_policy(RoleName="other", PolicyName="everything")
    iam.delete_role(RoleName="other")


@pytest.mark.promise("I-01", "The kick-off role is lent to one role with the agreed external id and to nobody else")
def test_the_kickoff_role_is_lent_to_one_role_with_the_agreed_word_and_to_nobody_else(stage, server, other_role):
    client = stage.clients[0]
    ask = {"RoleArn": client.kickoff_role, "RoleSessionName": "attack"}
    word = {"ExternalId": client.external_id}
    attempts = {
        "the server's notebook role": (server, word),
        "wrong external id": (server, {"ExternalId": "w" * 24}),
        "no external id": (server, {}),
        "another client's external id": (server, {"ExternalId": stage.clients[1].external_id}),
        "administrator of the server's account": (stage.sessions["server"], word),
        "another role of the server's account": (other_role, word),
        "administrator of another client": (stage.sessions["client-2"], word),
        "administrator of the client itself": (stage.sessions["client-1"], word),
    }
    verdicts = {name: code(who.client("sts").assume_role, **ask, **extra) for name, (who, extra) in attempts.items()}
    expected = dict.fromkeys(attempts, "AccessDenied") | {"the server's notebook role": "allowed"}
    assert verdicts == expected


def test_the_execution_role_is_lent_to_nobody(stage, server, kickoff):
    for who in (server, kickoff, *stage.sessions.values()):
        ask = {"RoleArn": stage.clients[0].execution_role, "RoleSessionName": "attack"}
        assert code(who.client("sts").assume_role, **ask) == "AccessDenied"


PROBES = [
    ("s3", "list_buckets", lambda client: {}),
    ("s3", "list_objects_v2", lambda client: {"Bucket": client.bucket}),
    ("s3", "list_objects_v2", lambda client: {"Bucket": client.bucket, "Prefix": "data/"}),
    ("s3", "get_object", lambda client: {"Bucket": client.bucket, "Key": "data/train.csv"}),
    ("s3", "head_object", lambda client: {"Bucket": client.bucket, "Key": "data/train.csv"}),
    ("s3", "put_object", lambda client: {"Bucket": client.bucket, "Key": "code/source.tar.gz", "Body": b""}),
    ("s3", "delete_object", lambda client: {"Bucket": client.bucket, "Key": "data/train.csv"}),
    ("s3", "get_bucket_policy", lambda client: {"Bucket": client.bucket}),
    ("s3", "put_bucket_policy", lambda client: {"Bucket": client.bucket, "Policy": "{}"}),
    ("sagemaker", "list_training_jobs", lambda client: {}),
    ("sagemaker", "describe_training_job", lambda client: {"TrainingJobName": "somebody-else-s"}),
    ("sagemaker", "describe_training_job", lambda client: {"TrainingJobName": "fl-client-1-of-nobody-1"}),
    ("sagemaker", "delete_training_job", lambda client: {"TrainingJobName": "fl-x"}),
    ("sagemaker", "list_notebook_instances", lambda client: {}),
    ("sagemaker", "create_presigned_notebook_instance_url", lambda client: {"NotebookInstanceName": "fl-notebook"}),
    ("logs", "describe_log_groups", lambda client: {}),
    ("logs", "delete_log_group", lambda client: {"logGroupName": jobs.LOG_GROUP}),
    ("logs", "filter_log_events", lambda client: {"logGroupName": jobs.LOG_GROUP}),
    (
        "logs",
        "get_log_events",
        lambda client: {"logGroupName": jobs.LOG_GROUP, "logStreamName": "fl-client-1-0-1/algo-1"},
    ),
    ("iam", "list_roles", lambda client: {}),
    ("iam", "create_user", lambda client: {"UserName": "me"}),
    ("iam", "update_assume_role_policy", lambda client: {"RoleName": "FL-kickoff-client-job", "PolicyDocument": "{}"}),
    ("kms", "list_keys", lambda client: {}),
    ("ec2", "describe_vpcs", lambda client: {}),
    ("ec2", "authorize_security_group_egress", lambda client: {"GroupId": client.security_group}),
    ("cloudformation", "describe_stacks", lambda client: {}),
    ("cloudformation", "delete_stack", lambda client: {"StackName": "fl-storage"}),
    ("cloudtrail", "lookup_events", lambda client: {}),
]


@pytest.mark.parametrize("probe", PROBES, ids=[f"{service}:{operation}" for service, operation, _ in PROBES])
@pytest.mark.promise("I-03", "Neither the kick-off role nor the server reaches anything else of a client")
def test_neither_the_kickoff_role_nor_the_server_reaches_anything_else_of_a_client(stage, server, kickoff, probe):
    service, operation, arguments = probe
    request = arguments(stage.clients[0])
    denied = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
    assert code(getattr(kickoff.client(service), operation), **request) in denied
    if service == "s3" and request:  # by its name the server reaches a client's bucket from its own account too
        assert code(getattr(server.client(service), operation), **request) in denied
        assert code(getattr(stage.sessions["client-2"].client(service), operation), **request) in denied


def test_the_owner_itself_reads_its_rows(stage):
    client = stage.clients[0]
    found = stage.sessions["client-1"].client("s3").get_object(Bucket=client.bucket, Key="data/train.csv")
    assert found["ServerSideEncryption"] == "aws:kms"
    assert found["Body"].read(20)


def test_a_refusal_to_borrow_names_the_client_and_what_its_owner_must_do(stage, server):

    with pytest.raises(
        AccountError, match=r"client-1: .*FL-kickoff-client-job cannot be borrowed: .*AccessDenied.*owner"
    ):
        accounts.borrow(server, replace(stage.clients[0], external_id="x" * 16), session_name="attack")


def start_as_owner(stage, number=1):
    """Start the agreed job of a client with its owner's own session; return SageMaker's error, if any."""
    client = stage.clients[number]
    request = experiments.job_request(client, image=rehearsal.IMAGE)
    sagemaker = stage.sessions[client.name].client("sagemaker")
    try:
        sagemaker.create_training_job(**request)
    except ClientError as error:
        return None, error.response["Error"]["Message"]
    job = jobs.TrainingJob(client, request["TrainingJobName"], stage.sessions[client.name])
    with pytest.raises(jobs.JobError):
        jobs.wait([job], deadline=60)
    return job.describe()["FailureReason"], None


@pytest.fixture
def iam_of_client_2(stage):
    """Return client-2's IAM; afterwards its stack's role is as it was."""
    iam, role = stage.sessions["client-2"].client("iam"), "FL-client-job-execution"
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    policy = iam.get_role_policy(RoleName=role, PolicyName="FL-client-job")["PolicyDocument"]
    yield iam, role, trust, policy
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=role, PolicyName="FL-client-job", PolicyDocument=json.dumps(policy))


@pytest.mark.parametrize("key", ["aws:SourceAccount", "aws:SourceArn"])
def test_sagemaker_may_take_the_execution_role_for_its_own_account_only(stage, iam_of_client_2, key):
    iam, role, trust, _ = iam_of_client_2
    foreign = json.loads(json.dumps(trust).replace(stage.clients[1].account, stage.clients[0].account))
    assert key in json.dumps(foreign)
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(foreign))
    _, refused = start_as_owner(stage)
    assert f"Could not assume role {stage.clients[1].execution_role}" in refused


@pytest.mark.parametrize("sid", ["StandInTheNetwork", "TendItsInterface", "DescribeTheNetwork"])
def test_without_leave_to_stand_in_the_network_no_job_starts(stage, iam_of_client_2, sid):
    iam, role, _, policy = iam_of_client_2
    kept = {**policy, "Statement": [item for item in policy["Statement"] if item["Sid"] != sid]}
    iam.put_role_policy(RoleName=role, PolicyName="FL-client-job", PolicyDocument=json.dumps(kept))
    _, refused = start_as_owner(stage)
    assert "Access denied when calling ec2:" in refused


@pytest.mark.parametrize(
    ("sid", "told"),
    [
        ("ListOwnInput", "Data download failed: AccessDenied: .* s3:ListBucket"),
        ("ReadOwnInput", "Data download failed: AccessDenied: .* s3:GetObject"),
        ("UseOwnKey", "Data download failed: AccessDenied: .* kms:Decrypt"),
    ],
)
def test_without_a_statement_the_job_lacks_what_it_gave(stage, iam_of_client_2, sid, told):
    iam, role, _, policy = iam_of_client_2
    kept = {**policy, "Statement": [item for item in policy["Statement"] if item["Sid"] != sid]}
    iam.put_role_policy(RoleName=role, PolicyName="FL-client-job", PolicyDocument=json.dumps(kept))
    reason, _ = start_as_owner(stage)
    assert re.search(told, reason)


def test_what_the_endpoint_to_s3_does_not_let_through_fails_the_job(stage):
    ec2 = stage.sessions["client-2"].client("ec2")
    (endpoint,) = ec2.describe_vpc_endpoints(
        Filters=[{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    )["VpcEndpoints"]
    narrow = json.loads(endpoint["PolicyDocument"])
    narrow["Statement"][0]["Action"] = ["s3:ListBucket"]
    name = {"VpcEndpointId": endpoint["VpcEndpointId"]}
    ec2.modify_vpc_endpoint(**name, PolicyDocument=json.dumps(narrow))
    try:
        reason, _ = start_as_owner(stage)
    finally:
        ec2.modify_vpc_endpoint(**name, PolicyDocument=endpoint["PolicyDocument"])
    assert "because no VPC endpoint policy allows the s3:GetObject action" in reason


def test_the_server_s_notebook_instance_is_described_as_the_template_wants_it(stage):
    told = stage.accounts.outputs["server"]
    instance = (
        stage.sessions["server"].client("sagemaker").describe_notebook_instance(NotebookInstanceName="fl-notebook")
    )
    found = {name: instance.get(name) for name in ("DirectInternetAccess", "RootAccess", "KmsKeyId", "SecurityGroups")}
    assert found == {
        "DirectInternetAccess": "Disabled",
        "RootAccess": "Disabled",
        "KmsKeyId": told["fl-storage"]["KeyArn"],
        "SecurityGroups": [told["fl-network"]["FederationGroupId"]],
    }
    assert instance["SubnetId"] in told["fl-network"]["SubnetIds"].split(",")
    assert instance["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert instance["PlatformIdentifier"].startswith("notebook-al2023-")
    assert instance["NotebookInstanceLifecycleConfigName"] == "fl-install-kit"
    (subnet,) = stage.sessions["server"].client("ec2").describe_subnets(SubnetIds=[instance["SubnetId"]])["Subnets"]
    assert subnet["MapPublicIpOnLaunch"] is False
    interface = instance["NetworkInterfaceId"]
    (eni,) = (
        stage.sessions["server"]
        .client("ec2")
        .describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    )
    assert eni["PrivateIpAddress"] == stage.server_host

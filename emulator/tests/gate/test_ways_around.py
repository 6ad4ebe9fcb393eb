"""Ways around a policy: each was open once."""

import contextlib
import json
import secrets
import time

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from callers import OTHER, OWNER, Keyed, allow, deny, document, refusal, send, trusting

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def code(call, **request):
    """Return the code that a call is refused with, or "" if it is not."""
    try:
        call(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@pytest.fixture
def admin(aws):
    """Return clients of client-1's first user."""
    keys = aws.session("client-1").get_credentials()
    told = {"AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    return Keyed(aws, "client-1", told, f"arn:aws:iam::{OWNER}:user/workshop-admin")


@pytest.fixture
def denied(user):
    """Return a function that makes somebody who may do everything but what it is told, and a client of theirs."""

    def make(service, *statements):
        return user(allow("*"), *statements).client(service)

    return make


@pytest.fixture
def key(admin):
    kms = admin.client("kms")
    made = []

    def make(*statements):
        root = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"})
        made.append(kms.create_key(Policy=document(*(statements or [root])))["KeyMetadata"]["Arn"])
        return made[-1]

    yield make


@pytest.fixture
def bucket(admin):
    s3, name = admin.client("s3"), f"ways-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="pub/x", Body=b"x")
    yield name
    with contextlib.suppress(ClientError):
        s3.delete_bucket_policy(Bucket=name)
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def vpc(admin):
    ec2 = admin.client("ec2")
    made = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    yield made
    with contextlib.suppress(ClientError):
        ec2.delete_vpc(VpcId=made)


@pytest.fixture
def group(admin):
    iam, name = admin.client("iam"), f"admins-{secrets.token_hex(4)}"
    iam.create_group(GroupName=name)
    yield name
    for one in iam.get_group(GroupName=name)["Users"]:
        iam.remove_user_from_group(GroupName=name, UserName=one["UserName"])
    iam.delete_group(GroupName=name)


@pytest.fixture
def managed(admin):
    """Return a function that makes a managed policy and returns its ARN."""
    iam, made = admin.client("iam"), []

    def make(*statements):
        name = f"managed-{secrets.token_hex(4)}"
        made.append(iam.create_policy(PolicyName=name, PolicyDocument=document(*statements))["Policy"]["Arn"])
        return made[-1]

    yield make
    for arn in made:
        with contextlib.suppress(ClientError):
            iam.delete_policy(PolicyArn=arn)


# --- which key, which stack, which group: the resource is the one that is acted on ------------------------------


def test_a_ciphertext_says_which_key_it_needs(user, key, admin):
    kms = admin.client("kms")
    no_users = deny(
        "kms:Decrypt", Principal="*", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/ann-*"}}
    )
    guarded, free = key(allow("kms:*", Principal={"AWS": OWNER}), no_users), key()
    sealed, open_one = (kms.encrypt(KeyId=one, Plaintext=b"s")["CiphertextBlob"] for one in (guarded, free))
    ann = user(allow("kms:*")).client("kms")
    assert code(ann.decrypt, CiphertextBlob=sealed) in DENIED
    assert code(ann.decrypt, CiphertextBlob=sealed, KeyId=free) == "InvalidCiphertextException"
    assert ann.decrypt(CiphertextBlob=open_one)["Plaintext"] == b"s"
    granted = user(allow("kms:Decrypt", free)).client("kms")
    assert granted.decrypt(CiphertextBlob=open_one)["Plaintext"] == b"s"
    assert code(granted.decrypt, CiphertextBlob=b"nothing") == "InvalidCiphertextException"


def test_an_alias_is_asked_for_beside_its_key(user, key, admin):
    one, two = key(), key()
    admin.client("kms").create_alias(AliasName="alias/guarded", TargetKeyId=one)
    no_alias = [allow("kms:*"), deny("kms:*", "arn:aws:kms:*:*:alias/guarded")]
    no_key = [allow("kms:*"), deny("kms:*", one)]
    for statements in (no_alias, no_key):
        kms = user(*statements).client("kms")
        assert code(kms.update_alias, AliasName="alias/guarded", TargetKeyId=two) in DENIED
        assert code(kms.delete_alias, AliasName="alias/guarded") in DENIED
    admin.client("kms").delete_alias(AliasName="alias/guarded")


def test_a_key_of_another_region_or_account_is_not_mistaken_for_one_here(aws, user, key):
    guarded = key(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:user/workshop-admin"}))
    ann = user(allow("kms:*")).client("kms")
    assert code(ann.encrypt, KeyId=guarded.replace("us-east-1", "eu-west-1"), Plaintext=b"x") == "ValidationException"
    assert code(ann.encrypt, KeyId=guarded.replace(OWNER, OTHER), Plaintext=b"x") in DENIED


def test_a_key_is_lent_between_accounts_if_both_agree(aws, user):
    kms = aws.session("client-2").client("kms")
    own = allow("kms:*", Principal={"AWS": OTHER})
    lent = [own, allow(["kms:Encrypt", "kms:Decrypt"], Principal={"AWS": OWNER})]
    key = kms.create_key(Policy=document(*lent))["KeyMetadata"]["Arn"]
    ann, unasked = user(allow("kms:*")).client("kms"), user().client("kms")
    sealed = ann.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    assert ann.decrypt(CiphertextBlob=sealed, KeyId=key)["Plaintext"] == b"x"
    assert code(unasked.encrypt, KeyId=key, Plaintext=b"x") in DENIED
    assert code(ann.disable_key, KeyId=key) in ("ValidationException", *DENIED)


def test_who_may_change_himself_may_not_join_a_group(user, group, managed):
    ann = user(allow("iam:*", f"arn:aws:iam::{OWNER}:user/${{aws:username}}"))
    assert code(ann.client("iam").add_user_to_group, GroupName=group, UserName=ann.name) in DENIED
    # Whoever names nobody means himself.
    iam = ann.client("iam")
    assert iam.get_user()["User"]["UserName"] == ann.name
    assert iam.list_access_keys()["AccessKeyMetadata"]
    made = iam.create_access_key()["AccessKey"]
    assert made["UserName"] == ann.name
    policies = user(allow("iam:*", f"arn:aws:iam::{OWNER}:policy/*")).client("iam")
    attach = {"GroupName": group, "PolicyArn": managed(allow("*"))}
    assert code(policies.attach_group_policy, **attach) in DENIED
    groups = user(allow("iam:*", f"arn:aws:iam::{OWNER}:group/{group}")).client("iam")
    groups.attach_group_policy(**attach)
    groups.detach_group_policy(**attach)


def test_a_path_is_found_by_the_name_alone(user, denied):
    boss = user(Path="/admins/")
    iam = denied("iam", deny("iam:*", f"arn:aws:iam::{OWNER}:user/admins/*"))
    assert code(iam.create_access_key, UserName=boss.name) in DENIED
    assert code(iam.create_user, UserName="x", Path="/admins/") in DENIED
    granted = user(allow("iam:*", f"arn:aws:iam::{OWNER}:user/admins/*")).client("iam")
    assert granted.list_access_keys(UserName=boss.name)["AccessKeyMetadata"]


def test_aws_s_own_policies_may_be_asked_for(user):
    """None of them are kept here, which is another answer than that they are forbidden."""
    iam = user(allow("iam:GetPolicy")).client("iam")
    assert code(iam.get_policy, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess") == "NoSuchEntity"


def test_a_stack_is_the_same_by_name_id_and_change_set(user, denied, admin):
    cloud, name = admin.client("cloudformation"), f"guarded-{secrets.token_hex(3)}"
    body = {"Resources": {"L": {"Type": "AWS::Logs::LogGroup"}}}
    stack = cloud.create_stack(StackName=name, TemplateBody=json.dumps(body))["StackId"]
    cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    body["Resources"]["M"] = {"Type": "AWS::Logs::LogGroup"}
    change = cloud.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=json.dumps(body))["Id"]
    held = cloud.describe_stack_resources(StackName=name)["StackResources"][0]["PhysicalResourceId"]
    for resource in (stack, f"arn:aws:cloudformation:*:*:stack/{name}/*"):
        careful = denied("cloudformation", deny("cloudformation:*", resource))
        for call, request in (
            (careful.delete_stack, {"StackName": name}),
            (careful.delete_stack, {"StackName": stack}),
            (careful.execute_change_set, {"ChangeSetName": change}),
            (careful.describe_stack_resources, {"PhysicalResourceId": held}),
        ):
            assert code(call, **request) in DENIED
        granted = user(allow("cloudformation:*", resource)).client("cloudformation")
        assert granted.describe_stacks(StackName=name)["Stacks"]
        assert granted.describe_change_set(ChangeSetName=change)
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def test_a_notebook_s_name_in_capitals_is_the_same_notebook(role, denied, admin):
    execution = role(trusting({"Service": "sagemaker.amazonaws.com"}))
    sage, name = admin.client("sagemaker"), f"NB-{secrets.token_hex(2)}"
    made = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium", "RoleArn": execution}
    arn = sage.create_notebook_instance(**made, Tags=[{"Key": "keep", "Value": "1"}])["NotebookInstanceArn"]
    waiter = sage.get_waiter("notebook_instance_in_service")
    waiter.wait(NotebookInstanceName=name, WaiterConfig={"Delay": 1})
    by_arn = denied("sagemaker", deny("sagemaker:*", arn))
    kept = {"StringEquals": {"sagemaker:ResourceTag/keep": "1"}}
    by_tag = denied("sagemaker", deny("sagemaker:*", Condition=kept))
    for careful in (by_arn, by_tag):
        assert code(careful.stop_notebook_instance, NotebookInstanceName=name) in DENIED
    sage.stop_notebook_instance(NotebookInstanceName=name)
    sage.get_waiter("notebook_instance_stopped").wait(NotebookInstanceName=name, WaiterConfig={"Delay": 1})
    sage.delete_notebook_instance(NotebookInstanceName=name)


def test_tags_of_one_thing_are_listed_with_leave_for_it(admin, user):
    name = f"config-{secrets.token_hex(2)}"
    made = admin.client("sagemaker").create_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)
    arn = made["NotebookInstanceLifecycleConfigArn"]
    sage = user(allow("sagemaker:ListTags", arn)).client("sagemaker")
    assert sage.list_tags(ResourceArn=arn)["Tags"] == []
    assert code(sage.list_tags, ResourceArn=arn + "x") in DENIED
    admin.client("sagemaker").delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)


def test_every_group_of_logs_that_is_read_is_asked_for(admin, denied, user):
    logs, arn = admin.client("logs"), f"arn:aws:logs:us-east-1:{OWNER}:log-group:kept-apart"
    logs.create_log_group(logGroupName="kept-apart")
    careful = denied("logs", deny("logs:*", f"{arn}:*"), deny("logs:TagResource", arn))
    assert code(careful.filter_log_events, logGroupName="kept-apart") in DENIED
    assert code(careful.tag_resource, resourceArn=arn, tags={"a": "b"}) in DENIED
    user(allow("logs:TagResource", arn)).client("logs").tag_resource(resourceArn=arn, tags={"a": "b"})
    tagged = {"StringEquals": {"aws:ResourceTag/a": "b"}}
    assert code(denied("logs", deny("logs:*", Condition=tagged)).delete_log_group, logGroupName="kept-apart") in DENIED
    logs.delete_log_group(logGroupName="kept-apart")


def test_what_ec2_names_is_asked_for_however_deep_it_stands(admin, denied, user, vpc):
    ec2 = admin.client("ec2")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.50.1.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    endpoint = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3"}
    made = ec2.create_vpc_endpoint(**endpoint, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]

    def without(kind):
        return denied("ec2", deny("ec2:*", f"arn:aws:ec2:*:{OWNER}:{kind}/*"))

    assert code(without("internet-gateway").delete_internet_gateway, InternetGatewayId=gateway) in DENIED
    assert code(without("vpc-endpoint").delete_vpc_endpoints, VpcEndpointIds=[made]) in DENIED
    inside = {"RouteTableId": table, "SubnetId": subnet}
    assert code(without("subnet").associate_route_table, **inside) in DENIED
    association = ec2.associate_route_table(**inside)["AssociationId"]
    for kind in ("route-table", "subnet"):  # the association says which they are
        assert code(without(kind).disassociate_route_table, AssociationId=association) in DENIED
    ec2.disassociate_route_table(AssociationId=association)
    narrow = user({"Effect": "Allow", "Action": "*", "NotResource": f"arn:aws:ec2:*:{OWNER}:internet-gateway/*"})
    assert code(narrow.client("ec2").delete_internet_gateway, InternetGatewayId=gateway) in DENIED
    only_vpc = user(allow("ec2:*", f"arn:aws:ec2:*:{OWNER}:vpc/*")).client("ec2")
    assert code(only_vpc.create_subnet, VpcId=vpc, CidrBlock="10.50.2.0/24") in DENIED
    ec2.delete_vpc(VpcId=only_vpc.create_vpc(CidrBlock="10.56.0.0/16")["Vpc"]["VpcId"])
    endpoints = user(allow("ec2:*", f"arn:aws:ec2:*:{OWNER}:vpc-endpoint/*")).client("ec2")
    endpoints.delete_vpc_endpoints(VpcEndpointIds=[made])
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)


# --- roles that are handed over ---------------------------------------------------------------------------------


@pytest.fixture
def strong(role):
    services = ["sagemaker", "vpc-flow-logs", "ec2"]
    return role(trusting({"Service": [f"{name}.amazonaws.com" for name in services]}), allow("*"))


JOB = {
    "TrainingJobName": "handed-over",
    "AlgorithmSpecification": {"TrainingImage": "x", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://nowhere/"},
    "ResourceConfig": {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
NOTEBOOK = {"NotebookInstanceName": "handed-over", "InstanceType": "ml.t3.medium"}
FLOW_LOGS = {"ResourceIds": ["vpc-12345678"], "ResourceType": "VPC", "TrafficType": "ALL", "LogGroupName": "fl"}


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("sagemaker", "create_training_job", {**JOB, "RoleArn": "ROLE"}),
        ("sagemaker", "create_notebook_instance", {**NOTEBOOK, "RoleArn": "ROLE"}),
        ("ec2", "create_flow_logs", {**FLOW_LOGS, "DeliverLogsPermissionArn": "ROLE"}),
        ("iam", "add_role_to_instance_profile", {"InstanceProfileName": "ip", "RoleName": "NAME"}),
    ],
)
def test_a_role_is_not_handed_over_without_leave(denied, strong, service, operation, request_):
    text = json.dumps(request_)
    request_ = json.loads(text.replace("ROLE", strong).replace("NAME", strong.rpartition("/")[2]))
    told = refusal(getattr(denied(service, deny("iam:PassRole", strong)), operation), **request_)
    assert told["Code"] in DENIED
    assert "iam:PassRole" in told["Message"]


def test_what_is_no_role_of_the_own_account_is_not_handed_over(admin, vpc):
    told = refusal(admin.client("sagemaker").create_training_job, **JOB, RoleArn="x" * 20)
    assert "is not the ARN" in told["Message"]
    foreign = {**FLOW_LOGS, "ResourceIds": [vpc], "DeliverLogsPermissionArn": f"arn:aws:iam::{OTHER}:role/any"}
    told = refusal(admin.client("ec2").create_flow_logs, **foreign)
    assert "Cross-account pass role is not allowed" in told["Message"]


# --- condition keys ---------------------------------------------------------------------------------------------


def test_tags_of_what_is_there_count(admin, denied, user, role):
    ec2 = admin.client("ec2")
    specified = [{"ResourceType": "vpc", "Tags": [{"Key": "keep", "Value": "yes"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.51.0.0/16", TagSpecifications=specified)["Vpc"]["VpcId"]
    for key in ("aws:ResourceTag/keep", "ec2:ResourceTag/keep"):
        condition = {"StringEquals": {key: "yes"}}
        assert code(denied("ec2", deny("ec2:DeleteVpc", Condition=condition)).delete_vpc, VpcId=vpc) in DENIED
    mine = {"StringEquals": {"aws:ResourceTag/keep": "yes"}}
    user(allow("ec2:DeleteVpc", Condition=mine)).client("ec2").delete_vpc(VpcId=vpc)
    tagged = role(trusting({"AWS": OWNER}), Tags=[{"Key": "keep", "Value": "yes"}]).rpartition("/")[2]
    assert code(denied("iam", deny("iam:*", Condition=mine)).delete_role, RoleName=tagged) in DENIED


def test_tags_of_a_request_count(denied, user, vpc, admin):
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": ["ok"]}}
    ec2 = user(allow("ec2:CreateTags", Condition=only)).client("ec2")
    assert code(ec2.create_tags, Resources=[vpc], Tags=[{"Key": "evil", "Value": "1"}]) in DENIED
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "ok", "Value": "1"}])
    owned = deny("ec2:CreateVpc", Condition={"Null": {"aws:RequestTag/owner": "true"}})
    specified = [{"ResourceType": "vpc", "Tags": [{"Key": "owner", "Value": "me"}]}]
    assert code(denied("ec2", owned).create_vpc, CidrBlock="10.54.0.0/16") in DENIED
    made = denied("ec2", owned).create_vpc(CidrBlock="10.54.0.0/16", TagSpecifications=specified)["Vpc"]["VpcId"]
    admin.client("ec2").delete_vpc(VpcId=made)


def test_ec2_s_own_keys_count(denied, vpc):
    def refused(operation, condition, **request):
        careful = denied("ec2", deny("ec2:*", Condition=condition))
        return code(getattr(careful, operation), **request) in DENIED

    service = "com.amazonaws.us-east-1.s3"
    named = {"StringEquals": {"ec2:VpceServiceName": service}}
    assert refused("create_vpc_endpoint", named, VpcId=vpc, ServiceName=service)
    in_vpc = {"ArnLike": {"ec2:Vpc": f"arn:aws:ec2:*:*:vpc/{vpc}"}}
    # A subnet that is there has a VPC; of one that is to be made, and of a VPC itself, AWS lists no such key.
    subnet = denied("ec2", deny("ec2:*", Condition=in_vpc)).create_subnet(VpcId=vpc, CidrBlock="10.50.3.0/24")
    assert refused("delete_subnet", in_vpc, SubnetId=subnet["Subnet"]["SubnetId"])
    assert refused("create_vpc", {"StringEquals": {"ec2:Region": "us-east-1"}}, CidrBlock="10.57.0.0/16")
    assert refused("create_vpc", {"StringEquals": {"aws:ResourceAccount": OWNER}}, CidrBlock="10.57.0.0/16")
    assert refused("create_vpc", {"Null": {"aws:CalledVia": "true"}}, CidrBlock="10.57.0.0/16")


def test_the_account_of_a_resource_is_known_everywhere(denied):
    own = deny("*", Condition={"StringNotEquals": {"aws:ResourceAccount": OWNER}})
    assert denied("iam", own).list_users()["Users"]
    assert "TrainingJobSummaries" in denied("sagemaker", own).list_training_jobs()


def test_how_a_request_was_signed_counts(aws, user, bucket):
    no_urls = user(allow("s3:*"), deny("s3:*", Condition={"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}))
    assert no_urls.client("s3").get_object(Bucket=bucket, Key="pub/x")
    signing = no_urls.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    url = signing.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "pub/x"})
    assert send(aws, "GET", url.removeprefix(aws.endpoint), {})[0] == 403
    fresh = user(allow("s3:*"), deny("s3:*", Condition={"NumericLessThan": {"s3:signatureAge": "600000"}}))
    assert code(fresh.client("s3").get_object, Bucket=bucket, Key="pub/x") in DENIED


def test_the_boundary_that_is_there_counts(denied, role, user, managed):
    edge = managed(allow("*"))
    name = role(trusting({"AWS": OWNER}), PermissionsBoundary=edge).rpartition("/")[2]
    bounded = {"StringEquals": {"iam:PermissionsBoundary": edge}}
    careful = denied("iam", deny("iam:DeleteRolePermissionsBoundary", Condition=bounded))
    assert code(careful.delete_role_permissions_boundary, RoleName=name) in DENIED
    granted = user(allow("iam:PutRolePolicy", Condition=bounded)).client("iam")
    granted.put_role_policy(RoleName=name, PolicyName="granted", PolicyDocument=document(allow("s3:*")))
    assert (
        code(granted.put_role_policy, RoleName=name + "x", PolicyName="p", PolicyDocument=document(allow("*")))
        in DENIED
    )


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringLike": {"sagemaker:InstanceTypes": ["ml.p4*"]}},
        {"ForAnyValue:StringEquals": {"sagemaker:VpcSubnets": ["subnet-evil"]}},
    ],
)
def test_what_sagemaker_is_told_counts_wherever_it_stands(denied, strong, condition):
    sage = denied("sagemaker", deny("sagemaker:*", Condition=condition))
    inside = {"Subnets": ["subnet-evil"], "SecurityGroupIds": ["sg-1"]}
    assert code(sage.create_training_job, **JOB, RoleArn=strong, VpcConfig=inside) in DENIED
    large = {**NOTEBOOK, "InstanceType": "ml.p4d.24xlarge", "SubnetId": "subnet-evil", "SecurityGroupIds": ["sg-1"]}
    assert code(sage.create_notebook_instance, **large, RoleArn=strong) in DENIED


def test_a_session_s_age_and_second_factor_count(aws, admin, role):
    def session(*statements):
        arn = role(trusting({"AWS": OWNER}), allow("s3:*"), *statements)
        lent = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
        return Keyed(aws, "client-1", lent, arn)

    no_factor = session(deny("*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}}))
    assert code(no_factor.client("s3").list_buckets) in DENIED
    older = session()
    assert not code(older.client("s3").list_buckets)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    revoked = document(deny("*", Condition={"DateLessThan": {"aws:TokenIssueTime": soon}}))
    admin.client("iam").put_role_policy(
        RoleName=older.name, PolicyName="AWSRevokeOlderSessions", PolicyDocument=revoked
    )
    assert code(older.client("s3").list_buckets) in DENIED


# --- what a session is given ------------------------------------------------------------------------------------


def test_a_session_is_narrowed_by_policies_that_it_names(aws, admin, role, managed):
    arn = role(trusting({"AWS": OWNER}), allow("*"))
    ask = {"RoleArn": arn, "RoleSessionName": "me"}
    narrow = [{"arn": managed(allow("s3:List*"))}]
    lent = Keyed(aws, "client-1", admin.client("sts").assume_role(**ask, PolicyArns=narrow)["Credentials"], arn)
    assert not code(lent.client("s3").list_buckets)
    assert "session policy" in refusal(lent.client("iam").list_users)["Message"]
    gone = [{"arn": f"arn:aws:iam::{OWNER}:policy/there-is-none"}]
    assert code(admin.client("sts").assume_role, **ask, PolicyArns=gone) == "ValidationError"


def test_a_session_s_tags_and_identity_need_leave_and_count(aws, admin, user, role):
    red = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    bob = {"StringEquals": {"aws:SourceIdentity": "bob"}}
    also = trusting({"AWS": OWNER}, Action=["sts:TagSession", "sts:SetSourceIdentity"])
    arn = role(
        [trusting({"AWS": OWNER}), also], allow("s3:*"), deny("s3:*", Condition=red), deny("s3:*", Condition=bob)
    )
    plain = role(trusting({"AWS": OWNER}))
    ask = {"RoleSessionName": "me"}
    for extra in ({"Tags": [{"Key": "team", "Value": "red"}]}, {"SourceIdentity": "bob"}):
        only = user(allow("sts:AssumeRole")).client("sts")
        assert code(only.assume_role, RoleArn=arn, **ask, **extra) in DENIED
        assert code(admin.client("sts").assume_role, RoleArn=plain, **ask, **extra) in DENIED
        lent = admin.client("sts").assume_role(RoleArn=arn, **ask, **extra)["Credentials"]
        assert code(Keyed(aws, "client-1", lent, arn).client("s3").list_buckets) in DENIED


@pytest.mark.parametrize(
    "odd",
    ["DurationSeconds=1", "DurationSeconds=0", "DurationSeconds=-5", "DurationSeconds=abc",
     "DurationSeconds=43201", "RoleSessionName=*", "RoleSessionName=a", "RoleSessionName=a%20b",
     f"RoleSessionName={'x' * 65}", "Policy=not+json"],
)  # fmt: skip
def test_a_session_is_asked_for_as_sts_says(admin, role, odd):
    arn = role(trusting({"AWS": OWNER}))
    fields = dict(pair.split("=") for pair in (f"RoleArn={arn}&RoleSessionName=me&{odd}").split("&"))
    body = "Action=AssumeRole&Version=2011-06-15&" + "&".join(f"{name}={value}" for name, value in fields.items())
    assert admin.form("sts", body.encode())[0] == 400


def test_a_star_in_a_variable_means_itself(admin, user, bucket):
    admin.client("s3").put_object(Bucket=bucket, Key="home/red/f", Body=b"x")
    policy = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/home/${{aws:PrincipalTag/team}}/*")
    get = {"Bucket": bucket, "Key": "home/red/f"}
    assert not code(user(policy, Tags=[{"Key": "team", "Value": "red"}]).client("s3").get_object, **get)
    iam, ann = admin.client("iam"), user(policy)
    assert code(iam.tag_user, UserName=ann.name, Tags=[{"Key": "team", "Value": "*"}]) == "ValidationError"
    assert code(ann.client("s3").get_object, **get) in DENIED


# --- who is meant -----------------------------------------------------------------------------------------------


def test_another_role_of_the_same_name_inherits_nothing(aws, admin, role):
    arn = role(trusting({"AWS": OWNER}), allow("s3:*"))
    lent = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    session, iam, name = Keyed(aws, "client-1", lent, arn), admin.client("iam"), arn.rpartition("/")[2]
    assert not code(session.client("s3").list_buckets)
    iam.delete_role_policy(RoleName=name, PolicyName="granted")
    iam.delete_role(RoleName=name)
    role(trusting({"AWS": OWNER}), allow("*"), RoleName=name)
    assert code(session.client("s3").list_buckets) == "InvalidAccessKeyId"


def test_another_user_of_the_same_name_is_not_trusted(aws, user, role):
    peer = user(allow("sts:AssumeRole"), account="client-2")
    arn = role(trusting({"AWS": peer.arn}), allow("s3:*"))
    assert not code(peer.client("sts").assume_role, RoleArn=arn, RoleSessionName="me")
    iam, name = aws.session("client-2").client("iam"), peer.name
    iam.delete_access_key(UserName=name, AccessKeyId=peer.keys["aws_access_key_id"])
    iam.delete_user_policy(UserName=name, PolicyName="granted")
    iam.delete_user(UserName=name)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="granted", PolicyDocument=document(allow("sts:AssumeRole")))
    again = Keyed(aws, "client-2", iam.create_access_key(UserName=name)["AccessKey"], peer.arn)
    assert code(again.client("sts").assume_role, RoleArn=arn, RoleSessionName="me") in DENIED


def test_a_role_that_is_gone_is_shown_by_its_id_and_its_successor_is_not_meant(aws, admin, role, user):
    iam = admin.client("iam")
    trusted = role(trusting({"AWS": OWNER}), allow("sts:AssumeRole"))
    lender = role(trusting({"AWS": [trusted, OWNER]})).rpartition("/")[2]

    def shown():
        (statement,) = iam.get_role(RoleName=lender)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        return statement["Principal"]["AWS"]

    name, unique_id = trusted.rpartition("/")[2], iam.get_role(RoleName=trusted.rpartition("/")[2])["Role"]["RoleId"]
    assert shown() == [trusted, OWNER]
    iam.delete_role_policy(RoleName=name, PolicyName="granted")
    iam.delete_role(RoleName=name)
    assert shown() == [unique_id, OWNER]
    role(trusting({"AWS": OWNER}), allow("sts:AssumeRole"), RoleName=name)
    assert shown() == [unique_id, OWNER]
    # AWS takes no policy that names one who is gone.
    ghost = document(trusting({"AWS": unique_id}))
    assert code(iam.update_assume_role_policy, RoleName=lender, PolicyDocument=ghost) == "MalformedPolicyDocument"


def test_nobody_who_is_not_there_is_trusted(admin, bucket):
    nobody = {"AWS": f"arn:aws:iam::{OTHER}:role/nobody"}
    trust = {"RoleName": "trusts-nobody", "AssumeRolePolicyDocument": document(trusting(nobody))}
    assert "Invalid principal" in refusal(admin.client("iam").create_role, **trust)["Message"]
    policy = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal=nobody))
    assert code(admin.client("s3").put_bucket_policy, Bucket=bucket, Policy=policy) == "MalformedPolicy"


# --- permissions that come with others --------------------------------------------------------------------------


def test_headers_that_do_what_other_calls_do_need_their_leave(user, bucket):
    s3 = user(allow(["s3:PutObject", "s3:CreateBucket"])).client("s3")
    put = {"Bucket": bucket, "Key": "n", "Body": b"x"}
    assert not code(s3.put_object, **put)
    for extra, action in (({"ACL": "public-read"}, "s3:PutObjectAcl"), ({"Tagging": "a=b"}, "s3:PutObjectTagging")):
        assert action in refusal(s3.put_object, **put, **extra)["Message"]
    begun = {"Bucket": bucket, "Key": "n", "ACL": "public-read"}
    assert "s3:PutObjectAcl" in refusal(s3.create_multipart_upload, **begun)["Message"]
    assert "s3:PutBucketAcl" in refusal(s3.create_bucket, Bucket="with-acl", ACL="public-read")["Message"]


def test_to_tag_what_is_made_needs_its_own_leave(user, strong):
    tags = [{"Key": "a", "Value": "b"}]
    made = [{"ResourceType": "vpc", "Tags": tags}]
    ec2 = user(allow("ec2:CreateVpc")).client("ec2")
    assert "ec2:CreateTags" in refusal(ec2.create_vpc, CidrBlock="10.55.0.0/16", TagSpecifications=made)["Message"]
    iam = user(allow("iam:CreateRole")).client("iam")
    trust = {"RoleName": "tagged", "AssumeRolePolicyDocument": document(trusting({"AWS": OWNER}))}
    assert "iam:TagRole" in refusal(iam.create_role, **trust, Tags=tags)["Message"]
    sage = user(allow(["sagemaker:CreateTrainingJob", "iam:PassRole"])).client("sagemaker")
    assert "sagemaker:AddTags" in refusal(sage.create_training_job, **JOB, RoleArn=strong, Tags=tags)["Message"]


def test_a_bucket_of_another_owner_than_expected_is_refused(admin, bucket):
    s3, get = admin.client("s3"), {"Bucket": bucket, "Key": "pub/x"}
    assert s3.get_object(**get, ExpectedBucketOwner=OWNER)
    assert code(s3.get_object, **get, ExpectedBucketOwner=OTHER) in DENIED
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/pub/x"}
    assert code(s3.copy_object, **copy, ExpectedSourceBucketOwner=OTHER) in DENIED


def test_objects_need_their_key_in_working_order(admin, user, key, bucket):
    kms, s3, arn = admin.client("kms"), admin.client("s3"), key()
    put = {"Bucket": bucket, "Key": "sealed", "Body": b"x", "SSEKMSKeyId": arn}
    both_ways = {**put, "ServerSideEncryption": "aws:kms:dsse"}
    assert "kms:GenerateDataKey" in refusal(user(allow("s3:*")).client("s3").put_object, **both_ways)["Message"]
    s3.put_object(**put, ServerSideEncryption="aws:kms")
    missing = arn.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    assert "NotFound" in code(s3.put_object, **{**put, "SSEKMSKeyId": missing}, ServerSideEncryption="aws:kms")
    kms.disable_key(KeyId=arn)
    assert code(s3.get_object, Bucket=bucket, Key="sealed") == "KMS.DisabledException"
    assert code(s3.put_object, **put, ServerSideEncryption="aws:kms") == "KMS.DisabledException"
    assert code(kms.encrypt, KeyId=arn, Plaintext=b"x") == "DisabledException"
    kms.enable_key(KeyId=arn)
    assert s3.get_object(Bucket=bucket, Key="sealed")
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    assert code(s3.get_object, Bucket=bucket, Key="sealed") == "KMS.KMSInvalidStateException"
    assert code(kms.encrypt, KeyId=arn, Plaintext=b"x") == "KMSInvalidStateException"
    assert code(kms.enable_key, KeyId=arn) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=arn)


def test_aws_s_own_key_is_for_everybody_of_the_account_through_s3(user, bucket):
    s3 = user(allow("s3:*")).client("s3")
    s3.put_object(Bucket=bucket, Key="m", Body=b"x", ServerSideEncryption="aws:kms")
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b"x"


def test_parts_are_encrypted_as_their_upload_was_begun(admin, user, key, bucket):
    s3, arn = admin.client("s3"), key()
    only = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}
    rule = deny("s3:PutObject", f"arn:aws:s3:::{bucket}/*", Principal="*", Condition=only)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(rule))
    assert code(s3.create_multipart_upload, Bucket=bucket, Key="big") in DENIED
    big = {"Bucket": bucket, "Key": "big"}
    upload = s3.create_multipart_upload(**big, ServerSideEncryption="aws:kms", SSEKMSKeyId=arn)["UploadId"]
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"x"}
    assert "kms:GenerateDataKey" in refusal(user(allow("s3:*")).client("s3").upload_part, **big, **part)["Message"]
    parts = [{"PartNumber": 1, "ETag": s3.upload_part(**big, **part)["ETag"]}]
    s3.complete_multipart_upload(**big, UploadId=upload, MultipartUpload={"Parts": parts})


# --- policies that are none -------------------------------------------------------------------------------------


BROKEN = ["not json", "[1]", '{"Statement": "x"}', '{"Statement": [7]}']
BROKEN += [json.dumps({"Statement": [deny("s3:*", Principal="*", Condition="x")]})]
BROKEN += [json.dumps({"Statement": [allow(7, Principal="*")]})]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_policy_is_not_written(admin, bucket, text):
    s3, kms = admin.client("s3"), admin.client("kms")
    assert code(s3.put_bucket_policy, Bucket=bucket, Policy=text) == "MalformedPolicy"
    assert s3.get_object(Bucket=bucket, Key="pub/x")
    assert code(kms.create_key, Policy=text) == "MalformedPolicyDocumentException"
    ask = {"RoleName": "broken", "AssumeRolePolicyDocument": text}
    assert code(admin.client("iam").create_role, **ask) == "MalformedPolicyDocument"


def test_keys_are_known_by_their_arn(admin, key):
    kms, arn = admin.client("kms"), key()
    for operation in (
        "disable_key",
        "enable_key",
        "enable_key_rotation",
        "describe_key",
        "get_key_policy",
        "get_key_rotation_status",
    ):
        assert not code(
            getattr(kms, operation), KeyId=arn, **({"PolicyName": "default"} if "policy" in operation else {})
        )
    assert not code(kms.schedule_key_deletion, KeyId=arn)
    assert not code(kms.cancel_key_deletion, KeyId=arn)
    assert code(kms.schedule_key_deletion, KeyId=arn, PendingWindowInDays=3) == "ValidationException"

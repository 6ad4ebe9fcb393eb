"""Templates: what is read, what functions come to, and what is refused before anything is made."""

import json

import pytest
from botocore.exceptions import ClientError
from stack_desk import BUCKET, GROUP, StackDesk, template

# A group whose name is the value under test, so that nothing but CloudFormation computes it.
NAMED_BY = {"Type": "AWS::Logs::LogGroup"}


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


def body(value, **sections):
    return json.dumps({"Resources": {"G": GROUP}, "Outputs": {"Told": {"Value": value}}, **sections})


def refusal(desk, text, **request):
    with pytest.raises(ClientError) as refused:
        desk.create("refused", text, **request)
    assert desk.api.describe_stacks()["Stacks"] == []
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    return refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"Ref": "AWS::AccountId"}, "222233334444"),
        (
            {"Fn::Sub": "${AWS::Partition}.${AWS::URLSuffix}/${AWS::Region}/${AWS::StackName}"},
            "aws.amazonaws.com/us-east-1/told",
        ),
        ({"Fn::Sub": ["${Own}-${G}-${!Kept}", {"Own": {"Ref": "Number"}}]}, "7-group-of-a-stack-${Kept}"),
        ({"Fn::Sub": "${G.Arn}"}, "arn:aws:logs:us-east-1:222233334444:log-group:group-of-a-stack:*"),
        ({"Fn::Join": ["/", ["a", {"Ref": "Number"}, True]]}, "a/7/true"),
        ({"Fn::Select": ["1", {"Ref": "List"}]}, "b"),
        ({"Fn::Select": [2, {"Fn::Split": ["-", "x-y-z"]}]}, "z"),
        ({"Fn::If": ["Seven", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Neither", "yes", "no"]}, "no"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "small"]}, "ml.t3.medium"),
        ({"Fn::Base64": "hello"}, "aGVsbG8="),
        ({"Fn::Join": [" ", {"Fn::Cidr": ["10.0.0.0/16", 3, 8]}]}, "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24"),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "us-east-1a"),
    ],
)
def test_functions_come_to_what_aws_documents(desk, value, told):
    sections = {
        "Parameters": {
            "Number": {"Type": "Number", "Default": 7},
            "List": {"Type": "CommaDelimitedList", "Default": "a, b,c"},
        },
        "Conditions": {
            "Seven": {"Fn::And": [{"Fn::Equals": [{"Ref": "Number"}, "7"]}, {"Fn::Not": [{"Condition": "Eight"}]}]},
            "Eight": {"Fn::Equals": [{"Ref": "Number"}, 8]},
            "Neither": {"Fn::Not": [{"Fn::Or": [{"Condition": "Seven"}, {"Condition": "Eight"}]}]},
        },
        "Mappings": {"Sizes": {"us-east-1": {"small": "ml.t3.medium"}}},
    }
    desk.create("told", body(value, **sections))
    assert desk.outputs("told") == {"Told": told}


def test_yaml_with_short_tags_says_the_same_as_json(desk):
    text = """
    AWSTemplateFormatVersion: 2010-09-09
    Description: a bucket with a policy
    Parameters:
      Days: {Type: String, Default: 2012-10-17}   # a date to YAML, and text to CloudFormation
    Conditions:
      Dated: !Equals [!Ref Days, "2012-10-17"]
    Resources:
      Group:
        Type: AWS::Logs::LogGroup
        Properties:
          LogGroupName: !Sub
            - ${AWS::StackName}-${Which}
            - Which: !If [Dated, dated, !Ref AWS::NoValue]
          RetentionInDays: !If [Dated, !Ref AWS::NoValue, 7]
    Outputs:
      Group: {Value: !Ref Group}
      Arn: {Value: !GetAtt Group.Arn, Condition: Dated}
    """
    desk.create("short", text)
    assert desk.outputs("short")["Group"] == "short-dated"
    assert desk.api.get_template(StackName="short")["TemplateBody"].strip() == text.strip()
    (group,) = desk.client("logs").describe_log_groups(logGroupNamePrefix="short-dated")["logGroups"]
    assert "retentionInDays" not in group


def test_a_resource_whose_condition_does_not_hold_is_not_made(desk):
    conditions = {"Never": {"Fn::Equals": ["a", "b"]}}
    resources = {"G": GROUP, "B": {**BUCKET, "Condition": "Never"}}
    desk.create("conditional", json.dumps({"Conditions": conditions, "Resources": resources}))
    told = desk.api.list_stack_resources(StackName="conditional")["StackResourceSummaries"]
    assert [one["LogicalResourceId"] for one in told] == ["G"]


def test_a_resource_needs_no_resource_that_is_left_out(desk):
    resources = {
        "B": {**BUCKET, "Condition": "Never"},
        "G": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": {"Ref": "B"}}},
    }
    text = json.dumps({"Conditions": {"Never": {"Fn::Equals": ["a", "b"]}}, "Resources": resources})
    assert "Unresolved resource dependencies [B]" in refusal(desk, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSON not well-formed"),
        ("Resources: [", "YAML not well-formed"),
        ("Resources:\n  G: {Type: AWS::Logs::LogGroup}\n  G: {Type: AWS::S3::Bucket}", "duplicate key 'G' (line 3"),
        ("Description: nothing", "At least one Resources member must be defined."),
        (body("x", Resource={}), "Invalid template property or properties [Resource]"),
        (body("x", Transform="AWS::Serverless-2016-10-31"), "Transform"),
        (template(G={"Properties": {}}), "Every Resources object must contain a Type member"),
        (template(G={**GROUP, "Depends": "x"}), "Invalid template resource property 'Depends'"),
        (template(G={**GROUP, "DeletionPolicy": "Keep"}), "DeletionPolicy of resource G"),
        (template(G={**GROUP, "DependsOn": "X"}), "Unresolved resource dependencies [X]"),
        (body({"Ref": "Nobody"}), "Unresolved resource dependencies [Nobody] in the Outputs block"),
        (body({"Fn::GetAtt": ["Nobody", "Arn"]}), "Fn::GetAtt references undefined resource Nobody"),
        (body({"Fn::GetAtt": ["G", "Colour"]}), "resource G does not support attribute type Colour in Fn::GetAtt"),
        (body({"Fn::ImportValue": "x"}), "does not do Fn::ImportValue"),
        (body({"Fn::If": ["Nobody", 1, 2]}), "Unresolved condition dependency Nobody"),
        (
            template(
                A={**NAMED_BY, "Properties": {"LogGroupName": {"Ref": "B"}}},
                B={**NAMED_BY, "Properties": {"LogGroupName": {"Fn::Sub": "${A}"}}},
            ),
            "Circular dependency between resources: [A, B]",
        ),
        (template(A={**NAMED_BY, "DependsOn": "B"}, B={**NAMED_BY, "DependsOn": "A"}), "Circular dependency"),
    ],
)
def test_a_template_that_cannot_work_is_refused_before_anything_is_made(desk, text, told):
    assert told in refusal(desk, text)
    with pytest.raises(ClientError, match="ValidationError"):
        desk.api.validate_template(TemplateBody=text)


@pytest.mark.parametrize(
    ("declared", "given", "told"),
    [
        ({"Type": "String"}, None, "Parameters: [P] must have values"),
        ({"Type": "String", "AllowedPattern": "[0-9]{12}"}, "12", "Parameter 'P' must match pattern [0-9]{12}"),
        (
            {"Type": "String", "AllowedPattern": "[0-9]{12}", "ConstraintDescription": "must be an account id"},
            "12",
            "Parameter P failed to satisfy constraint: must be an account id",
        ),
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "Parameter 'P' must be one of AllowedValues"),
        ({"Type": "String", "MinLength": 3}, "ab", "Parameter 'P' must contain at least 3 characters"),
        ({"Type": "String", "MaxLength": "3"}, "abcd", "Parameter 'P' must contain at most 3 characters"),
        ({"Type": "Number"}, "seven", "Parameter 'P' must be a number"),
        ({"Type": "Number", "MinValue": 3}, "2", "Parameter 'P' must be a number not less than 3"),
        ({"Type": "Number", "MaxValue": 3}, "4", "Parameter 'P' must be a number not greater than 3"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]"}, "a,B", "Parameter 'P' must match pattern"),
        ({"Type": "AWS::EC2::VPC::Id"}, "vpc-0123", "parameter value vpc-0123 for parameter name P does not exist"),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "subnet-1", "parameter value subnet-1 for parameter name P does not"),
        ({"Type": "Text"}, "x", "Unrecognized parameter type: Text"),
        ({"Type": "String", "Maximum": 3}, "x", "Invalid template parameter property 'Maximum'"),
    ],
)
def test_a_parameter_that_breaks_its_constraint_is_refused(desk, declared, given, told):
    values = [] if given is None else [{"ParameterKey": "P", "ParameterValue": given}]
    assert told in refusal(desk, body("x", Parameters={"P": declared}), Parameters=values)


def test_a_parameter_that_the_template_does_not_have_is_refused(desk):
    given = [{"ParameterKey": "Q", "ParameterValue": "1"}]
    assert "Parameters: [Q] do not exist in the template" in refusal(desk, body("x"), Parameters=given)


def test_a_vpc_parameter_takes_a_vpc_of_the_account(desk):
    ec2 = desk.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    text = body({"Ref": "P"}, Parameters={"P": {"Type": "AWS::EC2::VPC::Id"}})
    desk.create("vpc", text, Parameters=[{"ParameterKey": "P", "ParameterValue": vpc}])
    assert desk.outputs("vpc") == {"Told": vpc}
    ec2.delete_vpc(VpcId=vpc)


def test_a_secret_parameter_is_not_told(desk):
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": {"Fn::Sub": "group-${P}"}}}
    text = json.dumps({"Parameters": {"P": {"Type": "String", "NoEcho": True}}, "Resources": {"G": group}})
    stack = desk.create("secret", text, Parameters=[{"ParameterKey": "P", "ParameterValue": "hush"}])
    assert stack["Parameters"] == [{"ParameterKey": "P", "ParameterValue": "****"}]
    assert desk.physical("secret", "G") == "group-hush"
    assert "hush" not in "".join(event.get("ResourceProperties", "") for event in desk.events("secret"))


def test_a_template_comes_from_s3_too(desk):
    s3 = desk.client("s3")
    s3.create_bucket(Bucket="templates-of-client-3")
    s3.put_object(Bucket="templates-of-client-3", Key="t.json", Body=template(G=GROUP))
    url = "https://templates-of-client-3.s3.us-east-1.amazonaws.com/t.json"
    told = desk.api.create_stack(StackName="from-s3", TemplateURL=url)
    assert desk.ended(told["StackId"])["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match=r"S3 error.*NoSuchKey"):
        desk.api.validate_template(TemplateURL=url.replace("t.json", "u.json"))
    s3.delete_object(Bucket="templates-of-client-3", Key="t.json")
    s3.delete_bucket(Bucket="templates-of-client-3")


def test_the_summary_tells_parameters_capabilities_and_types(desk):
    declared = {"Days": {"Type": "Number", "Default": 7, "Description": "how long", "AllowedValues": [7, 14]}}
    told = desk.api.get_template_summary(TemplateBody=body("x", Parameters=declared, Description="d"))
    (parameter,) = told["Parameters"]
    assert (parameter["ParameterKey"], parameter["DefaultValue"], parameter["ParameterType"]) == ("Days", "7", "Number")
    assert parameter["ParameterConstraints"]["AllowedValues"] == ["7", "14"]
    assert (told["Description"], told["ResourceTypes"], told["Capabilities"]) == ("d", ["AWS::Logs::LogGroup"], [])

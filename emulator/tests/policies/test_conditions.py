"""Condition operators, one by one; expected verdicts are read off AWS's page on condition operators."""

import pytest

from embedded_aws.policies.conditions import PolicyError, unmet

CONTEXT = {
    "aws:principalaccount": ("111122223333",),
    "aws:principalarn": ("arn:aws:iam::111122223333:role/path/FL-server",),
    "aws:sourceip": ("10.1.2.3",),
    "aws:currenttime": ("2026-11-22T12:00:00Z",),
    "aws:securetransport": ("true",),
    "aws:username": ("ann",),
    "s3:max-keys": ("10",),
    "s3:prefix": ("home/ann/x",),
    "sagemaker:vpcsubnets": ("subnet-a", "subnet-b"),
}


@pytest.mark.parametrize(
    ("block", "holds"),
    [
        ({"StringEquals": {"aws:PrincipalAccount": "111122223333"}}, True),
        (
            {"StringEquals": {"AWS:principalaccount": ["0", "111122223333"]}},
            True,
        ),  # keys know no case
        ({"StringEquals": {"aws:PrincipalAccount": "11112222333"}}, False),
        ({"StringNotEquals": {"aws:PrincipalAccount": ["0", "111122223333"]}}, False),
        ({"StringNotEquals": {"aws:PrincipalAccount": ["0", "1"]}}, True),
        ({"StringEqualsIgnoreCase": {"aws:username": "ANN"}}, True),
        ({"StringLike": {"s3:prefix": "home/*"}}, True),
        ({"StringLike": {"s3:prefix": "home/${aws:username}/*"}}, True),
        ({"StringLike": {"s3:prefix": "home/${aws:userid}/*"}}, False),  # no such key in the request
        ({"StringLike": {"s3:prefix": "hom?/ann/?"}}, True),
        ({"StringNotLike": {"s3:prefix": "code/*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*/FL-*"}}, True),
        ({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/FL-server"}}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::999999999999:role/*"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        ({"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"]}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, True),
        ({"NumericGreaterThan": {"s3:max-keys": 10}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2026-11-22T12:00:01Z"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2027-01-01"}}, False),
        # A key that the request does not bring:
        ({"StringEquals": {"sts:ExternalId": "x"}}, False),
        ({"StringNotEquals": {"sts:ExternalId": "x"}}, True),
        ({"StringEqualsIfExists": {"sts:ExternalId": "x"}}, True),
        ({"Null": {"sts:ExternalId": "true"}}, True),
        ({"Null": {"sts:ExternalId": "false"}}, False),
        ({"Null": {"aws:username": "false"}}, True),
        # Sets; "all of none" holds, which is the trap that the templates' Null conditions close.
        ({"ForAllValues:StringEquals": {"sagemaker:VpcSubnets": ["subnet-a", "subnet-b", "subnet-c"]}}, True),
        ({"ForAllValues:StringEquals": {"sagemaker:VpcSubnets": ["subnet-a"]}}, False),
        ({"ForAllValues:StringEquals": {"sagemaker:VpcSecurityGroupIds": ["sg-1"]}}, True),
        ({"ForAnyValue:StringEquals": {"sagemaker:VpcSubnets": ["subnet-b"]}}, True),
        ({"ForAnyValue:StringEquals": {"sagemaker:VpcSecurityGroupIds": ["sg-1"]}}, False),
        ({"ForAllValues:StringNotEquals": {"sagemaker:VpcSubnets": ["subnet-b"]}}, False),
        ({"ForAnyValue:StringNotEquals": {"sagemaker:VpcSubnets": ["subnet-b"]}}, True),
        # All operators and all keys must hold.
        ({"StringEquals": {"aws:username": "ann", "aws:PrincipalAccount": "0"}}, False),
        ({"StringEquals": {"aws:username": "ann"}, "Bool": {"aws:SecureTransport": "false"}}, False),
    ],
)
def test_a_condition_means_what_aws_says(block, holds):
    assert (unmet(block, CONTEXT) is None) == holds


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"StringMatches": {"aws:username": "ann"}}, "StringMatches"),
        ({"ForSomeValues:StringEquals": {"aws:username": "ann"}}, "ForSomeValues:StringEquals"),
        ({"StringEquals": {"aws:Unheard": "x"}}, "aws:Unheard"),
        ({"StringEqualsIfExists": {"fl:Mood": "x"}}, "fl:Mood"),
        ({"Null": {"aws:username": "perhaps"}}, "perhaps"),
        ({"NumericEquals": {"s3:max-keys": "ten"}}, "ten"),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}, "10.0.0.0/99"),
        ({"StringEquals": {"sagemaker:VpcSubnets": "subnet-a"}}, "ForAllValues"),
        # Also where another condition would settle it.
        ({"StringEquals": {"aws:username": "bob"}, "FooBar": {"aws:username": "x"}}, "FooBar"),
        ({"StringEquals": {"aws:username": "bob", "aws:Unheard": "x"}}, "aws:Unheard"),
        ({"StringNotEquals": {"aws:username": []}}, "aws:username"),
        ({"StringEquals": {"aws:username": {"a": "b"}}}, "aws:username"),
        ({"StringEquals": {"aws:username": "${fl:Mood}"}}, "fl:Mood"),
        ({"BinaryEquals": {"aws:username": "%%%"}}, "binary"),
        ({"StringEquals": "x"}, "Condition"),
        ("x", "Condition"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_that_names_it(block, named):
    with pytest.raises(PolicyError, match=named):
        unmet(block, CONTEXT)


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        ("home/${aws:username}/*", False),  # whose value is a star: it means itself
        ("home/${*}/x", True),
        ("home/${?}/x", False),
        ("home/?/x", True),
        ("${$}/*", False),
    ],
)
def test_what_comes_from_a_variable_is_no_pattern(pattern, holds):
    context = {"s3:prefix": ("home/*/x",), "aws:username": ("a*",)}
    assert (unmet({"StringLike": {"s3:prefix": pattern}}, context) is None) == holds
    star = {"s3:prefix": ("home/*/x",), "aws:username": ("*",)}
    assert unmet({"StringLike": {"s3:prefix": "home/${aws:username}/?"}}, star) is None
    assert unmet({"StringEquals": {"s3:prefix": "home/${aws:username}/x"}}, star) is None


def test_without_a_version_a_variable_is_a_text():
    block = {"StringEquals": {"aws:username": "${aws:username}"}}
    assert unmet(block, CONTEXT) is None
    assert unmet(block, CONTEXT, variables=False)


@pytest.mark.parametrize(
    ("key", "action", "known"),
    [
        ("aws:ResourceTag/a", "sqs:DeleteQueue", False),
        ("aws:TagKeys", "s3:PutObject", False),
        ("aws:CalledVia", "ec2:CreateVpc", False),
        ("kms:KeyOrigin", "kms:Encrypt", False),
        ("aws:ResourceTag/a", "ec2:DeleteVpc", True),
        ("kms:KeyOrigin", "s3:GetObject", True),  # which no request to S3 brings
        ("aws:MultiFactorAuthAge", "s3:GetObject", True),
    ],
)
def test_a_key_that_nobody_fills_is_an_error(key, action, known):
    block = {"ForAnyValue:StringEquals": {key: "x"}}
    if known:
        assert unmet(block, {}, action=action)
        return
    with pytest.raises(PolicyError, match=f"{key} of {action}"):
        unmet(block, {}, action=action)
    assert unmet(block, {key.lower(): ("x",)}, action=action) is None

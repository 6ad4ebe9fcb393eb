"""Users and roles that are gone after the test."""

import contextlib

import pytest
from botocore.exceptions import ClientError
from callers import NUMBERS, Keyed, document


@pytest.fixture
def user(aws):
    """Return a function that makes a user of an account with some policies, and a session of theirs."""
    made = []

    def make(*statements, account="client-1", **more):
        iam, name = aws.session(account).client("iam"), f"ann-{next(NUMBERS)}"
        arn = iam.create_user(UserName=name, **more)["User"]["Arn"]
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="granted", PolicyDocument=document(*statements))
        made.append((iam, name))
        return Keyed(aws, account, iam.create_access_key(UserName=name)["AccessKey"], arn)

    yield make
    for iam, name in made:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


@pytest.fixture
def role(aws):
    """Return a function that makes a role of client-1 and deletes it afterwards."""
    iam, made = aws.session("client-1").client("iam"), []

    def make(trust, *statements, **more):
        name = more.pop("RoleName", f"role-{next(NUMBERS)}")
        trusts = trust if isinstance(trust, list) else [trust]
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(*trusts), **more)["Role"]["Arn"]
        made.append(name)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="granted", PolicyDocument=document(*statements))
        return arn

    yield make
    for name in made:
        with contextlib.suppress(ClientError):
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)

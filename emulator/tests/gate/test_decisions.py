"""Decisions of S3, STS, IAM and EC2 that more than one policy takes part in, through real calls.

Expected: AWS, IAM user guide, "Policy evaluation logic", "Permissions boundaries", "Monitor and control actions taken
with assumed roles"; S3 user guide, "Blocking public access", "Controlling ownership of objects"; S3 API reference,
GetObject; EC2 API reference, DryRun.
"""

import secrets

import pytest
from botocore.exceptions import ClientError
from callers import OTHER, OWNER, Keyed, allow, document, refusal, trusting

ACCOUNT = f"arn:aws:iam::{OWNER}:root"


@pytest.fixture(scope="module")
def admin(aws):
    return aws.session("client-1").client


@pytest.fixture
def bucket(admin):
    s3, name = admin("s3"), f"decided-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="rows", Body=b"x")
    yield name
    s3.delete_bucket_policy(Bucket=name)
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def managed(admin):
    iam, made = admin("iam"), []

    def make(*statements):
        name = f"managed-{secrets.token_hex(4)}"
        made.append(iam.create_policy(PolicyName=name, PolicyDocument=document(*statements))["Policy"]["Arn"])
        return made[-1]

    yield make
    for arn in made:
        iam.delete_policy(PolicyArn=arn)


@pytest.fixture
def lent(aws, admin):
    """Return a function that takes a role for a session named ``me``."""

    def take(role, sts=None, **more):
        keys = (sts or admin("sts")).assume_role(RoleArn=role, RoleSessionName="me", **more)["Credentials"]
        return Keyed(aws, "client-1", keys, role)

    return take


def session_of(role):
    return f"arn:aws:sts::{OWNER}:assumed-role/{role.rpartition('/')[2]}/me"


def reads(caller, bucket):
    try:
        caller.client("s3").get_object(Bucket=bucket, Key="rows")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True


def test_a_boundary_limits_what_a_bucket_grants_to_a_role_but_not_to_its_session(admin, role, managed, lent, bucket):
    silent = managed(allow("iam:ListUsers"))
    bounded, free = role(trusting({"AWS": OWNER}), PermissionsBoundary=silent), role(trusting({"AWS": OWNER}))
    by_condition = {"Condition": {"ArnEquals": {"aws:PrincipalArn": bounded}}}
    cases = [
        ({"AWS": session_of(bounded)}, {}, True),
        ({"AWS": bounded}, {}, False),
        ({"AWS": ACCOUNT}, {}, False),
        ("*", by_condition, True),
    ]
    for principal, more, allowed in cases:
        grant = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal=principal, **more)
        admin("s3").put_bucket_policy(Bucket=bucket, Policy=document(grant))
        assert reads(lent(bounded), bucket) == allowed, principal
    narrow = document(allow("iam:ListUsers"))
    for principal, allowed in (({"AWS": session_of(free)}, True), ({"AWS": free}, False)):
        grant = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal=principal)
        admin("s3").put_bucket_policy(Bucket=bucket, Policy=document(grant))
        assert reads(lent(free, Policy=narrow), bucket) == allowed, principal
        assert reads(lent(free), bucket)


def test_a_user_s_boundary_limits_his_policies_and_no_bucket_that_names_him(admin, user, managed, bucket):
    edge = managed(allow("iam:*"))
    ann = user(allow("s3:*"), PermissionsBoundary=edge)
    shown = admin("iam").get_user(UserName=ann.name)["User"]["PermissionsBoundary"]
    assert shown["PermissionsBoundaryArn"] == edge
    assert not reads(ann, bucket)
    grant = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": ann.arn})
    admin("s3").put_bucket_policy(Bucket=bucket, Policy=document(grant))
    assert reads(ann, bucket)
    assert refusal(ann.client("s3").list_objects_v2, Bucket=bucket)["Code"] == "AccessDenied"
    admin("iam").delete_user_permissions_boundary(UserName=ann.name)
    assert ann.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_not_principal_hits_whoever_has_a_boundary(role, managed, lent, bucket):
    both = managed(allow("s3:*"))
    bounded = role(trusting({"AWS": OWNER}), allow("s3:*"), PermissionsBoundary=both)
    free = role(trusting({"AWS": OWNER}), allow("s3:*"))
    rule = {"Effect": "Deny", "NotPrincipal": {"AWS": [bounded, free, ACCOUNT]}, "Action": "s3:GetObject"}
    rule["Resource"] = f"arn:aws:s3:::{bucket}/*"
    lent(free).client("s3").put_bucket_policy(Bucket=bucket, Policy=document(rule))
    assert reads(lent(free), bucket)
    assert not reads(lent(bounded), bucket)


def test_a_new_bucket_takes_no_public_policy(admin, bucket):
    s3 = admin("s3")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(block, True)
    assert len(block) == 4
    everybody = {"Bucket": bucket, "Policy": document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*"))}
    told = refusal(s3.put_bucket_policy, **everybody)
    assert told["Code"] == "AccessDenied"
    assert "BlockPublicPolicy" in told["Message"]
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(**everybody)


def test_a_public_bucket_may_be_restricted_to_its_account(admin, user, bucket):
    s3, mine, theirs = admin("s3"), user(), user(allow("s3:*"), account="client-2")
    grant = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*")
    lend = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": OTHER})
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(grant, lend))
    assert reads(mine, bucket)
    assert reads(theirs, bucket)
    restricted = {"RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=restricted)
    assert reads(mine, bucket)
    assert not reads(theirs, bucket)  # also what is lent to that account alone
    s3.put_bucket_policy(Bucket=bucket, Policy=document(lend))
    assert reads(theirs, bucket)


def test_a_bucket_that_enforces_ownership_takes_no_list(admin, bucket):
    s3 = admin("s3")
    put = {"Bucket": bucket, "Key": "listed", "Body": b"x"}
    for acl in ("public-read", "private", "authenticated-read"):
        assert refusal(s3.put_object, **put, ACL=acl)["Code"] == "AccessControlListNotSupported"
    granted = {"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'}
    assert refusal(s3.put_object, **put, **granted)["Code"] == "AccessControlListNotSupported"
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read")["Code"] == "AccessControlListNotSupported"
    told = refusal(s3.create_bucket, Bucket="with-a-list", ACL="public-read")
    assert told["Code"] == "InvalidBucketAclWithObjectOwnership"
    s3.put_object(**put, ACL="bucket-owner-full-control")
    rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    told = refusal(s3.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=rules)
    assert (told["Code"], "ObjectOwnership" in told["Message"]) == ("NotImplemented", True)
    (rule,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rule == {"ObjectOwnership": "BucketOwnerEnforced"}


def test_who_may_not_list_a_bucket_is_not_told_what_is_missing(user, bucket):
    reader = user(allow(["s3:GetObject", "s3:PutObject"]), allow("s3:ListBucket", "arn:aws:s3:::other")).client("s3")
    lister = user(allow(["s3:GetObject", "s3:PutObject"]), allow("s3:ListBucket", f"arn:aws:s3:::{bucket}")).client(
        "s3"
    )
    missing = {"Bucket": bucket, "Key": "missing"}
    assert refusal(reader.get_object, **missing)["Code"] == "AccessDenied"
    assert refusal(reader.head_object, **missing)["Code"] == "403"
    copied = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/missing"}
    assert refusal(reader.copy_object, **copied)["Code"] == "AccessDenied"
    assert refusal(lister.get_object, **missing)["Code"] == "NoSuchKey"
    assert refusal(lister.head_object, **missing)["Code"] == "404"
    assert refusal(lister.copy_object, **copied)["Code"] == "NoSuchKey"
    assert reader.get_object(Bucket=bucket, Key="rows")


def test_a_source_identity_goes_from_role_to_role_if_each_lets_it(admin, role, lent):
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    first = role(trusting({"AWS": OWNER}, Action=both), allow(both))
    unwilling = role(trusting({"AWS": OWNER}, Action=both), allow("sts:AssumeRole"))
    plain, willing = role(trusting({"AWS": OWNER})), role(trusting({"AWS": OWNER}, Action=both), allow("s3:*"))
    ask = {"RoleSessionName": "next"}
    sts = lent(first, SourceIdentity="ann").client("sts")
    assert refusal(sts.assume_role, RoleArn=plain, **ask)["Code"] == "AccessDenied"
    assert refusal(sts.assume_role, RoleArn=willing, **ask, SourceIdentity="bob")["Code"] == "AccessDenied"
    assert sts.assume_role(RoleArn=willing, **ask)["Credentials"]
    assert sts.assume_role(RoleArn=willing, **ask, SourceIdentity="ann")["Credentials"]
    other = lent(unwilling, SourceIdentity="ann").client("sts")
    assert refusal(other.assume_role, RoleArn=willing, **ask)["Code"] == "AccessDenied"
    nobody = lent(first).client("sts")
    assert nobody.assume_role(RoleArn=plain, **ask)["Credentials"]


def test_the_identity_that_goes_on_is_what_trust_policies_see(role, lent):
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    first = role(trusting({"AWS": OWNER}, Action=both), allow(both))
    of_ann = {"StringEquals": {"sts:SourceIdentity": "ann"}}
    hers = role(trusting({"AWS": OWNER}, Action=both, Condition=of_ann))
    ask = {"RoleArn": hers, "RoleSessionName": "next"}
    assert lent(first, SourceIdentity="ann").client("sts").assume_role(**ask)["Credentials"]
    assert refusal(lent(first, SourceIdentity="bob").client("sts").assume_role, **ask)["Code"] == "AccessDenied"


def test_a_dry_run_does_nothing(admin, user):
    ec2 = admin("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.58.0.0/16")["Vpc"]["VpcId"]
    for call, request in (
        (ec2.delete_vpc, {"VpcId": vpc}),
        (ec2.create_subnet, {"VpcId": vpc, "CidrBlock": "10.58.0.0/24"}),
        (ec2.describe_vpcs, {}),
        (ec2.create_vpc, {"CidrBlock": "10.59.0.0/16"}),
    ):
        with pytest.raises(ClientError) as told:
            call(**request, DryRun=True)
        assert told.value.response["Error"]["Code"] == "DryRunOperation"
        assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert [one["VpcId"] for one in ec2.describe_vpcs(VpcIds=[vpc], DryRun=False)["Vpcs"]] == [vpc]
    assert ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"] == []
    may_not = user(allow("ec2:Describe*")).client("ec2")
    assert refusal(may_not.delete_vpc, VpcId=vpc, DryRun=True)["Code"] == "UnauthorizedOperation"
    ec2.delete_vpc(VpcId=vpc)

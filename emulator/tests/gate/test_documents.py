"""Policies are checked when they are written: elements, versions, actions, principals, sizes; with AWS's codes.

Expected: AWS, IAM user guide, "Grammar of the IAM JSON policy language", "IAM and AWS STS quotas"; S3 user guide,
"Troubleshooting bucket policies"; KMS developer guide, "Key policies".
"""

import json
import secrets

import pytest
from callers import OTHER, OWNER, allow, deny, document, refusal, trusting

from embedded_aws.policies import grammar
from embedded_aws.services.ec2 import endpoint_policies
from embedded_aws.services.iam import limits
from embedded_aws.services.s3 import bucket_policies

ME = {"AWS": f"arn:aws:iam::{OWNER}:root"}
LAMBDA = {"Service": "lambda.amazonaws.com"}
NO_SUCH_OPERATOR = {"Condition": {"StringResembles": {"aws:username": "ann"}}}
NO_VENDOR = {"Condition": {"StringEquals": {"username": "ann"}}}


def text(*statements, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


# What every kind of policy is refused for.
EVERYWHERE = [
    "not json",
    "[1]",
    text(),
    text(7),
    '{"Version": "2012-10-17"}',
    '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
]


def variations(good):
    """Return documents that are wrong in one element each."""
    yield from EVERYWHERE
    for odd in (
        {"Effect": "allow"}, {"Effect": "Permit"}, {"Effect": None}, {"Sid": 7}, {"Conditions": {}}, {"Action": []},
        {"Action": 7}, {"Action": "AssumeRole"}, {"Action": "sts:Assume Role"}, {"NotAction": "sts:*"},
        {"Condition": "x"}, {"Condition": ["x"]}, NO_SUCH_OPERATOR, NO_VENDOR,
        {"Condition": {"StringEquals": {"aws:username": []}}},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}},
    ):  # fmt: skip
        yield text({**good, **odd})
    yield text({name: value for name, value in good.items() if name != "Action"})
    yield text(good, Version="2012-10-18")
    yield text(good, Id=7)
    yield text(good, Owner="me")


GOOD = {
    "identity": (grammar.IDENTITY, allow("s3:GetObject")),
    "trust": (grammar.TRUST, trusting(ME)),
    "bucket": (grammar.BUCKET, allow("s3:GetObject", Principal=ME)),
    "key": (grammar.KEY, allow("kms:*", Principal=ME)),
    "endpoint": (grammar.ENDPOINT, allow("s3:*", Principal="*")),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_no_kind_of_policy_may_say(kind):
    rules, good = GOOD[kind]
    assert grammar.complaint(text(good), rules) is None
    for odd in variations(good):
        assert grammar.complaint(odd, rules), odd


OF_ONE_KIND = {
    "identity": [
        {**allow("s3:*"), "Principal": "*"},
        {**allow("s3:*"), "NotPrincipal": ME},
        {"Effect": "Allow", "Action": "s3:*"},
        allow("s3:*", "my-bucket"),
        allow("s3:*", []),
        {**allow("s3:*"), "NotResource": "*"},
        allow("s3:*", Sid="no spaces"),
    ],
    "trust": [
        {**trusting(ME), "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole"},
        trusting(ME, Action="s3:GetObject"),
        trusting(ME, Action=["sts:AssumeRole", "s3:GetObject"]),
        trusting(ME, Action="*"),
        trusting(ME, Action="sts:AssumeRoles"),
        {"Effect": "Deny", "NotPrincipal": ME, "Action": "sts:AssumeRole"},
        trusting(ME, Sid="no-hyphens"),
        trusting({}),
        trusting({"AWS": []}),
        trusting({"Users": "ann"}),
        trusting({"Service": "lambda"}),
        trusting("ann"),
    ],
    "bucket": [
        allow("s3:GetObject"),
        allow("s3:GetObjects", Principal="*"),
        allow("ec2:RunInstances", Principal="*"),
        allow(["s3:GetObject", "iam:PassRole"], Principal="*"),
        {"Effect": "Allow", "Principal": "*", "Action": "s3:*"},
        {"Effect": "Allow", "NotPrincipal": ME, "Action": "s3:*", "Resource": "*"},
        {**allow("s3:*", Principal="*"), "NotPrincipal": ME},
        allow("s3:*", Principal={"CanonicalUser": "ann"}),
    ],
    "key": [allow("kms:*"), allow("kms:Encipher", Principal=ME), allow("s3:*", Principal=ME)],
    "endpoint": [allow("s3:*"), {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}],
}


@pytest.mark.parametrize(("kind", "odd"), [(kind, odd) for kind, odds in OF_ONE_KIND.items() for odd in odds])
def test_what_one_kind_of_policy_may_not_say(kind, odd):
    assert grammar.complaint(text(odd), GOOD[kind][0])


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("identity", {"Effect": "Deny", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::rows/*"}),
        ("identity", allow("future:NewAction*")),  # IAM knows no list of actions when it writes
        ("identity", allow("s3:*", Condition={"ForAllValues:StringEqualsIfExists": {"aws:TagKeys": ["a", "b"]}})),
        ("identity", allow("s3:*", Condition={"NumericLessThan": {"s3:max-keys": 10}, "Bool": {"a:b": True}})),
        ("trust", trusting({"AWS": "*", **LAMBDA}, Action=["sts:AssumeRole", "sts:TagSession"])),
        ("bucket", deny("s3:*", Principal="*", Sid="Deny, with blanks")),
        ("bucket", deny("*", Principal="*")),
        ("bucket", {"Effect": "Deny", "NotPrincipal": ME, "Action": "s3:*", "Resource": "*"}),
        ("key", {"Effect": "Allow", "Principal": ME, "Action": "kms:*"}),  # written, and without effect
        ("key", allow("kms:Encrypt*", Principal=LAMBDA, Sid="Enable IAM User Permissions")),
    ],
)  # fmt: skip
def test_what_may_be_said(kind, statement):
    assert grammar.complaint(text(statement), GOOD[kind][0]) is None


def test_sids_stand_once_where_iam_reads_them():
    twice = text(allow("s3:*", Sid="A"), allow("iam:*", Sid="A"))
    assert "unique" in grammar.complaint(twice, grammar.IDENTITY)
    assert grammar.complaint(text(allow("s3:*"), allow("iam:*")), grammar.IDENTITY) is None
    assert grammar.complaint('{"Statement": [' + json.dumps(allow("s3:*")) + "]}", grammar.IDENTITY) is None


HERE, INSIDE = "arn:aws:s3:::rows", "arn:aws:s3:::rows/*"


@pytest.mark.parametrize(
    ("action", "resource", "condition", "told"),
    [
        ("s3:GetObject", HERE, {}, "does not apply"),
        ("s3:ListBucket", INSIDE, {}, "does not apply"),
        (["s3:ListBucket", "s3:GetObject"], INSIDE, {}, "does not apply"),
        (["s3:ListBucket", "s3:GetObject"], [HERE, INSIDE], {}, ""),
        ("s3:GetObject", [HERE, INSIDE], {}, ""),
        ("s3:*", HERE, {}, ""),
        ("s3:Get*", INSIDE, {}, ""),
        ("s3:GetObject", "arn:aws:s3:::others/*", {}, "invalid resource"),
        ("s3:GetObject", [INSIDE, "arn:aws:s3:::others/*"], {}, "invalid resource"),
        ("s3:GetObject", "arn:aws:s3:::row*", {}, ""),
        ("s3:GetObject", INSIDE, {"StringEquals": {"s3:prefix": "a"}}, "Conditions do not apply"),
        ("s3:ListBucket", HERE, {"StringEquals": {"s3:prefix": "a"}}, ""),
        ("s3:PutObject", INSIDE, {"StringEquals": {"s3:x-amz-acl": "private"}}, ""),
        ("s3:PutObject", INSIDE, {"StringEquals": {"s3:phase-of-moon": "full"}}, "invalid condition key"),
        ("s3:PutObject", INSIDE, {"StringEquals": {"aws:PhaseOfMoon": "full"}}, "invalid condition key"),
        ("s3:PutObject", INSIDE, {"StringEquals": {"ec2:Vpc": "vpc-1"}}, "invalid condition key"),
        ("s3:*", [HERE, INSIDE], {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, ""),
        (["s3:GetObject", "s3:ListBucket"], [HERE, INSIDE], {"StringEquals": {"s3:prefix": "a"}}, "do not apply"),
        ("s3:GetObject", INSIDE, {"StringEquals": {"s3:ExistingObjectTag/team": "red"}}, ""),
    ],
)
def test_what_s3_looks_at_besides(action, resource, condition, told):
    given = {"Statement": [allow(action, resource, Principal=ME, Condition=condition)]}
    found = bucket_policies.complaint(given, "rows")
    assert told in (found or "")
    assert bool(found) == bool(told)


EVERYBODY = allow("s3:GetObject", INSIDE, Principal="*")


@pytest.mark.parametrize(
    ("statement", "public"),
    [
        (EVERYBODY, True),
        ({**EVERYBODY, "Principal": {"AWS": "*"}}, True),
        ({**EVERYBODY, "Principal": {"AWS": [OTHER, "*"]}}, True),
        ({**EVERYBODY, "Principal": {"AWS": OTHER}}, False),
        ({**EVERYBODY, "Principal": LAMBDA}, False),
        ({**EVERYBODY, "Principal": {"Federated": "graph.facebook.com"}}, True),
        ({**EVERYBODY, "Effect": "Deny"}, False),
        ({**EVERYBODY, "Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}}, False),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}}, False),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:SourceVpce": ["vpce-1", "vpce-*"]}}}, True),
        ({**EVERYBODY, "Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-91237329"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-91237329"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}}, False),
        ({**EVERYBODY, "Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/*"}}}, True),
        ({**EVERYBODY, "Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/fl"}}}, False),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:SourceArn": "${aws:PrincipalArn}"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:Referer": "https://example.org"}}}, True),
        ({**EVERYBODY, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, False),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}, True),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "128.0.0.0/1"]}}}, True),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}}, False),
        ({**EVERYBODY, "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, True),
        ({**EVERYBODY, "Condition": {"StringLike": {"aws:userid": "AROAEXAMPLEID:*"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:userid": "AIDAEXAMPLEID"}}}, False),
    ],
)
def test_what_s3_calls_public(statement, public):
    own = allow("s3:*", [HERE, INSIDE], Principal=ME)
    assert bucket_policies.is_public({"Statement": [own, statement]}) == public


# --- the codes of each service ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def admin(aws):
    return aws.session("client-1").client


@pytest.fixture
def named(admin):
    """Return names of a user, a role, a group, a bucket and a key that are there."""
    iam, s3, kms = (admin(service) for service in ("iam", "s3", "kms"))
    name = f"doc-{secrets.token_hex(3)}"
    iam.create_user(UserName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=text(trusting(ME)))
    iam.create_group(GroupName=name)
    s3.create_bucket(Bucket=name)
    yield name, kms.create_key()["KeyMetadata"]["KeyId"]
    for kind, entities in (("user", "UserName"), ("role", "RoleName"), ("group", "GroupName")):
        for policy in getattr(iam, f"list_{kind}_policies")(**{entities: name})["PolicyNames"]:
            getattr(iam, f"delete_{kind}_policy")(**{entities: name}, PolicyName=policy)
        getattr(iam, f"delete_{kind}")(**{entities: name})
    s3.delete_bucket_policy(Bucket=name)
    s3.delete_bucket(Bucket=name)


def test_every_service_refuses_with_its_own_code(admin, named):
    name, key = named
    iam, odd = admin("iam"), text({"Effect": "allow", "Action": "s3:*", "Resource": "*"})
    role = f"arn:aws:iam::{OWNER}:role/{name}"
    inline, of_iam = {"PolicyName": "p", "PolicyDocument": odd}, "MalformedPolicyDocument"
    calls = [
        (iam.create_policy, {"PolicyName": name, "PolicyDocument": odd}, of_iam),
        (iam.put_user_policy, {"UserName": name, **inline}, of_iam),
        (iam.put_role_policy, {"RoleName": name, **inline}, of_iam),
        (iam.put_group_policy, {"GroupName": name, **inline}, of_iam),
        (iam.create_role, {"RoleName": "odd", "AssumeRolePolicyDocument": odd}, of_iam),
        (iam.update_assume_role_policy, {"RoleName": name, "PolicyDocument": odd}, of_iam),
        (admin("sts").assume_role, {"RoleArn": role, "RoleSessionName": "me", "Policy": odd}, of_iam),
        (admin("s3").put_bucket_policy, {"Bucket": name, "Policy": odd}, "MalformedPolicy"),
        (admin("kms").create_key, {"Policy": odd}, "MalformedPolicyDocumentException"),
        (admin("kms").put_key_policy, {"KeyId": key, "Policy": odd}, "MalformedPolicyDocumentException"),
    ]  # fmt: skip
    for call, request, code in calls:
        assert refusal(call, **request)["Code"] == code


def filled(statement, size):
    """Return a policy of this many characters that are no white space."""
    short = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Sid": ""}]})
    padded = {**statement, "Sid": "S" * (size - limits.size(short))}
    return json.dumps({"Version": "2012-10-17", "Statement": [padded]}, indent=4)


def test_policies_have_their_length_without_white_space(admin, named):
    name, _ = named
    iam, rows = admin("iam"), allow("s3:*")
    arn = iam.create_policy(PolicyName=name, PolicyDocument=filled(rows, 6144))["Policy"]["Arn"]
    new = {"PolicyArn": arn, "PolicyDocument": filled(rows, 6145)}
    assert refusal(iam.create_policy_version, **new)["Code"] == "LimitExceeded"
    iam.delete_policy(PolicyArn=arn)
    assert refusal(iam.create_policy, PolicyName=name, PolicyDocument=filled(rows, 6500))["Code"] == "LimitExceeded"
    trust = {"RoleName": name, "PolicyDocument": filled(trusting(ME), 2049)}
    assert refusal(iam.update_assume_role_policy, **trust)["Code"] == "LimitExceeded"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=filled(trusting(ME), 2048))
    for kind, most in (("user", 2048), ("role", 10240), ("group", 5120)):
        put, who = getattr(iam, f"put_{kind}_policy"), {f"{kind.capitalize()}Name": name}
        put(**who, PolicyName="a", PolicyDocument=filled(rows, most - 500))
        assert refusal(put, **who, PolicyName="b", PolicyDocument=filled(rows, 501))["Code"] == "LimitExceeded"
        put(**who, PolicyName="b", PolicyDocument=filled(rows, 500))
        put(**who, PolicyName="a", PolicyDocument=filled(rows, most - 500))  # itself counts once


def test_a_bucket_s_and_a_key_s_policy_have_their_length_in_bytes(admin, named):
    name, key = named
    own = allow("s3:*", f"arn:aws:s3:::{name}", Principal=ME)
    many = text(*({**own, "Sid": f"{number:0>40}"} for number in range(200)))
    assert len(many) > 20480
    assert refusal(admin("s3").put_bucket_policy, Bucket=name, Policy=many)["Code"] == "MalformedPolicy"
    long = text(allow("kms:*", Principal=ME, Sid="S" * 33000))
    assert refusal(admin("kms").put_key_policy, KeyId=key, Policy=long)["Code"] == "LimitExceededException"


def test_a_session_policy_and_its_arns_have_2048_characters(admin, named):
    role = {"RoleArn": f"arn:aws:iam::{OWNER}:role/{named[0]}", "RoleSessionName": "me"}
    narrow = json.dumps(json.loads(filled(allow("s3:*"), 2000)))
    assert refusal(admin("sts").assume_role, **role, Policy=narrow + " " * 100)["Code"] == "PackedPolicyTooLarge"


def test_quotas_count_what_is_attached_and_versions(admin, named):
    name, _ = named
    iam, made = admin("iam"), []
    for number in range(11):
        rows = {"PolicyName": f"{name}-{number}", "PolicyDocument": text(allow("s3:*"))}
        made.append(iam.create_policy(**rows)["Policy"]["Arn"])
    for kind in ("user", "role", "group"):
        attach, who = getattr(iam, f"attach_{kind}_policy"), {f"{kind.capitalize()}Name": name}
        for arn in made[:10]:
            attach(**who, PolicyArn=arn)
        assert refusal(attach, **who, PolicyArn=made[10])["Code"] == "LimitExceeded"
        attach(**who, PolicyArn=made[0])  # once more changes nothing
        for arn in made[:10]:
            getattr(iam, f"detach_{kind}_policy")(**who, PolicyArn=arn)
    version = {"PolicyArn": made[0], "PolicyDocument": text(allow("s3:*"))}
    for _ in range(4):
        iam.create_policy_version(**version)
    assert refusal(iam.create_policy_version, **version)["Code"] == "LimitExceeded"
    for number in range(2, 6):
        iam.delete_policy_version(PolicyArn=made[0], VersionId=f"v{number}")
    for arn in made:
        iam.delete_policy(PolicyArn=arn)
    tags = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    iam.tag_role(RoleName=name, Tags=tags)
    assert refusal(iam.tag_role, RoleName=name, Tags=[{"Key": "more", "Value": ""}])["Code"] == "LimitExceeded"
    iam.tag_role(RoleName=name, Tags=[{"Key": "k7", "Value": "again"}])
    twin = {"RoleName": name.upper(), "AssumeRolePolicyDocument": text(trusting(ME))}
    assert refusal(iam.create_role, **twin)["Code"] == "EntityAlreadyExists"


def test_a_boundary_is_a_policy_that_is_there(admin, named):
    gone = {"PermissionsBoundary": f"arn:aws:iam::{OWNER}:policy/there-is-none"}
    iam = admin("iam")
    assert refusal(iam.put_role_permissions_boundary, RoleName=named[0], **gone)["Code"] == "NoSuchEntity"
    assert refusal(iam.put_user_permissions_boundary, UserName=named[0], **gone)["Code"] == "NoSuchEntity"
    assert refusal(iam.create_user, UserName="bounded", **gone)["Code"] == "NoSuchEntity"


@pytest.mark.parametrize(
    "nobody",
    [f"arn:aws:iam::{OTHER}:role/nobody", f"arn:aws:iam::{OWNER}:user/*", f"arn:aws:iam::{OWNER}:group/admins",
     "arn:aws:iam::222233334444:user/ann", "AROAEXAMPLEOFNOBODY", "ann", "12345"],
)  # fmt: skip
def test_a_principal_is_somebody(admin, named, nobody):
    name, key = named
    principal = {"AWS": nobody}
    trust = {"RoleName": name, "PolicyDocument": text(trusting(principal))}
    told = refusal(admin("iam").update_assume_role_policy, **trust)
    assert told["Code"] == "MalformedPolicyDocument"
    assert "Invalid principal in policy" in told["Message"]
    rows = text(allow("s3:*", f"arn:aws:s3:::{name}", Principal=principal))
    assert refusal(admin("s3").put_bucket_policy, Bucket=name, Policy=rows)["Code"] == "MalformedPolicy"
    mine = text(allow("kms:*", Principal=ME), allow("kms:Encrypt", Principal=principal))
    told = refusal(admin("kms").put_key_policy, KeyId=key, Policy=mine)
    assert told["Code"] == "MalformedPolicyDocumentException"


def test_a_key_stays_manageable_for_who_sets_its_policy(admin, named):
    _, key = named
    theirs = text(allow("kms:*", Principal={"AWS": OTHER}))
    told = refusal(admin("kms").put_key_policy, KeyId=key, Policy=theirs)
    assert told["Code"] == "MalformedPolicyDocumentException"
    assert "update the key policy in the future" in told["Message"]
    admin("kms").put_key_policy(KeyId=key, Policy=theirs, BypassPolicyLockoutSafetyCheck=True)


def test_an_endpoint_s_policy_is_one(admin):
    ec2 = admin("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.57.0.0/16")["Vpc"]["VpcId"]
    made = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3"}
    for odd in (text(allow("s3:*")), text({**allow("s3:*"), "Principal": "*", "Effect": "Yes"}), "{}"):
        assert refusal(ec2.create_vpc_endpoint, **made, PolicyDocument=odd)["Code"] == "InvalidPolicyDocument"
    ec2.delete_vpc(VpcId=vpc)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": OTHER}}}, False),
        ({"Condition": {"StringLike": {"aws:PrincipalAccount": "7777*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({"Condition": {"NumericEquals": {"aws:PrincipalAccount": OTHER}}}, True),
        ({"Condition": {"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/*"}}}, False),
        ({"Condition": {"StringLike": {"aws:UserAgent": "aws*"}}}, True),
        ({"Condition": {"StringLike": {"s3:prefix": "rows/*"}}}, True),  # five characters
        ({"Condition": {"StringLike": {"s3:prefix": "tables/*"}}}, False),
        ({"Resource": "arn:aws:kms:*:7777*:key/*"}, True),
        ({"Resource": "arn:aws:kms:*:*:key/*"}, False),
        ({"Resource": f"arn:aws:kms:*:{OTHER}:key/*"}, False),
    ],
)
def test_what_ec2_looks_at_besides(changes, wrong):
    given = {"Statement": [{**allow("*", Principal="*"), **changes}]}
    assert bool(endpoint_policies.complaint(given)) == wrong


def test_trust_may_be_written_in_the_older_language(admin, named):
    old = json.dumps({"Version": "2008-10-17", "Statement": [trusting(ME, Sid="")]})
    admin("iam").update_assume_role_policy(RoleName=named[0], PolicyDocument=old)
    assert admin("iam").get_role(RoleName=named[0])["Role"]["AssumeRolePolicyDocument"]["Version"] == "2008-10-17"


def test_trust_is_about_sts_alone(admin):
    wrong = {"RoleName": "wrong", "AssumeRolePolicyDocument": document(trusting(ME, Action="s3:GetObject"))}
    assert refusal(admin("iam").create_role, **wrong)["Code"] == "MalformedPolicyDocument"

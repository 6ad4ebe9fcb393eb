"""Statements: effects, actions, resources, principals; what came closest is named."""

from dataclasses import replace

import pytest

from embedded_aws.policies.conditions import PolicyError
from embedded_aws.policies.decisions import IDENTITY, decide
from embedded_aws.policies.policy import Policy, Request, evaluate

USER = "arn:aws:iam::111122223333:user/ann"
SESSION, ROLE = "arn:aws:sts::111122223333:assumed-role/FL/x", "arn:aws:iam::111122223333:role/FL"


def request(action="s3:GetObject", resource="arn:aws:s3:::rows/data/a.csv", principal=USER, aliases=(), **context):
    return Request(principal, "111122223333", action, resource, context, aliases)


def policy(*statements, name="p"):
    return Policy.of(name, {"Version": "2012-10-17", "Statement": list(statements)})


def allow(action="s3:GetObject", resource="*", **more):
    return {"Sid": "A", "Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal, **more):
    return policy({"Sid": "T", "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


@pytest.mark.parametrize(
    ("statement", "effect"),
    [
        (allow(), "Allow"),
        (allow("S3:getobject"), "Allow"),  # actions know no case
        (allow("s3:Get*"), "Allow"),
        (allow("s3:*Object"), "Allow"),
        (allow("s3:PutObject"), None),
        (allow(["s3:PutObject", "s3:Get?bject"]), "Allow"),
        (allow(resource="arn:aws:s3:::rows/*"), "Allow"),
        (allow(resource="arn:aws:s3:::rows"), None),
        (allow(resource="arn:aws:s3:::ROWS/*"), None),  # resources do
        (allow(resource=["arn:aws:s3:::x", "arn:aws:s3:::*/a.csv"]), "Allow"),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "Allow"),
        ({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}, None),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::rows/*"}, None),
        ({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}, "Deny"),
    ],
)
def test_a_statement_covers_what_it_says(statement, effect):
    assert evaluate([policy(statement)], request()).effect == effect


def test_an_explicit_deny_wins_wherever_it_stands():
    deny = {"Sid": "D", "Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::rows/*"}
    for policies in ([policy(allow()), policy(deny)], [policy(deny, allow())]):
        finding = evaluate(policies, request())
        assert (finding.effect, finding.statement) == ("Deny", "p: D")


def test_the_statement_that_came_closest_is_named_with_what_was_missing():
    conditioned = allow(Condition={"StringEquals": {"sts:ExternalId": "right"}}) | {"Sid": "Nearly"}
    finding = evaluate([policy(allow("iam:PassRole"), allow(resource="arn:aws:s3:::x"), conditioned)], request())
    assert finding.statement == "p: Nearly: condition StringEquals sts:ExternalId right does not hold"


def test_a_statement_that_cannot_be_evaluated_is_an_error_and_no_allow():
    odd = allow(Condition={"StringResembles": {"aws:username": "x"}})
    with pytest.raises(PolicyError, match="p: A: cannot evaluate condition operator StringResembles"):
        evaluate([policy(odd)], request())
    decision = decide(request(), {IDENTITY: [policy(odd), policy(allow())]}, (None, False), own=True)
    assert not decision.allowed
    assert "StringResembles" in decision.why


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ("*", "self"),
        ({"AWS": "*"}, "self"),
        ({"AWS": USER}, "self"),
        ({"AWS": ["arn:aws:iam::999999999999:root", "111122223333"]}, "account"),
        ({"AWS": "arn:aws:iam::111122223333:root"}, "account"),
        ({"AWS": "arn:aws:iam::999999999999:root"}, None),
        ({"AWS": "arn:aws:iam::111122223333:user/*"}, None),  # no patterns in principals
        ({"Service": "sagemaker.amazonaws.com"}, None),
    ],
)
def test_a_trust_policy_names_a_user_or_its_account(principal, named):
    finding = evaluate([trust(principal)], request("sts:AssumeRole", ROLE), resource_policy=True)
    assert finding.effect == ("Allow" if named else None)
    assert finding.names == (named or "")


@pytest.mark.parametrize(("principal", "effect"), [(SESSION, "Allow"), (ROLE, "Allow"), (USER, None)])
def test_a_session_is_meant_by_its_own_name_and_by_its_role_s(principal, effect):
    asked = request("sts:AssumeRole", "arn:aws:iam::1:role/x", principal=SESSION, aliases=(ROLE,))
    assert evaluate([trust({"AWS": principal})], asked, resource_policy=True).effect == effect


def test_a_service_is_meant_by_its_name_and_not_by_an_account():
    service = Request("sagemaker.amazonaws.com", "", "sts:AssumeRole", ROLE)
    assert evaluate([trust({"Service": "sagemaker.amazonaws.com"})], service, resource_policy=True).effect == "Allow"
    assert evaluate([trust({"AWS": "*"})], service, resource_policy=True).effect is None
    assert evaluate([trust({"Service": "ec2.amazonaws.com"})], service, resource_policy=True).effect is None


@pytest.mark.parametrize(
    ("identity", "resource", "own", "allowed"),
    [
        (True, None, True, True),
        (False, None, True, False),
        (False, {"AWS": USER}, True, True),  # in the own account a policy that names the user is enough
        (False, {"AWS": "111122223333"}, True, False),  # one that names the account leaves it to the account
        (True, {"AWS": USER}, False, True),  # between accounts both must allow
        (False, {"AWS": USER}, False, False),
        (True, None, False, False),
        (True, {"AWS": "999999999999"}, False, False),
    ],
)
def test_both_sides_must_agree_between_accounts(identity, resource, own, allowed):
    mine = [policy(allow())] if identity else []
    theirs = Policy.of("b", {"Statement": [allow(Principal=resource)]}) if resource else None
    assert decide(request(), {IDENTITY: mine}, (theirs, False), own=own).allowed == allowed


@pytest.mark.parametrize("layer", ["permissions boundary", "session policy"])
def test_every_layer_has_to_allow(layer):
    mine = {IDENTITY: [policy(allow())]}
    assert decide(request(), {**mine, layer: [policy(allow("s3:*"))]}, (None, False), own=True).allowed
    decision = decide(request(), {**mine, layer: [policy(allow("iam:*"))]}, (None, False), own=True)
    assert decision.why == f"because no {layer} allows the s3:GetObject action"


def test_a_key_policy_has_to_allow_even_in_its_own_account():
    asked = request("kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/k")
    mine = {IDENTITY: [policy(allow("kms:*"))]}
    delegating = Policy.of("k", {"Statement": [allow("kms:*", Principal={"AWS": "111122223333"})]})
    foreign = Policy.of("k", {"Statement": [allow("kms:*", Principal={"AWS": "999999999999"})]})
    assert decide(asked, mine, (delegating, True), own=True).allowed
    assert not decide(asked, mine, (foreign, True), own=True).allowed
    assert not decide(asked, {IDENTITY: []}, (delegating, True), own=True).allowed


@pytest.mark.parametrize(
    "document",
    ["no json", "[1]", '"x"', '{"Statement": "x"}', '{"Statement": [7]}', '{"Statement": {"Effect": "allow"}}',
     '{"Statement": {"Effect": "Allow", "Action": 7, "Resource": "*"}}',
     '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": {"a": 1}}}',
     '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": ["x"]}}'],
)  # fmt: skip
def test_what_is_no_policy_refuses_and_says_which(document):
    broken = Policy.of("broken", document)
    with pytest.raises(PolicyError, match="broken"):
        evaluate([policy(allow()), broken], request())
    decision = decide(request(), {IDENTITY: [policy(allow()), broken]}, (None, False), own=True)
    assert not decision.allowed


def test_without_a_version_a_resource_holds_no_variable():
    statement = allow(resource="arn:aws:s3:::rows/${aws:username}/*")
    here = request(resource="arn:aws:s3:::rows/ann/x", **{"aws:username": ("ann",)})
    assert evaluate([policy(statement)], here).effect == "Allow"
    assert evaluate([Policy.of("old", {"Statement": [statement]})], here).effect is None


ROOT = "arn:aws:iam::111122223333:root"


@pytest.mark.parametrize(
    ("excepted", "bounded", "effect"),
    [
        ([ROOT], False, "Deny"),
        ([USER], False, "Deny"),  # AWS looks at the account first
        ([USER, ROOT], False, None),
        ([USER, "111122223333"], False, None),
        ([USER, ROOT], True, "Deny"),  # whoever has a boundary is always denied
    ],
)
def test_of_a_user_the_account_is_excepted_too_and_of_who_has_a_boundary_nobody(excepted, bounded, effect):
    given = policy({"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": excepted}})
    assert evaluate([given], replace(request(), bounded=bounded), resource_policy=True).effect == effect


@pytest.mark.parametrize(
    ("excepted", "effect"),
    [([ROLE, ROOT], None), ([SESSION, ROLE, ROOT], None), ([SESSION, ROOT], "Deny"), ([ROLE], "Deny")],
)
def test_of_a_session_its_role_is_excepted_and_the_account(excepted, effect):
    given = policy({"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": excepted}})
    asked = request(principal=SESSION, aliases=(ROLE, "AROAEXAMPLE"))
    assert evaluate([given], asked, resource_policy=True).effect == effect


def test_not_principal_allows_nobody():
    given = policy({"Effect": "Allow", "Action": "*", "Resource": "*", "NotPrincipal": {"AWS": ROOT}})
    with pytest.raises(PolicyError, match="NotPrincipal"):
        evaluate([given], request(), resource_policy=True)


# AWS, IAM user guide, how AWS enforcement code logic evaluates requests: what an Allow of a resource policy in the
# same account is worth when identity policies, boundary or session policy say nothing.
@pytest.mark.parametrize("layer", [IDENTITY, "permissions boundary", "session policy"])
@pytest.mark.parametrize(
    ("who", "named", "spared"),
    [
        ("user", USER, (IDENTITY, "permissions boundary", "session policy")),
        ("user", "*", (IDENTITY, "permissions boundary", "session policy")),
        ("user", ROOT, ()),
        ("session", SESSION, (IDENTITY, "permissions boundary", "session policy")),
        ("session", ROLE, (IDENTITY,)),
        ("session", "AROAEXAMPLE", (IDENTITY,)),
        ("session", "*", (IDENTITY, "permissions boundary", "session policy")),
        ("session", ROOT, ()),
    ],
)
def test_how_a_resource_policy_names_who_asks_decides_what_else_must_allow(who, named, spared, layer):
    asked = request() if who == "user" else request(principal=SESSION, aliases=(ROLE, "AROAEXAMPLE"))
    theirs = policy(allow(Principal={"AWS": named}))
    layers = {IDENTITY: [policy(allow())], layer: [policy(allow("iam:*"))]}
    assert decide(asked, layers, (theirs, False), own=True).allowed == (layer in spared)
    silent = {IDENTITY: [policy(allow())], layer: [policy({**allow(), "Effect": "Deny"})]}
    assert not decide(asked, silent, (theirs, False), own=True).allowed


def test_a_statement_of_a_key_policy_without_a_resource_has_no_effect():
    given = policy({"Effect": "Allow", "Principal": "*", "Action": "kms:*"})
    asked = request("kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/k")
    assert evaluate([given], asked, resource_policy=True).effect is None


# AWS, PrivateLink guide: in the policy of a gateway endpoint an account stands for its root user alone.
@pytest.mark.parametrize(("principal", "effect"), [("*", "Allow"), ({"AWS": "*"}, "Allow"), ({"AWS": ROOT}, None)])
def test_an_account_in_a_gateway_endpoint_s_policy_is_its_root_user(principal, effect):
    given = policy(allow(Principal=principal))
    assert evaluate([given], request(), resource_policy=True).effect == "Allow"
    assert evaluate([replace(given, root_only=True)], request(), resource_policy=True).effect == effect

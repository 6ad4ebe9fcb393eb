"""Statements: effects, actions, resources, principals; what came closest is named."""

import pytest

from embedded_aws.iam.conditions import PolicyError
from embedded_aws.iam.gate import IDENTITY, decide
from embedded_aws.iam.policy import Policy, Request, evaluate

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
        ("*", "name"),
        ({"AWS": "*"}, "name"),
        ({"AWS": USER}, "name"),
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
    assert finding.by_name == (named == "name")


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
    ("statement", "effect"),
    [
        (allow("sqs:*"), "Allow"),
        (allow("sqs:*", "arn:aws:sqs:*:*:*"), None),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:sqs:*:*:other"}, None),
        ({"Effect": "Deny", "Action": "sqs:*", "Resource": "arn:aws:sqs:*:*:other"}, "Deny"),
        ({"Effect": "Deny", "Action": "sqs:*", "NotResource": "arn:aws:sqs:*:*:mine"}, "Deny"),
        ({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}, None),
    ],
)
def test_of_a_resource_that_is_not_known_the_worst_is_assumed(statement, effect):
    unknown = Request(USER, "111122223333", "sqs:DeleteQueue", "*", unknown=True)
    assert evaluate([policy(statement)], unknown).effect == effect


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


def test_whose_account_alone_is_excepted_is_not_excepted():
    base = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    root = {"AWS": ["arn:aws:iam::111122223333:root"]}
    for excepted, effect in ((root, "Deny"), ({"AWS": [USER, *root["AWS"]]}, None)):
        given = policy({**base, "NotPrincipal": excepted})
        assert evaluate([given], request(), resource_policy=True).effect == effect

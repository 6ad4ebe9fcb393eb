"""Bearer tokens of EKS and access entries: who is let in, under which name, and with which rights.

Sources: AWS, EKS user guide, "Create access entries", "Review access policy permissions"; aws-iam-authenticator, "API
Authorization from Outside a Cluster": the form of a token, and its quarter of an hour.
"""

import base64
import re
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from moto.iam.models import iam_backends
from test_eks_desk import EksDesk, ask, bearer, encoded, told, trust, url_of

from embedded_aws.services.eks import clusters, tokens
from embedded_aws.services.eks.state import Cluster, Entry

ACCOUNT = "222233334444"


@pytest.fixture(scope="module")
def ann():
    """Return a session of a user in this process."""
    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_user(region_name="us-east-1", user_name="ann-of-eks")
    key = iam.create_access_key("ann-of-eks")
    yield boto3.Session(key.access_key_id, key.secret_access_key, region_name="us-east-1")
    iam.delete_access_key(key.access_key_id, "ann-of-eks")
    iam.delete_user("ann-of-eks")


@pytest.fixture
def cluster(ann):
    """Return a cluster in this process that admits her."""
    arn = f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/one"
    made = Cluster(ACCOUNT, "us-east-1", {"name": "one", "arn": arn}, creator="")
    user = iam_backends[ACCOUNT]["aws"].get_user("ann-of-eks")
    made.entries[user.arn] = Entry({"username": "ann", "kubernetesGroups": ["fl"]}, user.id)
    return made


def test_a_token_says_who_signed_it(ann, cluster):
    identity = tokens.identify(cluster, bearer(ann, "one"))
    assert identity
    assert (identity.username, identity.groups) == ("ann", ("fl",))


def test_a_token_is_good_for_a_quarter_of_an_hour(ann, cluster):
    token, now = bearer(ann, "one"), datetime.now(UTC)
    assert tokens.identify(cluster, token, now=now + timedelta(minutes=14))  # X-Amz-Expires says 60 seconds
    assert not tokens.identify(cluster, token, now=now + timedelta(minutes=16))
    assert not tokens.identify(cluster, token, now=now - timedelta(minutes=10))
    assert not tokens.identify(cluster, bearer(ann, "one", seconds=3600), now=now + timedelta(minutes=16))


def changed(old, new):
    return lambda token: encoded(url_of(token).replace(old, new))


WRONG = {
    "another cluster's": lambda _: None,
    "another operation": changed("GetCallerIdentity", "GetSessionToken"),
    "another host": changed("sts.", "sts.evil."),
    "a host that looks like it": changed(".amazonaws.com", ".amazonaws.com.evil.example"),
    "without TLS": changed("https://", "http://"),
    "another path": changed(".com/?", ".com/x?"),
    "more arguments": lambda token: encoded(url_of(token) + "&Duration=1"),
    "a longer life": changed("X-Amz-Expires=60", "X-Amz-Expires=900"),
    "another moment": lambda token: encoded(re.sub(r"(X-Amz-Date=\d{8}T\d{5})\d", r"\g<1>x", url_of(token))),
    "another signature": lambda token: encoded(url_of(token)[:-1] + ("0" if url_of(token)[-1] != "0" else "1")),
    "no name of a cluster signed": changed("host%3Bx-k8s-aws-id", "host"),
    "another prefix": lambda token: token.replace("v1.", "v2."),
    "padding": lambda token: token + "=",
    "no base64": lambda token: token[:-3] + "???",
}


@pytest.mark.parametrize("what", WRONG)
def test_a_token_that_is_none(ann, cluster, what):
    token = bearer(ann, "one")
    wrong = WRONG[what](token) or bearer(ann, "two")
    assert wrong != token
    assert tokens.identify(cluster, wrong) is None


def signed(session, query="Action=GetCallerIdentity&Version=2011-06-15", method="GET", service="sts", **headers):
    """Return a token that is signed well, whatever it asks."""
    request = AWSRequest(method, f"https://sts.us-east-1.amazonaws.com/?{query}", headers=headers)
    SigV4QueryAuth(session.get_credentials(), service, "us-east-1", expires=60).add_auth(request)
    return encoded(request.url)


def test_a_url_that_is_signed_well_and_is_no_token(ann, cluster):
    name = {"x-k8s-aws-id": "one"}
    assert tokens.identify(cluster, signed(ann, **name))  # by hand, it is one
    assert tokens.identify(cluster, signed(ann)) is None  # it names no cluster: anybody could send it to any
    assert tokens.identify(cluster, signed(ann, **name, **{"x-more": "1"})) is None
    assert tokens.identify(cluster, signed(ann, "Action=GetCallerIdentity&Version=2011-06-15&X=1", **name)) is None
    assert tokens.identify(cluster, signed(ann, "Action=GetSessionToken&Version=2011-06-15", **name)) is None
    assert tokens.identify(cluster, signed(ann, method="POST", **name)) is None
    assert tokens.identify(cluster, signed(ann, service="iam", **name)) is None


def test_a_signature_in_headers_is_no_token(ann, cluster):
    plain = base64.urlsafe_b64encode(b"https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity").decode()
    assert tokens.identify(cluster, f"k8s-aws-v1.{plain.rstrip('=')}") is None


def test_a_principal_that_was_made_again_needs_a_new_entry(ann, cluster):
    """EKS user guide, "Create access entries": the entry is for the principal's unique id."""
    (entry,) = cluster.entries.values()
    entry.unique_id = "AIDAANOTHER"
    assert tokens.identify(cluster, bearer(ann, "one")) is None


def test_who_has_no_entry_is_nobody(ann, cluster):
    cluster.entries.clear()
    assert tokens.identify(cluster, bearer(ann, "one")) is None


def test_tokens_that_are_none_of_eks_are_for_others_to_know(cluster):
    cluster.authenticators.append(lambda token: "a service account" if token == "known" else None)
    assert clusters.authenticate(cluster, "known") == "a service account"
    assert clusters.authenticate(cluster, "other") is None


# --- through the API --------------------------------------------------------------------------------------------------

PREFIX = "arn:aws:eks::aws:cluster-access-policy/"


@pytest.fixture(scope="module")
def desk(aws):
    desk = EksDesk(aws.session("client-3"), "eks-access")
    desk.network()
    yield desk
    desk.clear()


@pytest.fixture(scope="module")
def made(desk):
    return desk.cluster("access", desk.role("cluster", "eks.amazonaws.com"))


@pytest.fixture(scope="module")
def reader(desk):
    """Return a role's ARN, and a session of it."""
    account = desk.session.client("sts").get_caller_identity()["Account"]
    name = f"{desk.name}-reader"
    anybody = trust("eks.amazonaws.com").replace('"Service": "eks.amazonaws.com"', f'"AWS": "{account}"')
    arn = desk.iam.create_role(RoleName=name, AssumeRolePolicyDocument=anybody)["Role"]["Arn"]
    desk.roles.append(name)
    keys = desk.session.client("sts").assume_role(RoleArn=arn, RoleSessionName="morning")["Credentials"]
    endpoint = desk.session.client("sts").meta.endpoint_url
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1")
    return arn, lambda: bearer(session, "access", endpoint_url=endpoint)


def test_who_makes_a_cluster_may_do_everything_there(desk, made):
    status, _ = ask(made, "/api/v1/secrets", bearer(desk.session, "access"))
    assert status == 200
    (principal,) = desk.eks.list_access_entries(clusterName="access")["accessEntries"]
    named = {"clusterName": "access", "principalArn": principal}
    (associated,) = desk.eks.list_associated_access_policies(**named)["associatedAccessPolicies"]
    assert associated["policyArn"] == f"{PREFIX}AmazonEKSClusterAdminPolicy"
    assert associated["accessScope"] == {"type": "cluster", "namespaces": []}


def test_without_an_entry_or_a_token_the_answer_is_401(made, reader):
    assert ask(made, "/api/v1/namespaces", reader[1]())[0] == 401
    assert ask(made, "/api/v1/namespaces", "k8s-aws-v1.nonsense")[0] == 401


def test_an_entry_lets_in_and_a_policy_lets_do(desk, made, reader):
    role, token = reader
    named = {"clusterName": "access", "principalArn": role}
    entry = desk.eks.create_access_entry(**named)["accessEntry"]
    account = role.split(":")[4]
    # EKS user guide: the user name that EKS gives to a role's sessions
    assert entry["username"] == f"arn:aws:sts::{account}:assumed-role/{desk.name}-reader/{{{{SessionName}}}}"
    assert entry["type"] == "STANDARD"
    pods = "/api/v1/namespaces/default/pods"
    status, said = ask(made, pods, token())
    assert status == 403
    assert f'User "arn:aws:sts::{account}:assumed-role/{desk.name}-reader/morning" cannot list' in said["message"]

    view, scope = f"{PREFIX}AmazonEKSViewPolicy", {"type": "namespace", "namespaces": ["default"]}
    desk.eks.associate_access_policy(**named, policyArn=view, accessScope=scope)
    assert ask(made, pods, token())[0] == 200
    assert ask(made, "/api/v1/namespaces/default/secrets", token())[0] == 403  # view sees no secrets
    assert ask(made, "/api/v1/namespaces/kube-system/pods", token())[0] == 403
    desk.eks.associate_access_policy(**named, policyArn=view, accessScope={"type": "cluster"})
    assert ask(made, "/api/v1/namespaces/kube-system/pods", token())[0] == 200
    assert ask(made, "/api/v1/nodes", token())[0] == 403
    all_seen = f"{PREFIX}AmazonEKSAdminViewPolicy"
    desk.eks.associate_access_policy(**named, policyArn=all_seen, accessScope={"type": "cluster"})
    assert ask(made, "/api/v1/nodes", token())[0] == 200
    for name in (view, all_seen):
        desk.eks.disassociate_access_policy(**named, policyArn=name)
    assert ask(made, pods, token())[0] == 403
    assert told(desk.eks.disassociate_access_policy, **named, policyArn=view)["Code"] == "ResourceNotFoundException"
    desk.eks.delete_access_entry(**named)
    assert ask(made, pods, token())[0] == 401


def test_names_that_are_kubernetes_own(desk, made, reader):
    named = {"clusterName": "access", "principalArn": reader[0]}
    assert "system:" in told(desk.eks.create_access_entry, **named, username="system:admin")["Message"]
    assert "system:" in told(desk.eks.create_access_entry, **named, kubernetesGroups=["system:masters"])["Message"]
    nobody = {**named, "principalArn": reader[0] + "-gone"}
    assert "principalArn is invalid" in told(desk.eks.create_access_entry, **nobody)["Message"]
    known = {row["name"] for row in desk.eks.list_access_policies()["accessPolicies"]}
    assert {"AmazonEKSViewPolicy", "AmazonEKSEditPolicy", "AmazonEKSAdminPolicy"} <= known


def test_a_private_cluster_is_not_reached_from_the_internet():
    config = {"endpointPublicAccess": False, "endpointPrivateAccess": True}
    closed = Cluster(ACCOUNT, "us-east-1", {"name": "x", "resourcesVpcConfig": config}, creator="")
    assert not tokens.reachable(closed, None)
    config["endpointPublicAccess"] = True
    assert tokens.reachable(closed, None)

"""Pod Identity: which pods get their role's credentials, and in which words others do not.

Sources: AWS, EKS user guide, "Configure IAM roles for Pod Identity", "Grant Pods access to AWS resources based on
tags"; botocore, ContainerProvider and ContainerMetadataFetcher.
"""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from test_eks_desk import EksDesk, allow, policy, told, trust

from embedded_aws.services.eks import places, state
from embedded_aws.services.eks.state import Cluster, Nodegroup
from embedded_aws.services.eksauth import agent
from embedded_aws.services.eksauth.sessions import NoCredentials, session_name

ACCOUNT, HERE = "222233334444", ("us-east-1",)
BOTH = ("sts:AssumeRole", "sts:TagSession")


@pytest.fixture
def role():
    """Return what makes roles in this process."""
    iam, made = iam_backends[ACCOUNT]["aws"], []

    def make(name, document, *actions):
        made.append(name)
        arn = iam.create_role(name, document, "/", None, "", [], 3600, None).arn
        if actions:
            iam.put_role_policy(name, "may", policy(allow(*actions)))
        return arn

    yield make
    for name in made:
        if iam.list_role_policies(name):
            iam.delete_role_policy(name, "may")
        iam.delete_role(name)


@pytest.fixture
def cluster(role, monkeypatch):
    """Return a cluster in this process with a node, the agent, and an association of ``fl/agent``."""
    snapshot = SimpleNamespace(interfaces={})
    network = SimpleNamespace(snapshot=lambda: snapshot, stand=lambda *_: None)
    monkeypatch.setattr(places, "setting", [SimpleNamespace(network=network, endpoint="http://127.0.0.1:1")])
    node = role("pods-node", trust("ec2.amazonaws.com"), "eks-auth:AssumeRoleForPodIdentity")
    pods = role("pods-role", trust("pods.eks.amazonaws.com", *BOTH))
    arn = f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/pods"
    made = Cluster(ACCOUNT, "us-east-1", {"name": "pods", "arn": arn}, creator="")
    made.nodegroups["ng"] = Nodegroup({"nodeRole": node, "status": "ACTIVE"}, {"ip-10-0-0-4": "eni-1"})
    made.addons["eks-pod-identity-agent"] = {"status": "ACTIVE", "addonName": "eks-pod-identity-agent"}
    made.associations["a-1"] = {
        "namespace": "fl", "serviceAccount": "agent", "roleArn": pods, "disableSessionTags": False,
        "associationId": "a-1", "associationArn": "arn",
    }  # fmt: skip
    state.add(made)
    yield made
    state.remove(made)


POD = ("fl", "agent", "agent-0", "1d5a")


def trusting(cluster, document):
    iam_backends[ACCOUNT]["aws"].get_role("pods-role").assume_role_policy_document = document


def test_a_pod_gets_its_role_for_six_hours(cluster):
    got = agent.credentials(cluster, *POD)
    assert got.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"}  # botocore reads these
    ends = datetime.strptime(got["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert 5.9 < (ends - datetime.now(UTC)).total_seconds() / 3600 <= 6
    session = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(got["AccessKeyId"])
    assert session.arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/pods-role/eks-pods-agent-0-")
    # The user guide's page on tags lists these six.
    assert {tag["Key"]: tag["Value"] for tag in session.tags} == {
        "eks-cluster-arn": cluster.arn, "eks-cluster-name": "pods", "kubernetes-namespace": "fl",
        "kubernetes-service-account": "agent", "kubernetes-pod-name": "agent-0", "kubernetes-pod-uid": "1d5a",
    }  # fmt: skip


TRUSTS = [
    (trust("pods.eks.amazonaws.com", "sts:AssumeRole"), "sts:TagSession"),
    (trust("pods.eks.amazonaws.com", "sts:TagSession"), "sts:AssumeRole"),
    (trust("ec2.amazonaws.com", *BOTH), "sts:AssumeRole"),
    (trust("pods.eks.amazonaws.com", *BOTH, StringEquals={"aws:SourceAccount": "111122223333"}), "sts:AssumeRole"),
    (trust("pods.eks.amazonaws.com", *BOTH, ArnEquals={"aws:SourceArn": "arn:aws:eks:*:*:cluster/other"}), "sts:"),
    (trust("pods.eks.amazonaws.com", *BOTH, StringEquals={"aws:RequestTag/kubernetes-namespace": "x"}), "sts:"),
]


@pytest.mark.parametrize(("document", "lacking"), TRUSTS)
def test_a_role_that_does_not_trust_this_pod_is_not_lent(cluster, document, lacking):
    trusting(cluster, document)
    with pytest.raises(NoCredentials, match=f"does not allow {lacking}"):
        agent.credentials(cluster, *POD)


def test_a_role_that_trusts_this_cluster_and_namespace_is_lent(cluster):
    conditions = {
        "StringEquals": {"aws:SourceAccount": ACCOUNT, "aws:RequestTag/kubernetes-namespace": "fl"},
        "ArnEquals": {"aws:SourceArn": cluster.arn},
    }
    trusting(cluster, trust("pods.eks.amazonaws.com", *BOTH, **conditions))
    assert agent.credentials(cluster, *POD)
    cluster.associations["a-1"]["disableSessionTags"] = True
    with pytest.raises(NoCredentials, match="does not allow sts:AssumeRole"):  # no tag, no match
        agent.credentials(cluster, *POD)


def test_what_must_be_there_besides(cluster):
    with pytest.raises(NoCredentials, match="no pod identity association for fl/other"):
        agent.credentials(cluster, "fl", "other", "p", "u")
    iam_backends[ACCOUNT]["aws"].put_role_policy("pods-node", "may", policy(allow("s3:GetObject")))
    with pytest.raises(NoCredentials, match="not authorized to perform: eks-auth:AssumeRoleForPodIdentity"):
        agent.credentials(cluster, *POD)
    cluster.addons.clear()
    with pytest.raises(NoCredentials, match="eks-pod-identity-agent of pods is not ACTIVE"):
        agent.credentials(cluster, *POD)
    with pytest.raises(NoCredentials, match="is not ACTIVE"):
        agent.credentials(cluster, *POD, node="ip-10-0-0-4")


def test_a_pod_s_calls_come_from_its_node(cluster, monkeypatch):
    """EKS user guide: pods without groups of their own use their node's network; VPC endpoints carry their calls."""
    stood, asked = [], []
    monkeypatch.setattr(places, "service_not_reached", lambda _, eni, service: asked.append((eni, service)) or "")
    monkeypatch.setattr(places, "signs", lambda _, eni, key: stood.append((eni, key)))
    got = agent.credentials(cluster, *POD, node="ip-10-0-0-4")
    assert asked == [("eni-1", "eks-auth")]
    assert stood == [("eni-1", got["AccessKeyId"])]


def test_a_node_must_reach_the_service(cluster):
    with pytest.raises(NoCredentials, match="does not reach eks-auth: eni-1 does not exist any more"):
        agent.credentials(cluster, *POD, node="ip-10-0-0-4")


def page(token, method="GET"):
    """Ask the page as botocore does: the token alone in the header."""
    answered = {}
    environ = {"REQUEST_METHOD": method, "PATH_INFO": agent.PAGE, "HTTP_AUTHORIZATION": token}
    environ |= {"wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "1"}
    body = b"".join(agent.serve(environ, lambda status, _: answered.update(status=int(status[:3]))))
    return answered["status"], json.loads(body)


def test_the_page_knows_pods_by_their_tokens(cluster):
    token = agent.issue_token(cluster, *POD)
    assert "\n" not in token  # botocore refuses a token with a line's end
    status, got = page(token)
    assert (status, got["AccountId"]) == (200, ACCOUNT)
    assert page("other")[0] == 400
    assert page(token, "POST")[0] == 405
    trusting(cluster, trust("ec2.amazonaws.com"))
    status, said = page(token)
    assert (status, said["Code"]) == (400, "AccessDeniedException")
    agent.withdraw_token(token)
    assert page(token)[0] == 400
    assert agent.environment("/t")["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"http://127.0.0.1:1{agent.PAGE}"


def test_a_session_s_name_is_one_that_sts_takes():
    name = session_name("c" * 100, "pod." + "p" * 200)  # at most 64: STS API reference, AssumeRole
    assert len(name) <= 64
    assert name.startswith("eks-ccc")


# --- through the API --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(aws):
    desk = EksDesk(aws.session("client-4"), "eks-pods")
    desk.network()
    desk.cluster("pods", desk.role("cluster", "eks.amazonaws.com"))
    yield desk
    desk.clear()


def test_associations(desk):
    role = desk.role("pod", "pods.eks.amazonaws.com", trusted=BOTH)
    wanted = {"clusterName": "pods", "namespace": "fl", "serviceAccount": "agent", "roleArn": role}
    made = desk.eks.create_pod_identity_association(**wanted)["association"]
    assert made["associationId"].startswith("a-")
    assert told(desk.eks.create_pod_identity_association, **wanted)["Code"] == "ResourceInUseException"
    (summary,) = desk.eks.list_pod_identity_associations(clusterName="pods", namespace="fl")["associations"]
    assert "roleArn" not in summary  # EKS API reference, PodIdentityAssociationSummary
    assert desk.eks.list_pod_identity_associations(clusterName="pods", namespace="other")["associations"] == []
    named = {"clusterName": "pods", "associationId": made["associationId"]}
    other = desk.role("other", "pods.eks.amazonaws.com", trusted=BOTH)
    desk.eks.update_pod_identity_association(**named, roleArn=other)
    assert desk.eks.describe_pod_identity_association(**named)["association"]["roleArn"] == other
    desk.eks.delete_pod_identity_association(**named)
    assert told(desk.eks.describe_pod_identity_association, **named)["Code"] == "ResourceNotFoundException"
    of_nodes = {**wanted, "roleArn": desk.role("node", "ec2.amazonaws.com")}
    assert "pods.eks.amazonaws.com" in told(desk.eks.create_pod_identity_association, **of_nodes)["Message"]


def test_nobody_asks_for_a_pod_with_a_token_of_his_own(desk):
    auth = desk.session.client("eks-auth")
    refused = told(auth.assume_role_for_pod_identity, clusterName="pods", token="made.up.token")
    assert refused["Code"] == "InvalidTokenException"

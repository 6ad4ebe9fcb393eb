"""Clusters and node groups: what EKS checks, how statuses change, which nodes join and which do not.

The words and codes are those of AWS's EKS API reference and user guide, named at each test.
"""

import json
import time

import pytest
from test_eks_desk import NODE_ACTIONS, EksDesk, allow, ask, bearer, policy, told

from embedded_aws.services.eks.machines import MACHINES


@pytest.fixture(scope="module")
def desk(aws):
    desk = EksDesk(aws.session("client-1"), "eks-clusters")
    desk.network()
    yield desk
    desk.clear()


@pytest.fixture(scope="module")
def role(desk):
    return desk.role("cluster", "eks.amazonaws.com")


@pytest.fixture(scope="module")
def one(desk, role):
    return desk.cluster("one", role)


@pytest.fixture(scope="module")
def node_role(desk):
    return desk.role("node", "ec2.amazonaws.com", *NODE_ACTIONS)


@pytest.fixture(scope="module")
def connected(desk, one):
    desk.connect(one["resourcesVpcConfig"]["clusterSecurityGroupId"])


def test_a_cluster_is_described_as_aws_does(desk, one):
    """Names and defaults: EKS API reference, Cluster; the default version is one of standard support."""
    assert one["status"] == "ACTIVE"
    assert one["arn"] == f"arn:aws:eks:us-east-1:444455556666:cluster/{one['name']}"
    assert one["version"] == "1.34"
    config = one["resourcesVpcConfig"]
    assert (config["endpointPublicAccess"], config["publicAccessCidrs"]) == (True, ["0.0.0.0/0"])
    assert config["vpcId"] == desk.vpc
    assert one["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.20.0.0/16"  # the VPC has 10.0.0.0/8's addresses
    assert one["upgradePolicy"] == {"supportType": "EXTENDED"}
    assert "one" in desk.eks.list_clusters()["clusters"]


WRONG = [
    ({"version": "1.28"}, "unsupported Kubernetes version 1.28"),
    ({"name": "-x"}, "Value '-x' at 'name' failed to satisfy constraint"),
    ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.77.128.0/20"}}, "overlaps with the CIDR block of the VPC"),
    ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "8.8.8.0/24"}}, "192.168.0.0/16"),
    ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.16.0.0/28"}}, "between /24 and /12"),
    ({"encryptionConfig": [{"resources": ["pods"], "provider": {"keyArn": "k"}}]}, "resources are [secrets]"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_request_that_aws_refuses(desk, role, change, words):
    refused = told(desk.eks.create_cluster, **desk.request("wrong", role) | change)
    assert refused["Code"] == "InvalidParameterException"
    assert words in refused["Message"]


def test_where_a_cluster_may_stand(desk, role):
    request = desk.request("wrong", role)

    def refusal(**config):
        merged = {**request["resourcesVpcConfig"], **config}
        return told(desk.eks.create_cluster, **request | {"resourcesVpcConfig": merged})["Message"]

    # EKS user guide, "networking requirements for VPC and subnets"
    assert refusal(subnetIds=desk.subnets[:1]) == "Subnets specified must be in at least two different AZs"
    gone = "subnet-0123456789abcdef0"
    assert refusal(subnetIds=[desk.subnets[0], gone]) == f"The subnet ID '{gone}' does not exist"
    assert "does not exist" in refusal(securityGroupIds=["sg-0123456789abcdef0"])
    closed = {"endpointPublicAccess": False, "endpointPrivateAccess": False}
    assert refusal(**closed) == "Private and public endpoint access cannot be false"
    other = desk.ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
    (group,) = desk.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [other]}])["SecurityGroups"]
    assert "does not belong to the VPC" in refusal(securityGroupIds=[group["GroupId"]])
    desk.ec2.delete_vpc(VpcId=other)


def test_a_role_that_does_not_trust_eks_makes_no_cluster(desk, node_role):
    refused = told(desk.eks.create_cluster, **desk.request("wrong", node_role))
    assert "could not be assumed because it does not exist or the trusted entity is not correct" in refused["Message"]


def test_a_disabled_key_encrypts_no_secrets(desk, role):
    kms = desk.session.client("kms")
    key = kms.create_key()["KeyMetadata"]
    with_key = {"encryptionConfig": [{"resources": ["secrets"], "provider": {"keyArn": key["Arn"]}}]}
    kms.disable_key(KeyId=key["KeyId"])
    assert "is disabled" in told(desk.eks.create_cluster, **desk.request("wrong", role, **with_key))["Message"]
    kms.enable_key(KeyId=key["KeyId"])
    assert desk.cluster("with-key", role, **with_key)["encryptionConfig"] == with_key["encryptionConfig"]
    desk.eks.delete_cluster(name="with-key")
    desk.wait("cluster_deleted", name="with-key")
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)


def test_who_may_not_pass_the_role_makes_no_cluster(desk, role, user_of):
    eks = user_of(desk, allow("eks:*")).client("eks")
    refused = told(eks.create_cluster, **desk.request("wrong", role))
    assert refused["Code"] == "AccessDeniedException"
    assert f"iam:PassRole on resource: {role}" in refused["Message"]
    # IAM user guide: the service to which a role may be passed
    only_ec2 = allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})
    eks = user_of(desk, allow("eks:*"), only_ec2).client("eks")
    assert "iam:PassRole" in told(eks.create_cluster, **desk.request("wrong", role))["Message"]


def test_a_policy_can_want_clusters_to_be_private(desk, one, user_of):
    """Service authorization reference: UpdateClusterConfig has the cluster as its resource."""
    eks = user_of(desk, allow("eks:UpdateClusterConfig", resource=one["arn"].replace("/one", "/two"))).client("eks")
    refused = told(eks.update_cluster_config, name="one", deletionProtection=True)
    assert f"eks:UpdateClusterConfig on resource: {one['arn']}" in refused["Message"]


@pytest.fixture
def user_of(request):
    def make(desk, *statements):
        name = f"user-of-eks-{time.monotonic_ns()}"
        desk.iam.create_user(UserName=name)
        desk.iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=policy(*statements))
        key = desk.iam.create_access_key(UserName=name)["AccessKey"]

        def clear():
            desk.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
            desk.iam.delete_user_policy(UserName=name, PolicyName="may")
            desk.iam.delete_user(UserName=name)

        request.addfinalizer(clear)

        class As:
            def client(self, service):
                keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
                return desk.session.client(service, **keys)

        return As()

    return make


def test_a_cluster_has_its_name_alone(desk, one, role):
    refused = told(desk.eks.create_cluster, **desk.request("one", role))
    assert (refused["Code"], refused["Message"]) == ("ResourceInUseException", "Cluster already exists with name: one")


def test_a_node_whose_role_cannot_pull_does_not_join(desk, one, connected):
    """EKS user guide, "Nodes fail to join cluster": the node role lacks the permissions."""
    weak = desk.role("weak", "ec2.amazonaws.com", *(name for name in NODE_ACTIONS if name != "ecr:BatchGetImage"))
    group = desk.nodes("one", weak)
    assert group["status"] == "CREATE_FAILED"
    (issue,) = group["health"]["issues"]
    assert issue["code"] == "NodeCreationFailure"
    assert issue["message"].startswith("Instances failed to join the kubernetes cluster")
    assert "ecr:BatchGetImage" in issue["message"]
    desk.drop_nodes("one")


def test_nodes_join_and_leave(desk, one, node_role, connected):
    group = desk.nodes(
        "one", node_role, labels={"team": "fl"}, scalingConfig={"minSize": 1, "maxSize": 3, "desiredSize": 2}
    )
    assert (group["status"], group["health"]) == ("ACTIVE", {"issues": []})
    assert (group["amiType"], group["instanceTypes"]) == ("AL2023_x86_64_STANDARD", ["t3.medium"])  # API reference
    token = bearer(desk.session, "one")
    _, nodes = ask(one, "/api/v1/nodes", token)
    notes = [{"Name": "description", "Values": ["EKS node of ng in one"]}]
    standing = desk.ec2.describe_network_interfaces(Filters=notes)["NetworkInterfaces"]
    addresses = {one_["PrivateIpAddress"]: one_ for one_ in standing}
    assert len(nodes["items"]) == len(addresses) == 2
    for node in nodes["items"]:
        status, labels = node["status"], node["metadata"]["labels"]
        (address,) = [row["address"] for row in status["addresses"] if row["type"] == "InternalIP"]
        assert labels["topology.kubernetes.io/zone"] == addresses[address]["AvailabilityZone"]
        assert labels["eks.amazonaws.com/nodegroup"] == "ng"
        assert labels["team"] == "fl"
        assert {row["type"]: row["status"] for row in status["conditions"]}["Ready"] == "True"
        # a t3.medium: EC2's page of instance types; 17 pods: amazon-eks-ami's table
        assert (status["capacity"]["cpu"], status["capacity"]["pods"]) == ("2", "17")
        assert status["allocatable"]["cpu"] == "1930m"  # 6 % of the first processor, 1 % of the second are kept
    assert {row["Groups"][0]["GroupId"] for row in standing} == {one["resourcesVpcConfig"]["clusterSecurityGroupId"]}
    refused = told(desk.eks.delete_cluster, name="one")
    assert (refused["Code"], refused["Message"]) == ("ResourceInUseException", "Cluster has nodegroups attached")

    named = {"clusterName": "one", "nodegroupName": "ng"}
    change = {"addOrUpdateLabels": {"team": "ml"}}
    update = desk.eks.update_nodegroup_config(**named, scalingConfig={"desiredSize": 1}, labels=change)["update"]
    assert (update["type"], update["status"]) == ("ConfigUpdate", "InProgress")
    desk.settled("one")
    _, nodes = ask(one, "/api/v1/nodes", token)
    assert [node["metadata"]["labels"]["team"] for node in nodes["items"]] == ["ml"]
    ended = desk.eks.describe_update(name="one", updateId=update["id"], nodegroupName="ng")["update"]
    assert ended["status"] == "Successful"
    too_many = told(desk.eks.update_nodegroup_config, **named, scalingConfig={"desiredSize": 5})["Message"]
    assert too_many == "desired capacity 5 can't be greater than max size 3"
    desk.drop_nodes("one")
    assert ask(one, "/api/v1/nodes", token)[1]["items"] == []
    assert not desk.ec2.describe_network_interfaces(Filters=notes)["NetworkInterfaces"]


@pytest.mark.parametrize("missing", ["ec2", "ecr.api", "ecr.dkr", "s3"])
def test_a_private_node_needs_each_endpoint(aws, missing):
    """EKS user guide, "Deploy private clusters with limited internet access"."""
    desk = EksDesk(aws.session("client-2"), f"without-{missing.replace('.', '-')}")
    try:
        desk.network("10.79")
        made = desk.cluster(desk.name, desk.role("cluster", "eks.amazonaws.com"))
        services = tuple(name for name in ("ec2", "ecr.api", "ecr.dkr") if name != missing)
        desk.connect(made["resourcesVpcConfig"]["clusterSecurityGroupId"], services, s3=missing != "s3")
        group = desk.nodes(desk.name, desk.role("node", "ec2.amazonaws.com", *NODE_ACTIONS))
        assert group["status"] == "CREATE_FAILED"
        assert f"does not reach {missing}:" in group["health"]["issues"][0]["message"]
    finally:
        desk.clear()


def test_a_group_that_cannot_grow_is_degraded_until_it_can(aws):
    """EKS API reference, Nodegroup: DEGRADED; the nodes that are there work on."""
    desk = EksDesk(aws.session("client-2"), "growing")
    try:
        desk.network("10.82")
        made = desk.cluster("growing", desk.role("cluster", "eks.amazonaws.com"))
        desk.connect(made["resourcesVpcConfig"]["clusterSecurityGroupId"], ("ec2", "ecr.api", "ecr.dkr"))
        desk.nodes("growing", desk.role("node", "ec2.amazonaws.com", *NODE_ACTIONS))
        desk.ec2.delete_vpc_endpoints(VpcEndpointIds=desk.endpoints[:1])
        named = {"clusterName": "growing", "nodegroupName": "ng"}
        update = desk.eks.update_nodegroup_config(**named, scalingConfig={"desiredSize": 2})["update"]
        group = desk.settled("growing")
        assert (group["status"], group["health"]["issues"][0]["code"]) == ("DEGRADED", "NodeCreationFailure")
        assert desk.eks.describe_update(name="growing", updateId=update["id"])["update"]["status"] == "Failed"
        token = bearer(desk.session, "growing")
        assert len(ask(made, "/api/v1/nodes", token)[1]["items"]) == 1
        del desk.endpoints[0]
        desk.connect(made["resourcesVpcConfig"]["clusterSecurityGroupId"], ("ec2",), s3=False)
        desk.eks.update_nodegroup_config(**named, scalingConfig={"desiredSize": 2})
        assert desk.settled("growing")["status"] == "ACTIVE"
        assert len(ask(made, "/api/v1/nodes", token)[1]["items"]) == 2
    finally:
        desk.clear()


def test_a_node_role_must_trust_ec2(desk, one, role):
    named = {"clusterName": "one", "nodegroupName": "ng", "subnets": desk.subnets}
    refused = told(desk.eks.create_nodegroup, **named, nodeRole=role)
    assert "[ec2.amazonaws.com] were not found in the trust relationships of nodeRole" in refused["Message"]


def test_one_minor_version_at_a_time(desk, role):
    """EKS user guide, "Update existing cluster to new Kubernetes version"."""
    made = desk.cluster("older", role, version="1.33")
    words = "Unsupported Kubernetes minor version update from 1.33 to 1.35"
    assert told(desk.eks.update_cluster_version, name="older", version="1.35")["Message"] == words
    update = desk.eks.update_cluster_version(name="older", version="1.34")["update"]
    assert desk.eks.describe_cluster(name="older")["cluster"]["status"] == "UPDATING"
    busy = told(desk.eks.update_cluster_config, name="older", deletionProtection=True)
    assert busy["Code"] == "ResourceInUseException"
    desk.wait("cluster_active", name="older")
    assert desk.eks.describe_cluster(name="older")["cluster"]["version"] == "1.34"
    assert ask(made, "/version", bearer(desk.session, "older"))[1]["minor"].startswith("34")
    assert desk.eks.describe_update(name="older", updateId=update["id"])["update"]["status"] == "Successful"

    desk.eks.update_cluster_config(name="older", resourcesVpcConfig={"endpointPublicAccess": False})
    desk.wait("cluster_active", name="older")
    config = desk.eks.describe_cluster(name="older")["cluster"]["resourcesVpcConfig"]
    assert (config["endpointPublicAccess"], config["publicAccessCidrs"]) == (False, [])
    desk.eks.update_cluster_config(name="older", logging={"clusterLogging": [{"types": ["audit"], "enabled": True}]})
    desk.wait("cluster_active", name="older")
    rows = desk.eks.describe_cluster(name="older")["cluster"]["logging"]["clusterLogging"]
    assert rows[0] == {"types": ["audit"], "enabled": True}
    desk.eks.update_cluster_config(name="older", deletionProtection=True)
    desk.wait("cluster_active", name="older")
    assert told(desk.eks.delete_cluster, name="older")["Code"] == "InvalidRequestException"
    desk.eks.update_cluster_config(name="older", deletionProtection=False)
    desk.wait("cluster_active", name="older")
    assert made["endpoint"] == desk.eks.describe_cluster(name="older")["cluster"]["endpoint"]
    desk.eks.delete_cluster(name="older")
    desk.wait("cluster_deleted", name="older")
    assert told(desk.eks.describe_cluster, name="older")["Message"] == "No cluster found for name: older."


def test_add_ons(desk, one):
    named = {"clusterName": "one", "addonName": "vpc-cni"}
    assert desk.eks.create_addon(**named, configurationValues=json.dumps({"enableNetworkPolicy": "true"}))
    desk.wait("addon_active", **named)
    assert desk.eks.describe_addon(**named)["addon"]["addonVersion"].startswith("v1.")
    assert told(desk.eks.create_addon, **named)["Code"] == "ResourceInUseException"
    refused = told(desk.eks.create_addon, clusterName="one", addonName="aws-ebs-csi-driver")
    assert "not supported" in refused["Message"]
    # A Deployment without a node: EKS API reference, AddonIssue, InsufficientNumberOfReplicas
    desk.eks.create_addon(clusterName="one", addonName="coredns")
    give_up = time.monotonic() + 5
    while (dns := desk.eks.describe_addon(clusterName="one", addonName="coredns")["addon"])["status"] == "CREATING":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert (dns["status"], dns["health"]["issues"][0]["code"]) == ("DEGRADED", "InsufficientNumberOfReplicas")
    assert desk.eks.list_addons(clusterName="one")["addons"] == ["coredns", "vpc-cni"]
    (proxy,) = desk.eks.describe_addon_versions(addonName="kube-proxy", kubernetesVersion="1.33")["addons"]
    assert proxy["addonVersions"][0]["addonVersion"].startswith("v1.33.")
    for name in ("coredns", "vpc-cni"):
        desk.eks.delete_addon(clusterName="one", addonName=name)
        desk.wait("addon_deleted", clusterName="one", addonName=name)


def test_tags(desk, one):
    desk.eks.tag_resource(resourceArn=one["arn"], tags={"team": "fl", "stage": "test"})
    desk.eks.untag_resource(resourceArn=one["arn"], tagKeys=["stage"])
    assert desk.eks.list_tags_for_resource(resourceArn=one["arn"])["tags"] == {"team": "fl"}


def test_what_is_not_understood_is_refused_by_name(desk, role):
    request = desk.request("wrong", role, computeConfig={"enabled": True})
    assert "the member computeConfig of eks:CreateCluster" in told(desk.eks.create_cluster, **request)["Message"]
    by_map = desk.request("wrong", role, accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    assert "API_AND_CONFIG_MAP" in told(desk.eks.create_cluster, **by_map)["Message"]


def test_pods_of_a_machine_follow_from_its_interfaces():
    """amazon-eks-ami's eni-max-pods.txt: interfaces x (addresses - 1) + 2; t3.medium has 3 of 6, m5.large 3 of 10."""
    assert MACHINES["t3.medium"].pods == 3 * (6 - 1) + 2
    assert MACHINES["m5.large"].pods == 3 * (10 - 1) + 2
    assert MACHINES["t3.small"].pods == 3 * (4 - 1) + 2

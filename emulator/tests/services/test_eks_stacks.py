"""Stacks with a cluster, its nodes, add-ons, entries and associations: made, changed, rolled back and taken away.

Attributes and what needs a replacement: AWS, CloudFormation template reference, AWS::EKS::* and AWS::ECR::Repository.
"""

import json

import pytest
from stack_desk import StackDesk, changed
from test_eks_desk import NODE_ACTIONS, EksDesk

PREFIX = "arn:aws:eks::aws:cluster-access-policy/"


@pytest.fixture(scope="module")
def desk(aws):
    desk = EksDesk(aws.session("client-1"), "eks-stacks")
    desk.network("10.81")
    yield desk
    desk.clear()


@pytest.fixture(scope="module")
def stacks(aws, desk):
    stacks = StackDesk(aws.session("client-1"))
    yield stacks
    stacks.clear()


@pytest.fixture(scope="module")
def resources(desk):
    cluster = {
        "Name": "stacked", "RoleArn": desk.role("cluster", "eks.amazonaws.com"), "Version": "1.33",
        "AccessConfig": {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": "true"},
        "ResourcesVpcConfig": {"SubnetIds": desk.subnets, "EndpointPrivateAccess": True},
        "Logging": {"ClusterLogging": {"EnabledTypes": [{"Type": "audit"}]}},
        "Tags": [{"Key": "team", "Value": "fl"}],
    }  # fmt: skip
    group = {"Fn::GetAtt": ["Cluster", "ClusterSecurityGroupId"]}
    services = ("ec2", "ecr.api", "ecr.dkr")
    table = desk.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [desk.vpc]}])["RouteTables"][0]
    ends = {
        f"End{number}": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": desk.vpc, "ServiceName": f"com.amazonaws.us-east-1.{name}", "VpcEndpointType": "Interface",
                "SubnetIds": desk.subnets, "SecurityGroupIds": [group], "PrivateDnsEnabled": True,
            },
        }
        for number, name in enumerate(services)
    }  # fmt: skip
    s3 = {"VpcId": desk.vpc, "ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": [table["RouteTableId"]]}
    ends["End3"] = {"Type": "AWS::EC2::VPCEndpoint", "Properties": s3}
    node = desk.role("node", "ec2.amazonaws.com", *NODE_ACTIONS)
    pod = desk.role("pod", "pods.eks.amazonaws.com", trusted=("sts:AssumeRole", "sts:TagSession"))
    nodes = {
        "ClusterName": {"Ref": "Cluster"}, "NodegroupName": "ng", "NodeRole": node, "Subnets": desk.subnets,
        "ScalingConfig": {"MinSize": "1", "DesiredSize": "1", "MaxSize": "2"}, "Labels": {"team": "fl"},
        "Tags": {"team": "fl"},
    }  # fmt: skip
    view = {"PolicyArn": f"{PREFIX}AmazonEKSViewPolicy", "AccessScope": {"Type": "namespace", "Namespaces": ["fl"]}}
    in_cluster = {"ClusterName": {"Ref": "Cluster"}}
    entry = {**in_cluster, "PrincipalArn": pod, "AccessPolicies": [view]}
    return {
        "Cluster": {"Type": "AWS::EKS::Cluster", "Properties": cluster},
        **ends,
        "Nodes": {"Type": "AWS::EKS::Nodegroup", "Properties": nodes, "DependsOn": list(ends)},
        "Dns": {"Type": "AWS::EKS::Addon", "Properties": {**in_cluster, "AddonName": "coredns"}, "DependsOn": "Nodes"},
        "Entry": {"Type": "AWS::EKS::AccessEntry", "Properties": entry},
        "Pods": {
            "Type": "AWS::EKS::PodIdentityAssociation",
            "Properties": {**in_cluster, "Namespace": "fl", "ServiceAccount": "agent", "RoleArn": pod},
        },
    }  # fmt: skip


def body(resources, **outputs):
    told = {name: {"Value": {"Fn::GetAtt": list(where)}} for name, where in outputs.items()}
    return json.dumps({"Resources": resources, **({"Outputs": told} if told else {})})


def test_a_cluster_in_a_stack(desk, stacks, resources):
    outputs = {
        "Arn": ("Cluster", "Arn"), "Ca": ("Cluster", "CertificateAuthorityData"), "Endpoint": ("Cluster", "Endpoint"),
        "Group": ("Cluster", "ClusterSecurityGroupId"), "NodesArn": ("Nodes", "Arn"), "DnsArn": ("Dns", "Arn"),
        "EntryArn": ("Entry", "AccessEntryArn"), "PodsId": ("Pods", "AssociationId"),
    }  # fmt: skip
    made = stacks.create("stacked", body(resources, **outputs))
    assert made["StackStatus"] == "CREATE_COMPLETE", stacks.reasons("stacked")
    told = desk.eks.describe_cluster(name="stacked")["cluster"]
    values = stacks.outputs("stacked")
    assert values["Arn"] == told["arn"]
    assert values["Ca"] == told["certificateAuthority"]["data"]
    assert values["Endpoint"] == told["endpoint"]
    assert values["Group"] == told["resourcesVpcConfig"]["clusterSecurityGroupId"]
    assert told["tags"]["team"] == "fl"
    assert told["tags"]["aws:cloudformation:stack-name"] == "stacked"
    assert values["NodesArn"].startswith("arn:aws:eks:us-east-1:444455556666:nodegroup/stacked/ng/")
    assert values["PodsId"].startswith("a-")
    # The physical ids that Ref gives: cluster, cluster/group, cluster|addon, principal|cluster
    physical = {name: stacks.physical("stacked", name) for name in ("Cluster", "Nodes", "Dns", "Entry")}
    role = resources["Entry"]["Properties"]["PrincipalArn"]
    assert physical == {
        "Cluster": "stacked", "Nodes": "stacked/ng", "Dns": "stacked|coredns", "Entry": f"{role}|stacked",
    }  # fmt: skip

    bigger = {"ScalingConfig": {"MinSize": 1, "DesiredSize": 2, "MaxSize": 2}, "Labels": {"stage": "test"}}
    new = {
        **resources,
        "Cluster": changed(resources["Cluster"], Version="1.34", Tags=[], Logging=None),
        "Nodes": changed(resources["Nodes"], **bigger),
        "Entry": changed(resources["Entry"], AccessPolicies=[], KubernetesGroups=["fl"]),
    }
    assert stacks.update("stacked", body(new))["StackStatus"] == "UPDATE_COMPLETE", stacks.reasons("stacked")
    told = desk.eks.describe_cluster(name="stacked")["cluster"]
    assert (told["version"], told["endpoint"]) == ("1.34", values["Endpoint"])
    assert "team" not in told["tags"]
    assert [row["enabled"] for row in told["logging"]["clusterLogging"]] == [False]
    group = desk.eks.describe_nodegroup(clusterName="stacked", nodegroupName="ng")["nodegroup"]
    assert (group["scalingConfig"]["desiredSize"], group["labels"]) == (2, {"stage": "test"})
    named = {"clusterName": "stacked", "principalArn": role}
    assert desk.eks.list_associated_access_policies(**named)["associatedAccessPolicies"] == []
    assert desk.eks.describe_access_entry(**named)["accessEntry"]["kubernetesGroups"] == ["fl"]

    other = {**new, "Cluster": changed(new["Cluster"], AccessConfig={"AuthenticationMode": "API_AND_CONFIG_MAP"})}
    assert stacks.update("stacked", body(other))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "AccessConfig of a cluster is not changed here" in stacks.reasons("stacked")["Cluster"]

    assert stacks.delete("stacked")["StackStatus"] == "DELETE_COMPLETE"
    assert "stacked" not in desk.eks.list_clusters()["clusters"]


def test_nodes_that_do_not_join_roll_the_stack_back(desk, stacks, resources):
    """EKS user guide, "Nodes fail to join cluster"; CloudFormation then deletes what it has made."""
    without = {name: one for name, one in resources.items() if name in ("Cluster", "Nodes")}
    without["Nodes"] = {key: value for key, value in without["Nodes"].items() if key != "DependsOn"}
    made = stacks.create("lonely", body(without))
    assert made["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = stacks.reasons("lonely")["Nodes"]
    assert "NodeCreationFailure" in reason
    assert "Instances failed to join the kubernetes cluster" in reason
    assert "stacked" not in desk.eks.list_clusters()["clusters"]


def test_what_would_not_take_effect_is_refused(stacks, resources):
    """A typo, and a setting that is not served."""
    for config in ({"EndpointPublicAcess": False}, {"ControlPlaneEgressMode": "AWS_MANAGED"}):
        merged = {**resources["Cluster"]["Properties"]["ResourcesVpcConfig"], **config}
        wrong = {"Cluster": changed(resources["Cluster"], ResourcesVpcConfig=merged)}
        name = f"wrong-{len(next(iter(config)))}"
        assert stacks.create(name, body(wrong))["StackStatus"] == "ROLLBACK_COMPLETE"
        assert f"unsupported property {next(iter(config))}" in stacks.reasons(name)["Cluster"]


def test_a_repository_in_a_stack(desk, stacks):
    own = {"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": ["ecr:BatchGetImage"]}
    properties = {
        "RepositoryName": "fl/stacked", "ImageTagMutability": "IMMUTABLE", "EmptyOnDelete": True,
        "ImageScanningConfiguration": {"ScanOnPush": "true"},
        "RepositoryPolicyText": {"Version": "2012-10-17", "Statement": [own]},
    }  # fmt: skip
    images = {"Type": "AWS::ECR::Repository", "Properties": properties}
    made = stacks.create("images", body({"Images": images}, Uri=("Images", "RepositoryUri"), Arn=("Images", "Arn")))
    assert made["StackStatus"] == "CREATE_COMPLETE", stacks.reasons("images")
    ecr = desk.session.client("ecr")
    (told,) = ecr.describe_repositories(repositoryNames=["fl/stacked"])["repositories"]
    assert told["imageTagMutability"] == "IMMUTABLE"
    assert told["imageScanningConfiguration"] == {"scanOnPush": True}
    assert stacks.outputs("images") == {"Uri": told["repositoryUri"], "Arn": told["repositoryArn"]}
    new = changed(images, ImageTagMutability="MUTABLE", RepositoryPolicyText=None)
    assert stacks.update("images", body({"Images": new}))["StackStatus"] == "UPDATE_COMPLETE"
    (told,) = ecr.describe_repositories(repositoryNames=["fl/stacked"])["repositories"]
    assert told["imageTagMutability"] == "MUTABLE"
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName="fl/stacked")
    assert stacks.delete("images")["StackStatus"] == "DELETE_COMPLETE"
    assert ecr.describe_repositories()["repositories"] == []

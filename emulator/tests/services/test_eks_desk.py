"""A desk for the tests of EKS: roles, a private network, clusters, tokens; and that it leaves nothing behind."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks-auth")
# What AmazonEKSWorkerNodePolicy and AmazonEC2ContainerRegistryPullOnly allow, of what is asked for here.
NODE_ACTIONS = (
    "eks:DescribeCluster", "ec2:DescribeInstances", "eks-auth:AssumeRoleForPodIdentity", "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
)  # fmt: skip


def trust(service: str, *actions: str, **condition: Any) -> str:
    """Return a trust policy for a service."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions) or "sts:AssumeRole"}
    return policy(statement | ({"Condition": condition} if condition else {}))


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def bearer(session: boto3.Session, cluster: str, seconds: int = 60, **client: Any) -> str:
    """Return a token as ``aws eks get-token`` makes it; AWS CLI, awscli/customizations/eks/get_token.py."""
    sts = session.client("sts", **client)

    def name_it(request: Any, **_: Any) -> None:
        request.headers.add_header("x-k8s-aws-id", cluster)

    sts.meta.events.register("before-sign.sts.GetCallerIdentity", name_it)
    return encoded(sts.generate_presigned_url("get_caller_identity", ExpiresIn=seconds, HttpMethod="GET"))


def encoded(url: str) -> str:
    """Return a URL as a token."""
    return f"k8s-aws-v1.{base64.urlsafe_b64encode(url.encode()).decode().rstrip('=')}"


def url_of(token: str) -> str:
    """Return the URL in a token."""
    text = token.removeprefix("k8s-aws-v1.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def ask(cluster: dict[str, Any], path: str, token: str | None) -> tuple[int, Any]:
    """Ask a cluster's API, whose certificate must be of the CA that EKS tells; return status and answer."""
    trusted = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(cluster["endpoint"] + path, headers=headers)  # noqa: S310 - https, see the check
    assert cluster["endpoint"].startswith("https://127.0.0.1:")
    try:
        context = ssl.create_default_context(cadata=trusted)
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


class EksDesk:
    """One account's EKS, and what a cluster needs."""

    def __init__(self, session: boto3.Session, name: str) -> None:
        self.session, self.name = session, name
        self.eks, self.ec2, self.iam = (session.client(service) for service in ("eks", "ec2", "iam"))
        self.roles: list[str] = []
        self.vpc, self.subnets, self.endpoints = "", [], []

    def role(self, name: str, service: str, *actions: str, trusted: tuple[str, ...] = (), **condition: Any) -> str:
        """Make a role that a service may take; return its ARN."""
        name = f"{self.name}-{name}"
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service, *trusted, **condition))
        self.roles.append(name)
        if actions:
            self.iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy(allow(*actions)))
        return made["Role"]["Arn"]

    def network(self, cidr: str = "10.77") -> list[str]:
        """Make a VPC without internet, with subnets in two zones that have interface endpoints."""
        self.vpc = self.ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
        self.ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        services = self.ec2.describe_vpc_endpoint_services(ServiceNames=["com.amazonaws.us-east-1.ec2"])
        zones = services["ServiceDetails"][0]["AvailabilityZones"][:2]
        for number, zone in enumerate(zones):
            block = f"{cidr}.{number}.0/24"
            subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=block, AvailabilityZone=zone)
            self.subnets.append(subnet["Subnet"]["SubnetId"])
        return self.subnets

    def connect(self, group: str, services: tuple[str, ...] = ENDPOINTS, *, s3: bool = True) -> None:
        """Make the endpoints through which nodes of a cluster reach AWS."""
        names = {"VpcId": self.vpc}
        for service in services:
            made = self.ec2.create_vpc_endpoint(
                **names, ServiceName=f"com.amazonaws.us-east-1.{service}", VpcEndpointType="Interface",
                SubnetIds=self.subnets, SecurityGroupIds=[group], PrivateDnsEnabled=True,
            )  # fmt: skip
            self.endpoints.append(made["VpcEndpoint"]["VpcEndpointId"])
        if s3:
            (table,) = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["RouteTables"]
            made = self.ec2.create_vpc_endpoint(
                **names, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway",
                RouteTableIds=[table["RouteTableId"]],
            )  # fmt: skip
            self.endpoints.append(made["VpcEndpoint"]["VpcEndpointId"])

    def request(self, name: str, role: str, **more: Any) -> dict[str, Any]:
        """Return a request for a private cluster."""
        return {
            "name": name, "roleArn": role, "accessConfig": {"authenticationMode": "API"},
            "resourcesVpcConfig": {"subnetIds": self.subnets, "endpointPrivateAccess": True}, **more,
        }  # fmt: skip

    def cluster(self, name: str, role: str, **more: Any) -> dict[str, Any]:
        """Make a cluster and wait for it as boto3 does; return its description."""
        self.eks.create_cluster(**self.request(name, role, **more))
        self.wait("cluster_active", name=name)
        return self.eks.describe_cluster(name=name)["cluster"]

    def nodes(self, cluster: str, role: str, name: str = "ng", **more: Any) -> dict[str, Any]:
        """Make a node group; return its description when nothing is being done to it."""
        sizes = {"minSize": 0, "maxSize": 3, "desiredSize": 1}
        named = {"clusterName": cluster, "nodegroupName": name}
        self.eks.create_nodegroup(
            **{**named, "subnets": self.subnets, "nodeRole": role, "scalingConfig": sizes, **more}
        )
        return self.settled(cluster, name)

    def settled(self, cluster: str, name: str = "ng") -> dict[str, Any]:
        """Return a node group when nothing is being done to it."""
        give_up = time.monotonic() + 10
        while True:
            told = self.eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            if told["status"] not in ("CREATING", "UPDATING"):
                return told
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def drop_nodes(self, cluster: str, name: str = "ng") -> None:
        """Delete a node group, and wait."""
        self.eks.delete_nodegroup(clusterName=cluster, nodegroupName=name)
        self.wait("nodegroup_deleted", clusterName=cluster, nodegroupName=name)

    def wait(self, waiter: str, **named: str) -> None:
        """Wait with one of boto3's waiters, which here looks more often."""
        waiting = self.eks.get_waiter(waiter)
        waiting.config.delay = 0.05
        waiting.config.max_attempts = 200
        waiting.wait(**named)

    def clear(self) -> None:
        """Delete everything; whatever a test did, that must work."""
        if self.endpoints:
            self.ec2.delete_vpc_endpoints(VpcEndpointIds=self.endpoints)
        mine = [
            name
            for name in self.eks.list_clusters()["clusters"]
            if self.eks.describe_cluster(name=name)["cluster"]["resourcesVpcConfig"]["vpcId"] == self.vpc
        ]
        for name in mine:
            for group in self.eks.list_nodegroups(clusterName=name)["nodegroups"]:
                self.settled(name, group)
                self.drop_nodes(name, group)
            self.wait("cluster_active", name=name)
            self.eks.delete_cluster(name=name)
            self.wait("cluster_deleted", name=name)
        for subnet in self.subnets:
            self.ec2.delete_subnet(SubnetId=subnet)
        if self.vpc:
            self.ec2.delete_vpc(VpcId=self.vpc)
        for role in self.roles:
            for name in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
                self.iam.delete_role_policy(RoleName=role, PolicyName=name)
            self.iam.delete_role(RoleName=role)


def told(call: Any, **request: Any) -> dict[str, Any]:
    """Return the error with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        call(**request)
    return refused.value.response["Error"]


def test_what_a_cluster_made_goes_with_it(aws):
    """A VPC cannot be deleted while a group or an interface is in it: EC2 API reference, DeleteVpc."""
    desk = EksDesk(aws.session("client-2"), "leaving")
    desk.network()
    made = desk.cluster("leaving", desk.role("cluster", "eks.amazonaws.com"))
    vpc = [{"Name": "vpc-id", "Values": [desk.vpc]}]
    group = made["resourcesVpcConfig"]["clusterSecurityGroupId"]
    names = {
        one["GroupId"]: one["GroupName"] for one in desk.ec2.describe_security_groups(Filters=vpc)["SecurityGroups"]
    }
    assert names[group].startswith("eks-cluster-sg-leaving-")  # EKS user guide, "security group requirements"
    standing = desk.ec2.describe_network_interfaces(Filters=vpc)["NetworkInterfaces"]
    assert {one["SubnetId"] for one in standing} == set(desk.subnets)
    assert {one["Description"] for one in standing} == {"Amazon EKS leaving"}
    desk.clear()
    assert not desk.ec2.describe_vpcs(Filters=vpc)["Vpcs"]

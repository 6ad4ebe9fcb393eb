"""Networks of stacks: rules that are really set, peering that is active on both sides, and nothing left behind."""

import json
import re

import pytest
from botocore.exceptions import ClientError
from stack_desk import ROLE, TRUST, VPC, StackDesk, changed, template

SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "V"}, "CidrBlock": "10.9.1.0/24"}}
TABLE = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "V"}}}
GROUP = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "of a stack", "VpcId": {"Ref": "V"}}}
FLOWER = {"IpProtocol": "tcp", "FromPort": 9092, "ToPort": "9092"}


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


@pytest.fixture
def peer(aws):
    desk = StackDesk(aws.session("client-2"))
    yield desk
    desk.clear()


def rules(desk, group, side):
    (told,) = desk.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return told["IpPermissionsEgress" if side == "egress" else "IpPermissions"]


def cidrs(desk, group, side):
    return sorted(one["CidrIp"] for rule in rules(desk, group, side) for one in rule["IpRanges"])


def test_dns_of_a_vpc_is_as_asked_for(desk):
    desk.create("dns", template(V=changed(VPC, EnableDnsSupport=False, EnableDnsHostnames="false")))
    told = {"VpcId": desk.physical("dns", "V")}
    ec2 = desk.client("ec2")
    assert not ec2.describe_vpc_attribute(Attribute="enableDnsSupport", **told)["EnableDnsSupport"]["Value"]
    desk.update("dns", template(V=changed(VPC, EnableDnsHostnames=True)))
    assert ec2.describe_vpc_attribute(Attribute="enableDnsSupport", **told)["EnableDnsSupport"]["Value"]
    assert ec2.describe_vpc_attribute(Attribute="enableDnsHostnames", **told)["EnableDnsHostnames"]["Value"]


def test_egress_rules_take_the_place_of_the_open_door(desk):
    desk.create("open", template(V=VPC, G=GROUP))
    group = desk.physical("open", "G")
    assert cidrs(desk, group, "egress") == ["0.0.0.0/0"]
    out = [{**FLOWER, "CidrIp": "10.1.0.0/16", "Description": "to the server"}]
    desk.update("open", template(V=VPC, G=changed(GROUP, SecurityGroupEgress=out)))
    (rule,) = rules(desk, group, "egress")
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 9092, 9092)
    assert rule["IpRanges"] == [{"CidrIp": "10.1.0.0/16", "Description": "to the server"}]
    desk.update("open", template(V=VPC, G=GROUP))
    assert cidrs(desk, group, "egress") == ["0.0.0.0/0"]


def test_rules_beside_their_group_point_to_groups_and_prefix_lists(desk):
    lists = desk.client("ec2").describe_managed_prefix_lists()["PrefixLists"]
    s3 = next(one["PrefixListId"] for one in lists if one["PrefixListName"].endswith(".s3"))
    to_s3 = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "DestinationPrefixListId": s3}
    body = template(
        V=VPC,
        G=changed(GROUP, SecurityGroupEgress=[{**FLOWER, "CidrIp": "10.1.0.0/16"}]),
        H=GROUP,
        In={
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {**FLOWER, "GroupId": {"Ref": "G"}, "SourceSecurityGroupId": {"Ref": "H"}},
        },
        Out={"Type": "AWS::EC2::SecurityGroupEgress", "Properties": {**to_s3, "GroupId": {"Ref": "G"}}},
    )
    desk.create("beside", body)
    group, other = desk.physical("beside", "G"), desk.physical("beside", "H")
    (into,) = rules(desk, group, "ingress")
    assert [pair["GroupId"] for pair in into["UserIdGroupPairs"]] == [other]
    assert [one["PrefixListId"] for rule in rules(desk, group, "egress") for one in rule["PrefixListIds"]] == [s3]
    desk.update(
        "beside", template(V=VPC, G=changed(GROUP, SecurityGroupEgress=[{**FLOWER, "CidrIp": "10.1.0.0/16"}]), H=GROUP)
    )
    assert rules(desk, group, "ingress") == []
    assert cidrs(desk, group, "egress") == ["10.1.0.0/16"]


def test_a_rule_with_two_peers_is_refused(desk):
    wrong = [{**FLOWER, "CidrIp": "10.1.0.0/16", "SourceSecurityGroupId": "sg-1"}]
    desk.create("two", template(V=VPC, G=changed(GROUP, SecurityGroupIngress=wrong)))
    assert "needs exactly one of" in desk.reasons("two")["G"]


def test_endpoints_are_in_route_tables_and_subnets(desk):
    s3 = {"VpcId": {"Ref": "V"}, "ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": [{"Ref": "T"}]}
    api = {
        "VpcId": {"Ref": "V"},
        "ServiceName": "com.amazonaws.us-east-1.sagemaker.api",
        "VpcEndpointType": "Interface",
        "SubnetIds": [{"Ref": "S"}],
        "SecurityGroupIds": [{"Ref": "G"}],
        "PrivateDnsEnabled": True,
    }
    endpoints = {name: {"Type": "AWS::EC2::VPCEndpoint", "Properties": p} for name, p in (("E", s3), ("I", api))}
    network = {"V": changed(VPC, EnableDnsHostnames=True), "S": SUBNET, "T": TABLE, "G": GROUP}
    desk.create("endpoints", template(**network, **endpoints))
    ec2 = desk.client("ec2")
    (table,) = ec2.describe_route_tables(RouteTableIds=[desk.physical("endpoints", "T")])["RouteTables"]
    assert desk.physical("endpoints", "E") in [route.get("GatewayId") for route in table["Routes"]]
    (told,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[desk.physical("endpoints", "I")])["VpcEndpoints"]
    assert told["PrivateDnsEnabled"]
    (eni,) = ec2.describe_network_interfaces(NetworkInterfaceIds=told["NetworkInterfaceIds"])["NetworkInterfaces"]
    assert eni["PrivateIpAddress"].startswith("10.9.1.")
    assert [group["GroupId"] for group in eni["Groups"]] == [desk.physical("endpoints", "G")]
    desk.update("endpoints", template(**network))
    (table,) = ec2.describe_route_tables(RouteTableIds=[desk.physical("endpoints", "T")])["RouteTables"]
    assert [route.get("GatewayId") for route in table["Routes"]] == ["local"]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_an_endpoint_of_no_service_is_refused(desk):
    wrong = {"VpcId": {"Ref": "V"}, "ServiceName": "com.amazonaws.us-east-1.nothing"}
    desk.create("nothing", template(V=VPC, E={"Type": "AWS::EC2::VPCEndpoint", "Properties": wrong}))
    assert "com.amazonaws.us-east-1.nothing' does not exist" in desk.reasons("nothing")["E"]


def test_a_security_group_in_use_keeps_its_stack(desk):
    desk.create("used", template(V=VPC, S=SUBNET, G=GROUP))
    ec2 = desk.client("ec2")
    groups = [desk.physical("used", "G")]
    eni = ec2.create_network_interface(SubnetId=desk.physical("used", "S"), Groups=groups)["NetworkInterface"]
    assert desk.delete("used")["StackStatus"] == "DELETE_FAILED"
    assert "DependencyViolation" in desk.reasons("used")["G"]
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    assert desk.delete("used")["StackStatus"] == "DELETE_COMPLETE"


def test_a_refusal_is_worded_as_the_handler_of_the_resource_words_it(desk):
    # The form of AWS's events; the error's code is added to it. DependencyViolation is none of the handler error codes.
    desk.create("worded", template(V=VPC, S=SUBNET, G=GROUP))
    ec2, group = desk.client("ec2"), desk.physical("worded", "G")
    eni = ec2.create_network_interface(SubnetId=desk.physical("worded", "S"), Groups=[group])["NetworkInterface"]
    desk.delete("worded")
    form = (
        rf'Resource handler returned message: "resource {group} has a dependent object \(Service: Ec2, '
        r'Status Code: 400, Request ID: [\w-]+, Error Code: DependencyViolation\)" \(RequestToken: [\w-]{36}, '
        r"HandlerErrorCode: InvalidRequest\)"
    )
    assert re.fullmatch(form, desk.reasons("worded")["G"])
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])


def test_what_is_not_found_has_its_own_handler_error_code(desk):
    rule = [{**FLOWER, "SourceSecurityGroupId": "sg-0123456789abcdef0"}]
    desk.create("unfound", template(V=VPC, G=changed(GROUP, SecurityGroupIngress=rule)))
    assert "HandlerErrorCode: NotFound" in desk.reasons("unfound")["G"]


def test_a_rule_of_a_template_names_the_group_of_a_peer(aws, desk, peer):
    peer.create("accepter", json.dumps(json.loads(accepter(aws)) | {"Outputs": {}}))
    theirs = peer.client("ec2").create_security_group(
        GroupName="theirs", Description="of the peer", VpcId=peer.physical("accepter", "V")
    )["GroupId"]
    role = f"arn:aws:iam::{aws.accounts['client-2']}:role/{peer.physical('accepter', 'Role')}"
    body = json.loads(peering(peer.physical("accepter", "V"), aws.accounts["client-2"], role))
    into = [{**FLOWER, "SourceSecurityGroupId": theirs, "SourceSecurityGroupOwnerId": aws.accounts["client-2"]}]
    out = [{**FLOWER, "DestinationSecurityGroupId": theirs}]
    group = changed(GROUP, SecurityGroupIngress=into, SecurityGroupEgress=out)
    body["Resources"]["G"] = {**group, "DependsOn": "P"}
    assert desk.create("named", json.dumps(body))["StackStatus"] == "CREATE_COMPLETE", desk.reasons("named")
    for side in ("ingress", "egress"):
        (rule,) = rules(desk, desk.physical("named", "G"), side)
        assert [pair["UserId"] for pair in rule["UserIdGroupPairs"]] == [aws.accounts["client-2"]]
    peer.client("ec2").delete_security_group(GroupId=theirs)  # the rules do not hold it
    assert desk.delete("named")["StackStatus"] == "DELETE_COMPLETE"


def test_a_template_with_the_same_rule_twice_is_refused(desk):
    twice = [{**FLOWER, "CidrIp": "10.1.0.0/16"}, {**FLOWER, "CidrIp": "10.1.0.0/16", "Description": "again"}]
    desk.create("twice", template(V=VPC, G=changed(GROUP, SecurityGroupIngress=twice)))
    assert "InvalidPermission.Duplicate" in desk.reasons("twice")["G"]


def test_a_template_does_not_connect_networks_that_overlap(aws, desk):
    desk.create("other", template(V=changed(VPC, CidrBlock="10.9.128.0/20")))
    body = peering(desk.physical("other", "V"), aws.accounts["client-3"])
    assert desk.create("overlapping", body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "overlapping CIDR range" in desk.reasons("overlapping")["P"]


def peering(vpc, account, role=None):
    connection = {"VpcId": {"Ref": "V"}, "PeerVpcId": vpc, "PeerOwnerId": account}
    if role:
        connection["PeerRoleArn"] = role
    route = {
        "RouteTableId": {"Ref": "T"},
        "DestinationCidrBlock": "10.7.0.0/16",
        "VpcPeeringConnectionId": {"Ref": "P"},
    }
    return template(
        V=VPC,
        T=TABLE,
        P={"Type": "AWS::EC2::VPCPeeringConnection", "Properties": connection},
        R={"Type": "AWS::EC2::Route", "Properties": route},
    )


def accepter(aws):
    """Return the other side: a VPC, and a role that the requester's account may take to accept."""
    trust = {"Effect": "Allow", "Principal": {"AWS": aws.accounts["client-3"]}, "Action": "sts:AssumeRole"}
    accept = {"Effect": "Allow", "Action": "ec2:AcceptVpcPeeringConnection", "Resource": "*"}
    role = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": [{"PolicyName": "accept", "PolicyDocument": {"Version": "2012-10-17", "Statement": [accept]}}],
    }
    return json.dumps(
        {
            "Resources": {
                "V": changed(VPC, CidrBlock="10.7.0.0/16"),
                "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            },
            "Outputs": {"Vpc": {"Value": {"Ref": "V"}}, "Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
        }
    )


def status(desk, connection):
    told = desk.client("ec2").describe_vpc_peering_connections(VpcPeeringConnectionIds=[connection])
    (one,) = told["VpcPeeringConnections"]
    return one["Status"]["Code"]


def test_peering_across_accounts_is_active_and_gone_on_both_sides(aws, desk, peer):
    peer.create("accepter", accepter(aws))
    other = peer.outputs("accepter")
    body = peering(other["Vpc"], aws.accounts["client-2"], other["Role"])
    assert desk.create("peering", body)["StackStatus"] == "CREATE_COMPLETE"
    connection = desk.physical("peering", "P")
    assert (status(desk, connection), status(peer, connection)) == ("active", "active")
    (table,) = desk.client("ec2").describe_route_tables(RouteTableIds=[desk.physical("peering", "T")])["RouteTables"]
    assert connection in [route.get("VpcPeeringConnectionId") for route in table["Routes"]]
    assert desk.delete("peering")["StackStatus"] == "DELETE_COMPLETE"
    assert (status(desk, connection), status(peer, connection)) == ("deleted", "deleted")
    assert peer.delete("accepter")["StackStatus"] == "DELETE_COMPLETE"


def test_peering_across_accounts_needs_a_role(aws, desk, peer):
    peer.create("accepter", accepter(aws))
    body = peering(peer.outputs("accepter")["Vpc"], aws.accounts["client-2"])
    assert desk.create("peering", body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "PeerRoleArn is required" in desk.reasons("peering")["P"]


def test_peering_that_the_role_may_not_accept_is_rolled_back(aws, desk, peer):
    wrong = accepter(aws).replace("ec2:AcceptVpcPeeringConnection", "ec2:DescribeVpcs")
    peer.create("accepter", wrong)
    other = peer.outputs("accepter")
    body = peering(other["Vpc"], aws.accounts["client-2"], other["Role"])
    assert desk.create("peering", body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "UnauthorizedOperation" in desk.reasons("peering")["P"] or "AccessDenied" in desk.reasons("peering")["P"]
    connections = peer.client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]
    assert {one["Status"]["Code"] for one in connections} <= {"deleted"}


def test_peering_within_an_account_is_accepted_by_itself(aws, desk):
    desk.create("other", template(V=changed(VPC, CidrBlock="10.7.0.0/16")))
    body = peering(desk.physical("other", "V"), aws.accounts["client-3"])
    assert desk.create("peering", body)["StackStatus"] == "CREATE_COMPLETE"
    assert status(desk, desk.physical("peering", "P")) == "active"


def everything():
    """Return one resource of nearly every type."""
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}}
    flow_log = {
        "ResourceId": {"Ref": "V"},
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogGroupName": {"Ref": "L"},
        "DeliverLogsPermissionArn": {"Fn::GetAtt": ["Role", "Arn"]},
    }
    key_policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
    only_tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": {"Fn::Sub": "${B.Arn}/*"},
        "Condition": {"StringEquals": {"s3:x-amz-acl": "public-read"}},
    }
    properties = {
        "S": ("AWS::EC2::Subnet", {"VpcId": {"Ref": "V"}, "CidrBlock": "10.9.1.0/24"}),
        "T": ("AWS::EC2::RouteTable", {"VpcId": {"Ref": "V"}}),
        "A": ("AWS::EC2::SubnetRouteTableAssociation", {"SubnetId": {"Ref": "S"}, "RouteTableId": {"Ref": "T"}}),
        "Gateway": ("AWS::EC2::InternetGateway", {}),
        "At": ("AWS::EC2::VPCGatewayAttachment", {"VpcId": {"Ref": "V"}, "InternetGatewayId": {"Ref": "Gateway"}}),
        "Key": ("AWS::KMS::Key", {"KeyPolicy": key_policy, "EnableKeyRotation": True, "PendingWindowInDays": 7}),
        "Alias": ("AWS::KMS::Alias", {
            "AliasName": {"Fn::Sub": "alias/${AWS::StackName}"}, "TargetKeyId": {"Ref": "Key"}}),
        "B": ("AWS::S3::Bucket", {"BucketEncryption": {"ServerSideEncryptionConfiguration": [
            {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}}}]}}),
        "BP": ("AWS::S3::BucketPolicy", {
            "Bucket": {"Ref": "B"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [only_tls]}}),
        "Role": ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "ManagedPolicyArns": [{"Ref": "MP"}]}),
        "MP": ("AWS::IAM::ManagedPolicy", {"PolicyDocument": document}),
        "Pol": ("AWS::IAM::Policy", {"PolicyName": "p", "PolicyDocument": document, "Roles": [{"Ref": "Role"}]}),
        "Prof": ("AWS::IAM::InstanceProfile", {"Roles": [{"Ref": "Role"}]}),
        "F": ("AWS::EC2::FlowLog", flow_log),
        "LC": ("AWS::SageMaker::NotebookInstanceLifecycleConfig", {"OnStart": [{"Content": {"Fn::Base64": "true"}}]}),
    }  # fmt: skip
    named = {name: {"Type": kind, "Properties": p} for name, (kind, p) in properties.items()}
    route = {"RouteTableId": {"Ref": "T"}, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": {"Ref": "Gateway"}}
    named["R"] = {"Type": "AWS::EC2::Route", "DependsOn": "At", "Properties": route}
    return {"V": VPC, "G": GROUP, "L": group, **named}


def inventory(desk):
    """List what the account has, as a visitor of the consoles would."""
    ec2, iam, kms = desk.client("ec2"), desk.client("iam"), desk.client("kms")
    custom = {"Filters": [{"Name": "is-default", "Values": ["false"]}]}
    configs = desk.client("sagemaker").list_notebook_instance_lifecycle_configs()
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    return {
        "vpcs": ec2.describe_vpcs(**custom)["Vpcs"],
        "subnets": [one for one in ec2.describe_subnets()["Subnets"] if not one["CidrBlock"].startswith("172.")],
        "tables": [one for one in ec2.describe_route_tables()["RouteTables"] if not one["Associations"]],
        "acls": [one for one in ec2.describe_network_acls()["NetworkAcls"] if not one["IsDefault"]],
        "groups": [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"],
        "gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "endpoints": ec2.describe_vpc_endpoints()["VpcEndpoints"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "flow logs": ec2.describe_flow_logs()["FlowLogs"],
        "buckets": desk.client("s3").list_buckets()["Buckets"],
        "roles": iam.list_roles()["Roles"],
        "policies": iam.list_policies(Scope="Local")["Policies"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "keys": [key["KeyId"] for key in keys if key["KeyState"] != "PendingDeletion"],
        "aliases": [one for one in kms.list_aliases()["Aliases"] if not one["AliasName"].startswith("alias/aws/")],
        "log groups": desk.client("logs").describe_log_groups()["logGroups"],
        "configs": configs["NotebookInstanceLifecycleConfigs"],
    }


def test_twenty_stacks_at_once_leave_nothing(desk):
    body = template(**everything())
    assert {what: found for what, found in inventory(desk).items() if found} == {}
    names = [f"many-{number}" for number in range(20)]
    for name in names:
        desk.api.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    for name in names:
        assert desk.ended(name)["StackStatus"] == "CREATE_COMPLETE", desk.reasons(name)
    there = inventory(desk)
    assert len(there["vpcs"]) == len(there["buckets"]) == len(there["flow logs"]) == 20
    ids = [desk.api.describe_stacks(StackName=name)["Stacks"][0]["StackId"] for name in names]
    for name in names:
        desk.api.delete_stack(StackName=name)
    for stack_id in ids:
        assert desk.ended(stack_id)["StackStatus"] == "DELETE_COMPLETE", desk.reasons(stack_id)
    assert {what: found for what, found in inventory(desk).items() if found} == {}


def test_stacks_of_several_accounts_do_not_meet(desk, peer):
    with pytest.raises(ClientError, match="does not exist"):
        desk.create("mine", template(R=ROLE))
        peer.api.describe_stacks(StackName="mine")
    assert peer.create("mine", template(R=ROLE))["StackStatus"] == "CREATE_COMPLETE"

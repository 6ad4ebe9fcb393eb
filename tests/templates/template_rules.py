"""What our templates promise and scanners do not look at: each rule returns what breaks it, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from embedded_aws.policies import published
from embedded_aws.services.states import definitions
from embedded_aws.stacks import documents

ANYWHERE = ("0.0.0.0/0", "::/0")
# Actions that know no resource; everything else names one.
NO_RESOURCE = {"ecr:GetAuthorizationToken"}
# What a parameter or an attribute stands for where it is the whole resource.
ARN_OF = {
    "iam:PassRole": "arn:x:iam::x:role/x",
    "sts:AssumeRole": "arn:x:iam::x:role/x",
    "states:StartExecution": "arn:x:states:x:x:stateMachine:x",
}
RULES: dict[str, Callable[[Template], Iterator[str]]] = {}


@dataclass(frozen=True)
class Template:
    """A template as text and as data."""

    name: str
    text: str
    data: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, text: str) -> Template:
        """Parse a template."""
        return cls(name, text, documents.parse(text))

    def resources(self, *types: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield names and properties of the resources of some types."""
        for name, resource in self.data["Resources"].items():
            if resource["Type"] in types:
                yield name, resource.get("Properties", {})

    def trusts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the statements of trust policies."""
        for role, properties in self.resources("AWS::IAM::Role"):
            for statement in _statements(properties["AssumeRolePolicyDocument"]):
                yield f"{role}.{statement.get('Sid')}", statement

    def grants(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the statements of identity policies."""
        for role, properties in self.resources("AWS::IAM::Role"):
            for policy in properties.get("Policies", []):
                for statement in _statements(policy["PolicyDocument"]):
                    yield f"{role}.{statement.get('Sid')}", statement
        for name, properties in self.resources("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
            for statement in _statements(properties["PolicyDocument"]):
                yield f"{name}.{statement.get('Sid')}", statement


def rule(check: Callable[[Template], Iterator[str]]) -> Callable[[Template], Iterator[str]]:
    """Add a rule."""
    RULES[check.__name__] = check
    return check


def findings(template: Template) -> list[str]:
    """Return what breaks a rule, as ``rule: where``."""
    return [f"{name}: {where}" for name, check in RULES.items() for where in check(template)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return statements, those under an If included."""
    found = []
    for item in _listed(document["Statement"]):
        found += [part for part in item["Fn::If"][1:] if "Effect" in part] if "Fn::If" in item else [item]
    return found


def _condition(statement: Mapping[str, Any], operator: str, key: str) -> Any:
    return statement.get("Condition", {}).get(operator, {}).get(key)


@rule
def trust_names_one_principal_and_guards_services(template: Template) -> Iterator[str]:
    """Only a parameter that holds one user or role, or one service on behalf of this account."""
    for where, statement in template.trusts():
        principal = statement.get("Principal")
        if not isinstance(principal, Mapping) or len(principal) != 1:
            yield f"{where} trusts {principal}"
        elif "Service" in principal:
            if not isinstance(principal["Service"], str):
                yield f"{where} trusts several services"
            # EC2 takes a role for an instance of the role's own account, and brings no such key.
            node = where.startswith("NodeRole.") and principal["Service"] == "ec2.amazonaws.com"
            if not node and _condition(statement, "StringEquals", "aws:SourceAccount") != {"Ref": "AWS::AccountId"}:
                yield f"{where} does not ask for aws:SourceAccount"
        elif set(principal.get("AWS", {})) != {"Ref"}:
            yield f"{where} trusts {principal}"
        elif not _condition(statement, "StringLike", "aws:userid"):
            yield f"{where} does not say which unique id it means"


@rule
def the_kickoff_role_asks_for_a_hidden_external_id(template: Template) -> Iterator[str]:
    """Else somebody could talk the server into acting for them."""
    for where, statement in template.trusts():
        if where.startswith("KickoffRole") and not _condition(statement, "StringEquals", "sts:ExternalId"):
            yield f"{where} does not ask for sts:ExternalId"
    for name, parameter in template.data.get("Parameters", {}).items():
        if name == "ExternalId" and (parameter.get("NoEcho") is not True or "Default" in parameter):
            yield f"parameter {name} is shown or has a default"


@rule
def roles_keep_to_the_account_s_rules(template: Template) -> Iterator[str]:
    """Name, path and boundary are the owner's: many organisations let nobody make a role without."""
    arn = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${PermissionsBoundary}"}
    bounded = {"Fn::If": ["HasBoundary", arn, {"Ref": "AWS::NoValue"}]}
    for role, properties in template.resources("AWS::IAM::Role"):
        if properties.get("PermissionsBoundary") != bounded:
            yield f"{role} has no boundary"
    for name, properties in template.resources("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        called = str(properties.get("RoleName", properties.get("ManagedPolicyName")))
        if not called.startswith("{'Fn::Sub': '${NamePrefix}") or properties.get("Path") != {"Ref": "RolePath"}:
            yield f"{name} has a name or a path of its own"


# EKS asks for these, and for no others: its control plane and its nodes do not work with less.
OF_AMAZON = {
    ("ClusterRole", "AmazonEKSClusterPolicy"),
    ("NodeRole", "AmazonEKSWorkerNodePolicy"),
    ("NodeRole", "AmazonEC2ContainerRegistryPullOnly"),
    ("NodeRole", "AmazonEKS_CNI_Policy"),
}


@rule
def no_managed_policies_of_amazon(template: Template) -> Iterator[str]:
    """They allow more with every year."""
    for role, properties in template.resources("AWS::IAM::Role"):
        for arn in properties.get("ManagedPolicyArns", []):
            amazon = re.search(r"iam::aws:policy/([\w/+=,.@-]+)", str(arn))
            if not isinstance(arn, Mapping) or (amazon and (role, amazon.group(1)) not in OF_AMAZON):
                yield f"{role} has {arn}"


@rule
def sessions_of_borrowed_roles_last_an_hour(template: Template) -> Iterator[str]:
    """A stolen session ends soon."""
    for role, properties in template.resources("AWS::IAM::Role"):
        borrowed = str(properties.get("RoleName")).endswith(("kickoff-client-job'}", "accept-peering'}", "launcher'}"))
        if borrowed and properties.get("MaxSessionDuration") != 3600:
            yield f"{role} may be borrowed for {properties.get('MaxSessionDuration')} seconds"


@rule
def grants_name_actions_and_resources(template: Template) -> Iterator[str]:
    """No wildcard action; a wildcard resource only where AWS knows none."""
    for where, statement in template.grants():
        if statement["Effect"] != "Allow":
            continue
        actions = _listed(statement.get("Action", "*"))
        if "NotAction" in statement or any("*" in action for action in actions):
            yield f"{where} allows {actions}"
        knows_none = all(action in NO_RESOURCE or ":Describe" in action for action in actions)
        if "*" in _listed(statement.get("Resource", "*")) and not knows_none:
            yield f"{where} allows {actions} on everything"


@rule
def roles_are_passed_one_by_one_and_to_sagemaker(template: Template) -> Iterator[str]:
    """Else a job could be given the account's most powerful role."""
    for where, statement in template.grants():
        if "iam:PassRole" in _listed(statement["Action"]):
            if _condition(statement, "StringEquals", "iam:PassedToService") != "sagemaker.amazonaws.com":
                yield f"{where} passes to any service"
            if set(statement["Resource"]) not in ({"Ref"}, {"Fn::GetAtt"}):
                yield f"{where} passes any role"


@rule
def jobs_have_a_name_and_stand_in_the_network(template: Template) -> Iterator[str]:
    """ForAllValues holds for a job without any network: Null must close that gap; money and debugging are bound too."""
    for where, statement in template.grants():
        if "sagemaker:CreateTrainingJob" not in _listed(statement["Action"]):
            continue
        if not str(statement["Resource"]).endswith("training-job/fl-${ClientName}-*'}"):
            yield f"{where} starts jobs of any name"
        if where.startswith("MachineRole"):  # what it starts is in the machine
            continue
        for key in ("sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds", "sagemaker:InstanceTypes"):
            if not _condition(statement, "ForAllValues:StringEquals", key):
                yield f"{where} does not bind {key}"
            if _condition(statement, "Null", key) != "false":
                yield f"{where} allows a job without {key}"
        if _condition(statement, "Null", "sagemaker:KeepAlivePeriod") != "true":
            yield f"{where} allows machines that are kept"
        if _condition(statement, "BoolIfExists", "sagemaker:EnableRemoteDebug") != "false":
            yield f"{where} allows a shell in the container"
        if not _condition(statement, "NumericLessThanEquals", "sagemaker:MaxRuntimeInSeconds"):
            yield f"{where} allows jobs without end"
        if not _condition(statement, "StringEquals", "sagemaker:OutputKmsKey"):
            yield f"{where} allows output with any key"


@rule
def models_have_a_name_and_no_network(template: Template) -> Iterator[str]:
    """Who has tables scored touches no other model, and makes none that calls somebody; money is bound."""
    for where, statement in template.grants():
        actions = set(_listed(statement["Action"]))
        if not any(re.search(r":\w+(Model|Endpoint|EndpointConfig|TransformJob)$", action) for action in actions):
            continue
        if not all("/fl-*" in str(one) for one in _listed(statement["Resource"])):
            yield f"{where} covers what is not the workshop's"
        if "sagemaker:CreateModel" in actions and _condition(statement, "Bool", "sagemaker:NetworkIsolation") != "true":
            yield f"{where} allows models with a network"
        if actions & {"sagemaker:CreateEndpointConfig", "sagemaker:CreateTransformJob"}:
            bound = _condition(statement, "ForAllValues:StringEquals", "sagemaker:InstanceTypes")
            if not bound or _condition(statement, "Null", "sagemaker:InstanceTypes") != "false":
                yield f"{where} allows any machine"


@rule
def images_come_from_one_registry(template: Template) -> Iterator[str]:
    """A container's role pulls AWS's scikit-learn image, or nodes their own account's."""
    for where, statement in template.grants():
        pulls = "ecr:BatchGetImage" in _listed(statement["Action"])
        if pulls and "repository/sagemaker-" in str(statement["Resource"]) and "${Registry}" not in str(statement):
            yield f"{where} pulls from any registry"


@rule
def a_tracker_registers_nothing_by_itself(template: Template) -> Iterator[str]:
    """Its permission is for one app."""
    for name, app in template.resources("AWS::SageMaker::MlflowApp"):
        if app.get("ModelRegistrationMode") != "AutoModelRegistrationDisabled":
            yield f"{name} registers models with SageMaker"
    for where, statement in template.grants():
        one = statement["Resource"] == {"Fn::GetAtt": ["App", "Arn"]} or statement["Resource"] == {
            "Fn::GetAtt": "App.Arn"
        }
        if "sagemaker:CallMlflowAppApi" in _listed(statement["Action"]) and not one:
            yield f"{where} covers other trackers"


FOLLOWED = {"sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"}
MAY = {
    "OwnerPolicy": {"states:StartExecution", "states:DescribeExecution", "states:StopExecution", *FOLLOWED},
    "PublishedPolicy": {"sagemaker:CreateTrainingJob", "iam:PassRole", *FOLLOWED},
    "MachineRole": {"sagemaker:CreateTrainingJob", "sagemaker:AddTags", "iam:PassRole"},
}


@rule
def who_kicks_off_touches_no_data(template: Template) -> Iterator[str]:
    """The server starts, watches and stops; the machine starts and tags; neither reads a row or a log."""
    if template.name != "client-access":
        return
    for where, statement in template.grants():
        if extra := set(_listed(statement["Action"])) - MAY[where.partition(".")[0]]:
            yield f"{where} allows {sorted(extra)}"
        if "sagemaker:AddTags" in statement["Action"] and "aws:TagKeys" not in str(statement.get("Condition")):
            yield f"{where} gives any tag"


@rule
def the_server_starts_one_machine_and_stops_its_jobs_alone(template: Template) -> Iterator[str]:
    """By its ARN; by the tag that only this machine gives."""
    for where, statement in template.grants():
        if not where.startswith("OwnerPolicy"):
            continue
        resource = str(statement["Resource"])
        if "states:StartExecution" in _listed(statement["Action"]) and resource != "{'Ref': 'Machine'}":
            yield f"{where} starts {resource}"
        if "states:StopExecution" in statement["Action"] and ":execution:${Machine.Name}:*" not in resource:
            yield f"{where} stops {resource}"
        tag = _condition(statement, "StringEquals", "aws:ResourceTag/fl-started-by")
        if "sagemaker:StopTrainingJob" in statement["Action"] and tag != {"Fn::GetAtt": ["Machine", "Name"]}:
            yield f"{where} stops jobs of others"
    for name, parameter in template.data.get("Parameters", {}).items():
        if name == "KickOff" and parameter["Default"] != "owner":
            yield f"parameter {name}: the default lends code execution"


@rule
def a_machine_s_role_is_one_machine_s(template: Template) -> Iterator[str]:
    """Else any state machine of the account could start what this one may."""
    for where, statement in template.trusts():
        arn = str(_condition(statement, "ArnLike", "aws:SourceArn"))
        one = statement["Principal"] == {"Service": "states.amazonaws.com"} and arn.endswith(
            ":stateMachine:FL-kickoff'}"
        )
        if where.startswith("MachineRole") and not one:
            yield f"{where} serves any machine, or somebody else"


# What of the request may come from the server, and nothing else of it.
FROM_THE_SERVER = {
    "TrainingJobName", "CheckpointConfig.S3Uri", *(
        f"HyperParameters.{name}"
        for name in ("server-address", "ca-certificate", "seed", "penalty", "max-iter", "join-deadline")
    ),
}  # fmt: skip
AS_AGREED = {
    "AlgorithmSpecification.TrainingImage": "TrainingImage",
    "RoleArn": "ExecutionRoleArn",
    "HyperParameters.sagemaker_program": "client.py",
    "HyperParameters.sagemaker_submit_directory": "s3://BucketName/code/source.tar.gz",
    "InputDataConfig.DataSource.S3DataSource.S3Uri": "s3://BucketName/data/",
    "OutputDataConfig.S3OutputPath": "s3://BucketName/artefacts/",
    "OutputDataConfig.KmsKeyId": "KeyArn",
    "ResourceConfig.InstanceType": "InstanceType",
    "ResourceConfig.InstanceCount": 1,
    "StoppingCondition.MaxRuntimeInSeconds": 3600,
    "VpcConfig.Subnets": "Subnets",
    "VpcConfig.SecurityGroupIds": "FederationGroupId",
    "Tags.Value": "FL-kickoff",
}


@rule
def the_machine_holds_the_request_and_checks_what_it_is_given(template: Template) -> Iterator[str]:
    """Amazon States Language that can be run; nothing starts that was not checked; the rest is the owner's."""
    for name, machine in template.resources("AWS::StepFunctions::StateMachine"):
        text = machine["DefinitionString"]["Fn::Sub"][0].replace("${MaxRuntimeSeconds}", "3600")
        text = re.sub(r"\$\{(?:AWS::)?(\w+)\}", r"\1", text).replace("arn:Partition", "arn:aws")
        yield from (f"{name}: {problem}" for problem in definitions.problems(text))
        definition = json.loads(text)
        check, start = (definition["States"][state] for state in ("Check", "Start"))
        if definition["StartAt"] != "Check" or check["Default"] != "Start":
            yield f"{name} starts a job unchecked"
        if {choice["Next"] for choice in check["Choices"]} != {"Refuse"}:
            yield f"{name} lets pass what it should refuse"
        checks = [choice["Condition"] for choice in check["Choices"]]
        if not any("$filter($keys($states.input)" in text for text in checks):
            yield f"{name} takes more than was agreed on"
        leaves = dict(_leaves(start["Arguments"]))
        given = {path for path, value in leaves.items() if "{%" in str(value)}
        yield from (f"{name} takes {path} from the server" for path in sorted(given - FROM_THE_SERVER))
        for used in sorted(set(re.findall(r"\$states\.input\.(\w+)", json.dumps(start)))):
            mine = f"$states.input.{used}"
            whole = (f"[0].match = {mine}", f"{mine} <= ", f"$not({mine} in [")
            if not any(text.startswith("{% $not(") and any(form in text for form in whole) for text in checks):
                yield f"{name} does not check {used}"
        for path, value in AS_AGREED.items():
            if leaves.get(path) != value:
                yield f"{name}: {path} is {leaves.get(path)}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in a request with where it is; places in lists count as one."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


BY_PREFIX = ("client-job", "agent-access", "run-access", "serving", "table-job", "tracker")


@rule
def s3_is_reached_by_prefix(template: Template) -> Iterator[str]:
    """Writing never covers code or rows; of a client even reading is by prefix."""
    for where, statement in template.grants():
        actions, resources = _listed(statement["Action"]), [str(item) for item in _listed(statement["Resource"])]
        for resource in resources:
            whole = re.search(r"\$\{BucketName\}/\*", resource)
            if whole and ("s3:PutObject" in actions or template.name in BY_PREFIX):
                yield f"{where} reaches the whole bucket"
        if "s3:ListBucket" in actions and template.name in BY_PREFIX and not statement.get("Condition"):
            yield f"{where} lists the whole bucket"


@rule
def interfaces_stand_in_named_subnets_and_groups(template: Template) -> Iterator[str]:
    """The execution role cannot put an interface elsewhere."""
    for where, statement in template.grants():
        if "ec2:CreateNetworkInterface" in _listed(statement["Action"]) and len(statement["Resource"]) != 4:
            yield f"{where} covers other subnets or groups"
        if "ec2:CreateNetworkInterface" in _listed(statement["Action"]) and "*" in statement["Resource"]:
            yield f"{where} covers everything"


@rule
def the_accepter_accepts_one_vpc_from_one_account(template: Template) -> Iterator[str]:
    """A peering of another VPC would open what nobody meant to open."""
    for where, statement in template.grants():
        if "ec2:AcceptVpcPeeringConnection" in _listed(statement["Action"]):
            resources = [str(one) for one in _listed(statement["Resource"])]
            if not all(":vpc-peering-connection/" in one or ":vpc/${VpcId}" in one for one in resources):
                yield f"{where} covers {resources}"
            if not any(":vpc-peering-connection/" in one for one in resources):
                continue
            for key, word in (("ec2:AccepterVpc", "${VpcId}"), ("ec2:RequesterVpc", "${ServerAccountId}")):
                if word not in str(_condition(statement, "ArnLike", key)):
                    yield f"{where} does not bind {key}"


@rule
def conditions_ask_for_keys_that_each_resource_has(template: Template) -> Iterator[str]:
    """A key that a resource of the action does not have is absent, and an Allow that asks for it never holds."""
    for where, statement in template.grants():
        keys = {key.lower(): ("",) for part in statement.get("Condition", {}).values() for key in part}
        for action, resource in product(_listed(statement["Action"]), _listed(statement["Resource"])):
            arn = resource.get("Fn::Sub", "") if isinstance(resource, Mapping) else resource
            arn = arn[0] if isinstance(arn, list) else arn
            arn = re.sub(r"\$\{[\w:.]+\}", "x", arn) or ARN_OF.get(action, "*")
            if missing := sorted(keys.keys() - published.brought(action, arn, keys).keys()):
                yield f"{where}: {action} on {arn} has no {', '.join(missing)}"


@rule
def parameters_that_name_a_role_are_tight(template: Template) -> Iterator[str]:
    """The server borrows roles of one name."""
    for name, parameter in template.data.get("Parameters", {}).items():
        if name == "KickoffRoleArns" and not parameter["AllowedPattern"].endswith("_-]*kickoff-client-job"):
            yield f"parameter {name} takes other roles"


@rule
def buckets_are_closed(template: Template) -> Iterator[str]:
    """Private, versioned, with a key of one's own, without ACLs, tidied up."""
    for name, bucket in template.resources("AWS::S3::Bucket"):
        if set(bucket.get("PublicAccessBlockConfiguration", {}).values()) != {True}:
            yield f"{name} is not closed to the public"
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} keeps no versions"
        if "BucketOwnerEnforced" not in str(bucket.get("OwnershipControls")):
            yield f"{name} heeds ACLs"
        if "'KMSMasterKeyID': {'Fn::If': ['MakesKey', {'Fn::GetAtt'" not in str(bucket.get("BucketEncryption")):
            yield f"{name} has no key of its own"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any("NoncurrentVersionExpiration" in item for item in rules):
            yield f"{name} keeps old versions for ever"
        denied = {
            statement["Sid"]: statement
            for _, policy in template.resources("AWS::S3::BucketPolicy")
            for statement in _statements(policy["PolicyDocument"])
            if statement["Effect"] == "Deny" and statement["Principal"] == "*" and statement["Action"] == "s3:*"
        }
        if _condition(denied.get("OnlyTls", {}), "Bool", "aws:SecureTransport") != "false":
            yield f"{name} is reached without TLS"
        if not _condition(denied.get("OnlyThisAccount", {}), "StringNotEquals", "aws:PrincipalAccount"):
            yield f"{name} is open to other accounts"


@rule
def keys_rotate_and_belong_to_the_account(template: Template) -> Iterator[str]:
    """The key policy leaves it to this account's own policies, and lets logs in."""
    for name, key in template.resources("AWS::KMS::Key"):
        if key.get("EnableKeyRotation") is not True:
            yield f"{name} never rotates"
        for statement in _statements(key["KeyPolicy"]):
            if "AWS" in statement["Principal"] and ":root" not in str(statement["Principal"]):
                yield f"{name} lets {statement['Principal']} in"


@rule
def there_is_no_way_to_the_internet(template: Template) -> Iterator[str]:
    """No gateway, no public address, no route and no rule to anywhere."""
    for name, resource in template.data["Resources"].items():
        if re.search("Gateway|EIP|TransitGateway", resource["Type"]):
            yield f"{name} is a {resource['Type']}"
        if resource.get("Properties", {}).get("MapPublicIpOnLaunch"):
            yield f"{name} gives public addresses"
        if any(f"'{anywhere}'" in str(resource) for anywhere in ANYWHERE):
            yield f"{name} names everybody's addresses"


@rule
def security_groups_open_one_port(template: Template) -> Iterator[str]:
    """TCP, one port, a named other side; a group without egress rules would get one to everywhere."""
    kinds = ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
    rules = list(template.resources(*kinds))
    for name, group in template.resources("AWS::EC2::SecurityGroup"):
        rules += [(name, item) for side in ("Ingress", "Egress") for item in group.get(f"SecurityGroup{side}", [])]
        if not group.get("SecurityGroupEgress"):
            yield f"{name} says nothing of egress"
    for name, item in rules:
        if item.get("IpProtocol") != "tcp" or item.get("FromPort") != item.get("ToPort"):
            yield f"{name} opens more than one port"


@rule
def endpoints_serve_the_federation_alone(template: Template) -> Iterator[str]:
    """Somebody else's credentials or buckets do not pass."""
    for name, endpoint in template.resources("AWS::EC2::VPCEndpoint"):
        for statement in _statements(endpoint.get("PolicyDocument", {"Statement": [{"Sid": None, "Action": "*"}]})):
            if statement["Sid"] == "ImageLayers":  # a bucket of Amazon's, read by whoever starts a job
                continue
            if not _condition(statement, "StringEquals", "aws:PrincipalAccount"):
                yield f"{name}.{statement['Sid']} lets anybody's credentials pass"
            if any(action == "*" or action.endswith(":*") for action in _listed(statement["Action"])):
                yield f"{name}.{statement['Sid']} is for every call of its service"
            if name == "S3Endpoint" and not _condition(statement, "StringEquals", "aws:ResourceAccount"):
                yield f"{name}.{statement['Sid']} reaches anybody's buckets"
        if endpoint.get("VpcEndpointType") == "Interface" and endpoint.get("PrivateDnsEnabled") is not True:
            yield f"{name} is not found by its name"
    for name, group in template.resources("AWS::EC2::SecurityGroup"):
        for item in group.get("SecurityGroupIngress", []):
            inside = "ClusterGroupId" if template.name == "cluster-endpoints" else "FederationGroupId"
            if name == "EndpointGroup" and item.get("SourceSecurityGroupId") != {"Ref": inside}:
                yield f"{name} lets others in"


@rule
def every_packet_is_on_record(template: Template) -> Iterator[str]:
    """Accepted and rejected, encrypted, and not for ever."""
    if any(template.resources("AWS::EC2::VPC")):
        logs = [log["TrafficType"] for _, log in template.resources("AWS::EC2::FlowLog")]
        if logs != ["ALL"]:
            yield f"flow logs: {logs}"
    for name, group in template.resources("AWS::Logs::LogGroup"):
        if "KmsKeyId" not in group or "RetentionInDays" not in group:
            yield f"{name} is in the clear or kept for ever"


@rule
def notebook_instances_are_private(template: Template) -> Iterator[str]:
    """No internet, no root, the new metadata service, encrypted, in the network, on a platform that is kept up."""
    wanted = {
        "DirectInternetAccess": "Disabled", "RootAccess": "Disabled",
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
    }  # fmt: skip
    for name, instance in template.resources("AWS::SageMaker::NotebookInstance"):
        yield from (
            f"{name}.{key} is {instance.get(key)}" for key, value in wanted.items() if instance.get(key) != value
        )
        yield from (
            f"{name} has no {key}" for key in ("KmsKeyId", "SubnetId", "SecurityGroupIds") if key not in instance
        )
        platform = template.data["Parameters"]["PlatformIdentifier"]
        if "al2023" not in platform["Default"] or "al2023" not in platform["AllowedPattern"]:
            yield f"{name} may stand on {platform['Default']}"
    for name, config in template.resources("AWS::SageMaker::NotebookInstanceLifecycleConfig"):
        text = str(config["OnStart"])
        if "sha256sum --check" not in text or text.index("sha256sum") > text.index("tar --extract"):
            yield f"{name} unpacks before it checks"


@rule
def a_cluster_answers_inside(template: Template) -> Iterator[str]:
    """Its API is reached from outside by the owner's few addresses alone, where the owner names any."""
    for name, cluster in template.resources("AWS::EKS::Cluster"):
        network = cluster["ResourcesVpcConfig"]
        no_value = {"Ref": "AWS::NoValue"}
        wanted = {
            "EndpointPrivateAccess": True,
            "EndpointPublicAccess": {"Fn::If": ["FromOutside", True, False]},
            "PublicAccessCidrs": {"Fn::If": ["FromOutside", {"Ref": "OwnerAddresses"}, no_value]},
        }
        yield from (f"{name}.{key} is {network.get(key)}" for key in wanted if network.get(key) != wanted[key])
        if "SecurityGroupIds" in network:
            yield f"{name} lets another group in"
        addresses = template.data["Parameters"]["OwnerAddresses"]
        wide = ("0.0.0.0/0", "10.0.0.0/8", "203.0.113.0/23")
        if addresses["Default"] or any(re.fullmatch(addresses["AllowedPattern"], one) for one in wide):
            yield f"{name} is reached from many addresses"
        outside = {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "OwnerAddresses"}]}, ""]}]}
        if template.data["Conditions"]["FromOutside"] != outside:
            yield f"{name} is reached from outside though no address is named"


@rule
def a_cluster_keeps_secrets_and_records(template: Template) -> Iterator[str]:
    """Secrets with the account's own key; every log of the control plane; a version that is upgraded."""
    for name, cluster in template.resources("AWS::EKS::Cluster"):
        if cluster.get("EncryptionConfig") != [{"Resources": ["secrets"], "Provider": {"KeyArn": {"Ref": "KeyArn"}}}]:
            yield f"{name} keeps Secrets without a key of its own"
        kinds = cluster.get("Logging", {}).get("ClusterLogging", {}).get("EnabledTypes", [])
        missing = {"api", "audit", "authenticator", "controllerManager", "scheduler"} - {one["Type"] for one in kinds}
        yield from (f"{name} keeps no log of its {kind}" for kind in sorted(missing))
        if cluster.get("UpgradePolicy") != {"SupportType": "STANDARD"}:
            yield f"{name} stays on an old version, for more money"


@rule
def entries_say_who_uses_a_cluster(template: Template) -> Iterator[str]:
    """The owner administers; launchers are in a group, whose rights the manifests name; nobody comes otherwise."""
    for name, cluster in template.resources("AWS::EKS::Cluster"):
        access = {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": False}
        if cluster.get("AccessConfig") != access:
            yield f"{name} lets in others than its entries: {cluster.get('AccessConfig')}"
    for name, entry in template.resources("AWS::EKS::AccessEntry"):
        owner = entry["PrincipalArn"] == {"Ref": "OwnerArn"}
        if entry.get("AccessPolicies") and not owner:
            yield f"{name} gives AWS's rights to {entry['PrincipalArn']}"
        if entry.get("KubernetesGroups", []) != ([] if owner else ["federation:launchers"]):
            yield f"{name} is in {entry.get('KubernetesGroups')}"
        if "*" in str(entry["PrincipalArn"]):
            yield f"{name} is for {entry['PrincipalArn']}"


# What the roles of pods and launchers do in S3: under which prefixes of the account's bucket.
OWN = {
    "AgentRole": {
        "s3:GetObject": {"data/*", "told/*"},
        "s3:PutObject": {"artefacts/models/*", "told/*"},
        "s3:ListBucket": {""},
    },
    "RunRole": {
        "s3:GetObject": {"data/*", "state/problem.toml", "model/checkpoints/*"},
        "s3:PutObject": {"model/checkpoints/*", "model/runs/*"},
        "s3:ListBucket": {""},
    },
    "LauncherRole": {"s3:GetObject": {"model/*"}, "s3:PutObject": {"model/*"}},
}


@rule
def pods_reach_what_is_theirs(template: Template) -> Iterator[str]:
    """An agent its rows, a run the test rows and its rounds, who starts runs the results."""
    for where, statement in template.grants():
        own = OWN.get(where.partition(".")[0])
        for action, resource in product(_listed(statement["Action"]), _listed(statement["Resource"])):
            if own is None or not action.startswith("s3:"):
                continue
            _, bucket, prefix = str(resource).removesuffix("'}").partition("${BucketName}")
            if not bucket or prefix.removeprefix("/") not in own.get(action, set()):
                yield f"{where}: {action} on {resource}"


@rule
def a_pod_s_role_is_one_account_s_of_one_cluster(template: Template) -> Iterator[str]:
    """Else a cluster that somebody else makes in this account has pods with it."""
    named = {"AgentRole": "agent", "RunRole": "run"}
    for where, statement in template.trusts():
        if where.partition(".")[0] not in named:
            continue
        if statement["Principal"] != {"Service": "pods.eks.amazonaws.com"}:
            yield f"{where} is for {statement['Principal']}"
        if _condition(statement, "ArnEquals", "aws:SourceArn") != {"Ref": "ClusterArn"}:
            yield f"{where} is for pods of any cluster"
    for name, identity in template.resources("AWS::EKS::PodIdentityAssociation"):
        who = (identity["Namespace"], {"Fn::GetAtt": [f"{identity['ServiceAccount'].title()}Role", "Arn"]})
        if identity["ServiceAccount"] not in named.values() or who != ("federation", identity["RoleArn"]):
            yield f"{name} gives {identity['RoleArn']} to {identity['Namespace']}/{identity['ServiceAccount']}"


@rule
def nodes_are_private_and_hold_policies(template: Template) -> Iterator[str]:
    """In the private subnets, without a door for SSH; the network add-on enforces NetworkPolicies."""
    for name, group in template.resources("AWS::EKS::Nodegroup"):
        if group["Subnets"] != {"Ref": "SubnetIds"} or group["NodeRole"] != {"Fn::GetAtt": ["NodeRole", "Arn"]}:
            yield f"{name} stands elsewhere, or with another role"
        if "RemoteAccess" in group:
            yield f"{name} is logged in to"
        if not str(group.get("AmiType")).startswith(("AL2023", "BOTTLEROCKET")):
            yield f"{name} is {group.get('AmiType')}"
        addons = {addon["AddonName"]: addon for _, addon in template.resources("AWS::EKS::Addon")}
        values = json.loads(addons.get("vpc-cni", {}).get("ConfigurationValues", "{}"))
        if values.get("enableNetworkPolicy") != "true":
            yield f"{name} heeds no NetworkPolicy"
        if "eks-pod-identity-agent" not in addons:
            yield f"{name} gives pods its own role"


@rule
def images_stay_what_they_are(template: Template) -> Iterator[str]:
    """A tag is not moved, every image is scanned, with the account's own key."""
    for name, repository in template.resources("AWS::ECR::Repository"):
        if repository.get("ImageTagMutability") != "IMMUTABLE":
            yield f"{name}: tags move"
        if repository.get("ImageScanningConfiguration") != {"ScanOnPush": True}:
            yield f"{name}: nobody looks at images"
        if repository.get("EncryptionConfiguration") != {"EncryptionType": "KMS", "KmsKey": {"Ref": "KeyArn"}}:
            yield f"{name} has no key of its own"
        if "RepositoryPolicyText" in repository:
            yield f"{name} says itself who may read it"


@rule
def nothing_is_typed_that_belongs_to_somebody(template: Template) -> Iterator[str]:
    """No keys, no account ids."""
    if re.search(r"\bA(KI|SI)A[0-9A-Z]{12,}", template.text):
        yield "an access key"
    if found := re.search(r"(?<![\d.])\d{12}(?![\d])", template.text):
        yield f"account id {found.group(0)}"


@rule
def it_reads_like_the_others(template: Template) -> Iterator[str]:
    """Sections in order, parameters described and bounded, statements named, stateful things with a DeletionPolicy."""
    order = ["AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Conditions", "Resources", "Outputs"]
    sections = list(template.data)
    if sections != [section for section in order if section in sections]:
        yield f"sections: {sections}"
    for name, parameter in template.data.get("Parameters", {}).items():
        limits = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
        bounded = limits or parameter["Type"].startswith(("AWS::", "List<AWS::"))
        if "Description" not in parameter or not bounded:
            yield f"parameter {name} is not described or bounded"
        if "AllowedPattern" in parameter and "ConstraintDescription" not in parameter:
            yield f"parameter {name} does not say what it must be"
    for where, statement in (*template.trusts(), *template.grants()):
        if "Sid" not in statement:
            yield f"{where} has no Sid"
    for name, resource in template.data["Resources"].items():
        stateful = resource["Type"] in (
            "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::ECR::Repository",
        )  # fmt: skip
        if stateful and not {"DeletionPolicy", "UpdateReplacePolicy"} <= set(resource):
            yield f"{name} has no DeletionPolicy"

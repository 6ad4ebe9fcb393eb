"""Single changes that weaken a template: its name, the text that is there, and what an attacker would like to see."""

from pathlib import Path
from typing import NamedTuple


class Weakening(NamedTuple):
    """One change of one template; ``old`` must stand there exactly once.

    Of manifests, ``template`` is a file of ``kubernetes/``, or ``rendered/ROLE``, what an owner's folder comes to.
    """

    name: str
    template: str
    old: str
    new: str


ONE_ROLE = '              StringLike: {"aws:userid": !Sub "${ServerRoleId}:*"}\n'
TRUST = f"""            Principal: {{AWS: !Ref ServerRoleArn}}
            Action: sts:AssumeRole
            Condition:
              StringEquals: {{"sts:ExternalId": !Ref ExternalId}}
{ONE_ROLE}"""
TEMPLATE = (Path(__file__).resolve().parents[2] / "cloudformation" / "client-access.yaml").read_text()


def part(begin: str, end: str) -> str:
    """Return what stands in the template from one text to the next."""
    _, found, rest = TEMPLATE.partition(begin)
    return found + rest.partition(end)[0]


CREATE, AMAZON = "sagemaker:CreateTrainingJob", '"arn:aws:iam::aws:policy/'
STARTED = part("          - Sid: StartFederationJobs", "            Condition:")
NAMED = part('!Sub "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:training-job/fl-', "\n")
SUBNETS = part("              ForAllValues:StringEquals:\n", '                "sagemaker:VpcSec')
LONGEST = 'NumericLessThanEquals: {"sagemaker:MaxRuntimeInSeconds": !Ref MaxRuntimeSeconds}'
PASSED = part("          - Sid: HandOverExecutionRole\n            Effect", "\n\n")
HANDED = part("              - Sid: HandOverExecutionRole\n                Effect", "\n\n")
ATTACHED = part("ManagedPolicyArns: [", "\n")
TAGGED = part('            Condition:\n              StringEquals: {"aws:ResourceTag/fl-started-by"', "\n\n")
ONE_MACHINE = part('              ArnLike: {"aws:SourceArn"', "      Policies:")
TAG_KEYS = part(
    '                Condition:\n                  ForAllValues:StringEquals: {"aws:TagKeys"', "              - Sid"
)
UNKNOWN = part("{% $count($filter(", '",\n')
BOUND = part("      PermissionsBoundary: ", "\n") + "\n"
WEAKENINGS = [
    Weakening(
        "kick-off role trusts the server's whole account",
        "client-access",
        TRUST,
        TRUST.replace("!Ref ServerRoleArn", '"arn:aws:iam::111122223333:root"').replace(ONE_ROLE, ""),
    ),
    Weakening(
        "kick-off role trusts everybody",
        "client-access",
        TRUST,
        TRUST.replace("{AWS: !Ref ServerRoleArn}", '"*"').replace(ONE_ROLE, ""),
    ),
    Weakening("kick-off role trusts who comes later under the name", "client-access", ONE_ROLE, ""),
    Weakening(
        "no external id", "client-access", '              StringEquals: {"sts:ExternalId": !Ref ExternalId}\n', ""
    ),
    Weakening(
        "external id may be left out",
        "client-access",
        'StringEquals: {"sts:ExternalId"',
        'StringEqualsIfExists: {"sts:ExternalId"',
    ),
    Weakening("external id shown in the console", "client-access", "    NoEcho: true\n", ""),
    Weakening(
        "external id with a default",
        "client-access",
        "    NoEcho: true\n",
        "    NoEcho: true\n    Default: everybody-knows-this\n",
    ),
    Weakening("any role may be passed", "client-access", PASSED, PASSED.replace("!Ref ExecutionRoleArn", '"*"')),
    Weakening("role may be passed to any service", "client-access", PASSED, PASSED.partition("            Cond")[0]),
    Weakening("role may be passed to EC2", "client-access", PASSED, PASSED.replace("sagemaker", "ec2")),
    Weakening(
        "kick-off may do everything in SageMaker", "client-access", STARTED, STARTED.replace(CREATE, '"sagemaker:*"')
    ),
    Weakening("jobs of any name", "client-access", STARTED, STARTED.replace(NAMED, '"*"')),
    Weakening("jobs in any subnet", "client-access", '                "sagemaker:VpcSubnets": !Ref SubnetIds\n', ""),
    Weakening(
        "jobs with any group",
        "client-access",
        '                "sagemaker:VpcSecurityGroupIds": [!Ref FederationGroupId]\n',
        "",
    ),
    Weakening("jobs without a network", "client-access", '                "sagemaker:VpcSubnets": "false"\n', ""),
    Weakening(
        "jobs without a group", "client-access", '                "sagemaker:VpcSecurityGroupIds": "false"\n', ""
    ),
    Weakening("one right subnet is enough", "client-access", SUBNETS, SUBNETS.replace("ForAllValues", "ForAnyValue")),
    Weakening("jobs of any length", "client-access", f"              {LONGEST}\n", ""),
    Weakening("a machine is kept warm", "client-access", '                "sagemaker:KeepAlivePeriod": "true"\n', ""),
    Weakening(
        "a shell in the container",
        "client-access",
        'BoolIfExists: {"sagemaker:EnableRemoteDebug": "false"}',
        'BoolIfExists: {"sagemaker:EnableRemoteDebug": "true"}',
    ),
    Weakening(
        "output with any key",
        "client-access",
        '              StringEquals: {"sagemaker:OutputKmsKey": !Ref KeyArn}\n',
        "",
    ),
    Weakening(
        "kick-off reads rows",
        "client-access",
        "Action: states:StartExecution",
        "Action: [states:StartExecution, s3:GetObject]",
    ),
    Weakening(
        "kick-off reads logs",
        "client-access",
        "Action: states:StartExecution",
        "Action: [states:StartExecution, logs:GetLogEvents]",
    ),
    Weakening(
        "kick-off is an administrator", "client-access", ATTACHED, f'{ATTACHED[:-1]}, {AMAZON}AdministratorAccess"]'
    ),
    Weakening(
        "kick-off has SageMaker's full access",
        "client-access",
        ATTACHED,
        f'{ATTACHED[:-1]}, {AMAZON}AmazonSageMakerFullAccess"]',
    ),
    Weakening("the published way by default", "client-access", "    Default: owner\n", "    Default: published\n"),
    Weakening(
        "kick-off starts any machine",
        "client-access",
        "            Resource: !Ref Machine\n",
        '            Resource: "*"\n',
    ),
    Weakening(
        "kick-off changes the machine",
        "client-access",
        "Action: states:StartExecution",
        "Action: [states:StartExecution, states:UpdateStateMachine]",
    ),
    Weakening("kick-off stops any execution", "client-access", ":execution:${Machine.Name}:*", ":execution:*"),
    Weakening("kick-off stops jobs of the owner", "client-access", TAGGED, ""),
    Weakening(
        "kick-off tags jobs of the owner",
        "client-access",
        "[states:DescribeExecution, states:StopExecution]",
        "[states:DescribeExecution, states:StopExecution, sagemaker:AddTags]",
    ),
    Weakening("machine's role for any machine", "client-access", ONE_MACHINE, ""),
    Weakening(
        "machine's role for EC2",
        "client-access",
        "Principal: {Service: states.amazonaws.com}",
        "Principal: {Service: ec2.amazonaws.com}",
    ),
    Weakening("machine passes any role", "client-access", HANDED, HANDED.replace("!Ref ExecutionRoleArn", '"*"')),
    Weakening("machine gives any tag", "client-access", TAG_KEYS, ""),
    Weakening(
        "machine reads rows", "client-access", "Action: sagemaker:AddTags", "Action: [sagemaker:AddTags, s3:GetObject]"
    ),
    Weakening("machine starts unchecked", "client-access", '"StartAt": "Check"', '"StartAt": "Start"'),
    Weakening("machine takes more than was agreed on", "client-access", UNKNOWN, "{% false %}"),
    Weakening(
        "machine lets a wrong run pass",
        "client-access",
        '"run must be 4 to 32 small letters and digits"},\n                    "Next": "Refuse"',
        '"run must be 4 to 32 small letters and digits"},\n                    "Next": "Start"',
    ),
    Weakening(
        "machine checks a part of the run",
        "client-access",
        "/[a-z0-9]{4,32}/)[0].match = $states.input.run",
        "/[a-z0-9]{4,32}/)[0].match != ''",
    ),
    Weakening(
        "machine checks a part of the server",
        "client-access",
        "{4,5}/)[0].match = $states.input.server",
        "{4,5}/)[0].match != ''",
    ),
    Weakening(
        "machine does not check the authority",
        "client-access",
        "{100,2000}/)[0].match = $states.input.authority : false",
        "{100,2000}/)[0].match != '' : false",
    ),
    Weakening("machine bounds no iterations", "client-access", " and $states.input.max_iter <= 1000", ""),
    Weakening(
        "machine takes the image from the server",
        "client-access",
        '"TrainingImage": "${TrainingImage}"',
        '"TrainingImage": "{% $states.input.image %}"',
    ),
    Weakening(
        "machine takes the program from the server",
        "client-access",
        '"sagemaker_program": "client.py"',
        '"sagemaker_program": "{% $states.input.program %}"',
    ),
    Weakening(
        "machine takes the environment from the server",
        "client-access",
        '"GRPC_VERBOSITY": "NONE"',
        '"GRPC_VERBOSITY": "{% $states.input.penalty %}"',
    ),
    Weakening(
        "machine takes the rows from the server",
        "client-access",
        '"S3Uri": "s3://${BucketName}/data/"',
        '"S3Uri": "{% $states.input.rows %}"',
    ),
    Weakening(
        "machine's job outside the network",
        "client-access",
        '                  "VpcConfig": {"Subnets": ["${Subnets}"], "SecurityGroupIds": ["${FederationGroupId}"]},\n',
        "",
    ),
    Weakening(
        "machine's job of five days",
        "client-access",
        '"MaxRuntimeInSeconds": ${MaxRuntimeSeconds}',
        '"MaxRuntimeInSeconds": 432000',
    ),
    Weakening("machine's job on twenty machines", "client-access", '"InstanceCount": 1', '"InstanceCount": 20'),
    Weakening(
        "machine's job without its tag",
        "client-access",
        '                  "Tags": [{"Key": "fl-started-by", "Value": "FL-kickoff"}]',
        '                  "Tags": []',
    ),
    Weakening("sessions of twelve hours", "client-access", "MaxSessionDuration: 3600", "MaxSessionDuration: 43200"),
    Weakening(
        "any account's SageMaker takes the execution role",
        "client-job",
        '              StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}\n',
        "",
    ),
    Weakening(
        "execution role for EC2 too",
        "client-job",
        "Principal: {Service: sagemaker.amazonaws.com}",
        "Principal: {Service: [sagemaker.amazonaws.com, ec2.amazonaws.com]}",
    ),
    Weakening("job reads the whole bucket", "client-job", "${BucketName}/code/*", "${BucketName}/*"),
    Weakening(
        "job lists the whole bucket",
        "client-job",
        '                Condition:\n                  StringLike: {"s3:prefix": ["artefacts/checkpoints/*", "code/*", "data/*", "told/*"]}\n',
        "",
    ),
    Weakening("job writes its own code", "client-job", "${BucketName}/artefacts/*", "${BucketName}/*"),
    Weakening("job does anything in S3", "client-job", "Action: s3:PutObject", 'Action: "s3:*"'),
    Weakening("job reads every bucket", "client-job", '!Sub "arn:${AWS::Partition}:s3:::${BucketName}/data/*"', '"*"'),
    Weakening("job uses every key", "client-job", "Resource: !Ref KeyArn", 'Resource: "*"'),
    Weakening(
        "job stands in any subnet",
        "client-job",
        '- !Sub "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:security-group/${FederationGroupId}"',
        '- "*"',
    ),
    Weakening(
        "notebook role for any account's SageMaker",
        "server-access",
        '            Condition:\n              StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}\n',
        "",
    ),
    Weakening("server borrows any role", "server-access", "Resource: !Ref KickoffRoleArns", 'Resource: "*"'),
    Weakening("any role's ARN is taken as a kick-off role", "server-access", '_-]*kickoff-client-job"', '_-]*"'),
    Weakening("server overwrites its test table", "server-access", "${BucketName}/model/*", "${BucketName}/*"),
    Weakening(
        "bucket without TLS",
        "storage",
        'Bool: {"aws:SecureTransport": "false"}',
        'Bool: {"aws:SecureTransport": "true"}',
    ),
    Weakening(
        "bucket opens to other accounts",
        "storage",
        "          - Sid: OnlyThisAccount\n            Effect: Deny",
        "          - Sid: OnlyThisAccount\n            Effect: Allow",
    ),
    Weakening("public ACLs", "storage", "BlockPublicAcls: true", "BlockPublicAcls: false"),
    Weakening("public bucket policies", "storage", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false"),
    Weakening(
        "Amazon's key in the place of one's own",
        "storage",
        "\n              SSEAlgorithm: aws:kms\n"
        "              KMSMasterKeyID: !If [MakesKey, !GetAtt Key.Arn, !Ref ExistingKeyArn]\n",
        " {SSEAlgorithm: AES256}\n",
    ),
    Weakening(
        "no versions",
        "storage",
        "VersioningConfiguration: {Status: Enabled}",
        "VersioningConfiguration: {Status: Suspended}",
    ),
    Weakening("ACLs count", "storage", "BucketOwnerEnforced", "ObjectWriter"),
    Weakening("key never rotates", "storage", "EnableKeyRotation: true", "EnableKeyRotation: false"),
    Weakening(
        "everybody's key",
        "storage",
        'Principal: {AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}',
        'Principal: {AWS: "*"}',
    ),
    Weakening(
        "old versions are kept for ever",
        "storage",
        "NoncurrentVersionExpiration: {NoncurrentDays: 30}\n",
        "Prefix: x/\n",
    ),
    Weakening(
        "public addresses",
        "network",
        "MapPublicIpOnLaunch: false\n      Tags: [{Key: Name, Value: fl-private-a}",
        "MapPublicIpOnLaunch: true\n      Tags: [{Key: Name, Value: fl-private-a}",
    ),
    Weakening(
        "a way to the internet",
        "network",
        "  RoutesOfSubnetA:\n",
        "  Internet:\n    Type: AWS::EC2::InternetGateway\n  RoutesOfSubnetA:\n",
    ),
    Weakening("job calls anybody", "network", "DestinationPrefixListId: !Ref S3PrefixListId", "CidrIp: 0.0.0.0/0"),
    Weakening("no flow log", "network", "TrafficType: ALL", "TrafficType: ACCEPT"),
    Weakening("flow log in the clear", "network", "      KmsKeyId: !Ref LogKeyArn\n", ""),
    Weakening(
        "any bucket through the endpoint",
        "network",
        '"aws:ResourceAccount": !Ref AWS::AccountId, "aws:PrincipalAccount"',
        '"aws:PrincipalAccount"',
    ),
    Weakening(
        "anybody's credentials through the S3 endpoint",
        "network",
        '{"aws:ResourceAccount": !Ref AWS::AccountId, "aws:PrincipalAccount": !Ref AWS::AccountId}',
        '{"aws:ResourceAccount": !Ref AWS::AccountId}',
    ),
    Weakening(
        "endpoints for everybody", "endpoints", "SourceSecurityGroupId: !Ref FederationGroupId", "CidrIp: 0.0.0.0/0"
    ),
    Weakening(
        "endpoints on every port",
        "endpoints",
        "- {IpProtocol: tcp, FromPort: 443, ToPort: 443, Source",
        "- {IpProtocol: tcp, FromPort: 0, ToPort: 65535, Source",
    ),
    Weakening(
        "anybody's credentials through STS",
        "endpoints",
        'Action: [sts:AssumeRole, sts:GetCallerIdentity]\n            Resource: "*"\n            Condition: '
        '{StringEquals: {"aws:PrincipalAccount": !Ref PrincipalAccounts}}',
        'Action: [sts:AssumeRole, sts:GetCallerIdentity]\n            Resource: "*"',
    ),
    Weakening(
        "accepter role for the server's whole account",
        "peering-accepter",
        "Principal: {AWS: !Ref RequesterArn}",
        'Principal: {AWS: !Sub "arn:aws:iam::${ServerAccountId}:root"}',
    ),
    Weakening(
        "accepter accepts for any VPC",
        "peering-accepter",
        '"ec2:AccepterVpc": !Sub "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/${VpcId}"',
        '"ec2:AccepterVpc": "arn:aws:ec2:*:*:vpc/*"',
    ),
    Weakening(
        "accepter accepts from anybody",
        "peering-accepter",
        '                    "ec2:RequesterVpc": !Sub "arn:${AWS::Partition}:ec2:${AWS::Region}:${ServerAccountId}:vpc/*"\n',
        "",
    ),
    Weakening(
        "accepter does everything in EC2",
        "peering-accepter",
        'Action: ec2:AcceptVpcPeeringConnection\n                Resource: !Sub "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/',
        'Action: "ec2:*"\n                Resource: !Sub "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/',
    ),
    Weakening(
        "accepter's VPC asked for keys of a peering",
        "peering-accepter",
        '${AWS::AccountId}:vpc-peering-connection/*"\n                Condition',
        '${AWS::AccountId}:vpc/${VpcId}"\n                Condition',
    ),
    Weakening("server's port for the internet", "peering", "CidrIp: !Ref PeerVpcCidr", "CidrIp: 0.0.0.0/0"),
    Weakening("every port of the server", "peering", "FromPort: !Ref ServerPort", "FromPort: 1"),
    Weakening(
        "everything goes through the peering",
        "peering",
        "DestinationCidrBlock: !Ref PeerVpcCidr",
        "DestinationCidrBlock: 0.0.0.0/0",
    ),
    Weakening(
        "job calls anybody through the peering", "peering-routes", "CidrIp: !Ref ServerVpcCidr", "CidrIp: 0.0.0.0/0"
    ),
    Weakening("job calls by any protocol", "peering-routes", "IpProtocol: tcp", 'IpProtocol: "-1"'),
    Weakening(
        "notebook with internet", "notebook-instance", "DirectInternetAccess: Disabled", "DirectInternetAccess: Enabled"
    ),
    Weakening("notebook with root", "notebook-instance", "RootAccess: Disabled", "RootAccess: Enabled"),
    Weakening(
        "notebook with the old metadata service",
        "notebook-instance",
        'MinimumInstanceMetadataServiceVersion: "2"',
        'MinimumInstanceMetadataServiceVersion: "1"',
    ),
    Weakening("notebook's disk in the clear", "notebook-instance", "      KmsKeyId: !Ref KeyArn\n", ""),
    Weakening("notebook outside the network", "notebook-instance", "      SubnetId: !Select [0, !Ref SubnetIds]\n", ""),
    Weakening("old notebook platform", "notebook-instance", "Default: notebook-al2023-v1", "Default: notebook-al2-v2"),
    Weakening(
        "bundle is not checked",
        "notebook-instance",
        '                echo "${BundleSha256}  $home/kit.tar" | sha256sum --check --quiet\n',
        "",
    ),
    *(
        Weakening(
            f"{role} without its boundary", template, f'{named}"\n      Path: !Ref RolePath\n{BOUND}', named + '"\n'
        )
        for role, template, named in (
            ("kick-off role", "client-access", "kickoff-client-job"),
            ("machine's role", "client-access", "kickoff-machine"),
            ("job's role", "client-job", "client-job-execution"),
            ("accepter", "peering-accepter", "accept-peering"),
            ("notebook role", "server-access", "server-notebook"),
            ("flow log's role", "network", "flow-log"),
            ("control plane's role", "cluster", "${NamePrefix}cluster"),
            ("nodes' role", "nodes", "${NamePrefix}node"),
            ("agent's role", "agent-access", "${NamePrefix}agent"),
            ("run's role", "run-access", "${NamePrefix}run"),
            ("launcher's role", "run-access", "${NamePrefix}launcher"),
            ("served model's role", "serving", "${NamePrefix}served-model"),
            ("tracker's role", "tracker", "${NamePrefix}tracker"),
            ("table job's role", "table-job", "${NamePrefix}table-job"),
        )
    ),
    Weakening(
        "a boundary that nobody chose",
        "client-job",
        "!If [HasBoundary, !Sub",
        "!If [NeverAtAll, !Sub",
    ),
    Weakening(
        "a policy with a name of its own", "server-access", '"${NamePrefix}allow-kickoff-client-job"', "allow-kickoff"
    ),
    Weakening(
        "cluster's API for the internet",
        "cluster",
        "EndpointPublicAccess: !If [FromOutside, true, false]",
        "EndpointPublicAccess: true",
    ),
    Weakening(
        "cluster's API for every address",
        "cluster",
        "[FromOutside, !Ref OwnerAddresses, !Ref AWS::NoValue]",
        "[FromOutside, [0.0.0.0/0], !Ref AWS::NoValue]",
    ),
    Weakening("cluster's API for who names the world", "cluster", "/(2[4-9]|3[0-2])", "/[0-9]{1,2}"),
    Weakening(
        "cluster's API from outside without being asked",
        "cluster",
        "FromOutside: !Not [!Equals [",
        "FromOutside: !Not [!Equals [x, ",
    ),
    Weakening(
        "nodes reach the API by the internet", "cluster", "EndpointPrivateAccess: true", "EndpointPrivateAccess: false"
    ),
    Weakening(
        "cluster's Secrets in the clear",
        "cluster",
        "      EncryptionConfig:\n        - Resources: [secrets]\n          Provider: {KeyArn: !Ref KeyArn}\n",
        "",
    ),
    Weakening("nobody knows who asked the cluster", "cluster", "{Type: audit}, {Type: authenticator}, ", ""),
    Weakening(
        "cluster without logs",
        "cluster",
        "      Logging:\n        ClusterLogging:\n          EnabledTypes: [{Type: api}, {Type: audit}, {Type: authenticator}, {Type: controllerManager}, {Type: scheduler}]\n",
        "",
    ),
    Weakening(
        "who is let in is said inside of the cluster",
        "cluster",
        "AuthenticationMode: API",
        "AuthenticationMode: CONFIG_MAP",
    ),
    Weakening(
        "who is let in is said in two places",
        "cluster",
        "AuthenticationMode: API",
        "AuthenticationMode: API_AND_CONFIG_MAP",
    ),
    Weakening(
        "who made the cluster stays its administrator", "cluster", "AdminPermissions: false", "AdminPermissions: true"
    ),
    Weakening("an old version for more money", "cluster", "SupportType: STANDARD", "SupportType: EXTENDED"),
    Weakening(
        "control plane for any account's EKS",
        "cluster",
        '            Condition:\n              StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}\n',
        "",
    ),
    Weakening("control plane uses every key", "cluster", "Resource: !Ref KeyArn", 'Resource: "*"'),
    Weakening("control plane is an administrator", "cluster", "AmazonEKSClusterPolicy", "AdministratorAccess"),
    Weakening("nodes are administrators", "nodes", "AmazonEKSWorkerNodePolicy", "AdministratorAccess"),
    Weakening(
        "nodes push images", "nodes", "AmazonEC2ContainerRegistryPullOnly", "AmazonEC2ContainerRegistryPowerUser"
    ),
    Weakening("nodes' role for Lambda", "nodes", "Service: ec2.amazonaws.com", "Service: lambda.amazonaws.com"),
    Weakening(
        "nodes heed no NetworkPolicy",
        "nodes",
        '\'{"enableNetworkPolicy": "true"}\'',
        '\'{"enableNetworkPolicy": "false"}\'',
    ),
    Weakening(
        "nodes with a door for SSH",
        "nodes",
        "      DiskSize: 20\n",
        "      DiskSize: 20\n      RemoteAccess: {Ec2SshKey: mine}\n",
    ),
    Weakening("nodes of a system that is not kept up", "nodes", "AL2023_x86_64_STANDARD", "AL2_x86_64"),
    Weakening("pods have the node's role", "nodes", "AddonName: eks-pod-identity-agent", "AddonName: coredns"),
    Weakening("tags of images move", "registry", "ImageTagMutability: IMMUTABLE", "ImageTagMutability: MUTABLE"),
    Weakening("nobody looks at images", "registry", "ScanOnPush: true", "ScanOnPush: false"),
    Weakening(
        "images with Amazon's key", "registry", "{EncryptionType: KMS, KmsKey: !Ref KeyArn}", "{EncryptionType: AES256}"
    ),
    Weakening(
        "images for every account",
        "registry",
        "      EmptyOnDelete: true\n",
        '      EmptyOnDelete: true\n      RepositoryPolicyText: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: "*", Action: "ecr:BatchGetImage"}]}\n',
    ),
    *(
        Weakening(f"{who} {name}", template, old, new)
        for who, template in (("agent's role", "agent-access"), ("run's role", "run-access"))
        for name, old, new in (
            ("for any cluster", '              ArnEquals: {"aws:SourceArn": !Ref ClusterArn}\n', ""),
            (
                "for any account's clusters",
                '              StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}\n',
                "",
            ),
            (
                "for jobs too",
                "{Service: pods.eks.amazonaws.com}",
                "{Service: [pods.eks.amazonaws.com, sagemaker.amazonaws.com]}",
            ),
            ("for pods of another namespace", "Namespace: federation", "Namespace: default"),
        )
    ),
    Weakening("agent does anything in S3", "agent-access", "Action: s3:PutObject", 'Action: "s3:*"'),
    Weakening("agent reads the whole bucket", "agent-access", "${BucketName}/data/*", "${BucketName}/*"),
    Weakening(
        "agent lists the whole bucket",
        "agent-access",
        '                Condition:\n                  StringLike: {"s3:prefix": ["data/*", "told/*"]}\n',
        "",
    ),
    Weakening(
        "agent reads every bucket", "agent-access", '- !Sub "arn:${AWS::Partition}:s3:::${BucketName}/data/*"', '- "*"'
    ),
    Weakening("agent changes its rows", "agent-access", "${BucketName}/artefacts/models/*", "${BucketName}/data/*"),
    Weakening("agent uses every key", "agent-access", "Resource: !Ref KeyArn", 'Resource: "*"'),
    Weakening(
        "agent's role for every pod's account", "agent-access", "ServiceAccount: agent", "ServiceAccount: default"
    ),
    Weakening("run changes its test rows", "run-access", "${BucketName}/model/runs/*", "${BucketName}/data/*"),
    Weakening(
        "run lists the whole bucket",
        "run-access",
        '                Condition:\n                  StringLike: {"s3:prefix": ["model/checkpoints/*"]}\n',
        "",
    ),
    Weakening(
        "launcher administers the cluster",
        "run-access",
        '      KubernetesGroups: ["federation:launchers"]\n',
        '      AccessPolicies: [{PolicyArn: !Sub "arn:${AWS::Partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", AccessScope: {Type: cluster}}]\n',
    ),
    Weakening(
        "launcher is in the administrators' group", "run-access", '["federation:launchers"]', '["system:masters"]'
    ),
    Weakening(
        "launcher finds every cluster",
        "run-access",
        "Action: eks:DescribeCluster\n                Resource: !Ref ClusterArn",
        'Action: "eks:*"\n                Resource: "*"',
    ),
    Weakening(
        "launcher reads the test rows",
        "run-access",
        '- Sid: ReadResults\n                Effect: Allow\n                Action: s3:GetObject\n                Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/model/*"',
        '- Sid: ReadResults\n                Effect: Allow\n                Action: s3:GetObject\n                Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/data/*"',
    ),
    Weakening(
        "the account's every role starts runs",
        "run-access",
        "Principal: {AWS: !Ref OperatorArn}",
        'Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}',
    ),
    Weakening(
        "who comes later under the operator's name starts runs",
        "run-access",
        '            Condition:\n              StringLike: {"aws:userid": [!Ref OperatorId, !Sub "${OperatorId}:*"]}\n',
        "",
    ),
    Weakening(
        "launcher's sessions of twelve hours", "run-access", "MaxSessionDuration: 3600", "MaxSessionDuration: 43200"
    ),
    *(
        Weakening(f"{who} for {name}", template, old, new)
        for who, template in (
            ("served model's role", "serving"),
            ("tracker's role", "tracker"),
            ("table job's role", "table-job"),
        )
        for name, old, new in (
            (
                "any account's SageMaker",
                '              StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}\n',
                "",
            ),
            ("every service", "{Service: sagemaker.amazonaws.com}", '"*"'),
        )
    ),
    Weakening(
        "served model reads the whole bucket",
        "serving",
        '- Sid: ReadArchiveAndTables\n                Effect: Allow\n                Action: s3:GetObject\n                Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/model/serving/*"',
        '- Sid: ReadArchiveAndTables\n                Effect: Allow\n                Action: s3:GetObject\n                Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/*"',
    ),
    Weakening("served model does anything in S3", "serving", "Action: s3:PutObject", 'Action: "s3:*"'),
    Weakening(
        "served model lists the whole bucket",
        "serving",
        '                Condition:\n                  StringLike: {"s3:prefix": ["model/serving/*"]}\n',
        "",
    ),
    Weakening(
        "served model uses every key",
        "serving",
        "                Resource: !Ref KeyArn",
        '                Resource: "*"',
    ),
    Weakening("served model's image from any registry", "serving", "${Registry}", "*"),
    Weakening(
        "caller makes models with a network",
        "serving",
        '            Condition:\n              Bool: {"sagemaker:NetworkIsolation": "true"}\n',
        "",
    ),
    Weakening("caller asks every endpoint", "serving", ":endpoint/fl-*", ":endpoint/*"),
    Weakening(
        "caller serves on any machine",
        "serving",
        '              ForAllValues:StringEquals: {"sagemaker:InstanceTypes": [!Ref ServingInstanceType]}\n',
        "",
    ),
    Weakening(
        "caller serves on a machine that is not named",
        "serving",
        '              "Null": {"sagemaker:InstanceTypes": "false"}\n',
        "",
    ),
    Weakening("caller hands over any role", "serving", "Resource: !GetAtt ModelRole.Arn", 'Resource: "*"'),
    Weakening(
        "caller hands the role to any service",
        "serving",
        '              StringEquals: {"iam:PassedToService": sagemaker.amazonaws.com}\n',
        '              StringLike: {"iam:PassedToService": "*"}\n',
    ),
    Weakening(
        "caller deletes the whole bucket",
        "serving",
        'Action: [s3:DeleteObject, s3:GetObject, s3:PutObject]\n            Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/model/serving/*"',
        'Action: [s3:DeleteObject, s3:GetObject, s3:PutObject]\n            Resource: !Sub "arn:${AWS::Partition}:s3:::${BucketName}/*"',
    ),
    Weakening(
        "tracker keeps files anywhere in the bucket", "tracker", "${BucketName}/model/tracking/*", "${BucketName}/*"
    ),
    Weakening(
        "tracker lists the whole bucket",
        "tracker",
        '                Condition:\n                  StringLike: {"s3:prefix": ["model/tracking", "model/tracking/*"]}\n',
        "",
    ),
    Weakening("tracker uses every key", "tracker", "Resource: !Ref KeyArn", 'Resource: "*"'),
    Weakening(
        "caller opens every tracker",
        "tracker",
        "Resource: !GetAtt App.Arn",
        'Resource: !Sub "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:mlflow-app/*"',
    ),
    Weakening("tracker registers models", "tracker", "AutoModelRegistrationDisabled", "AutoModelRegistrationEnabled"),
    Weakening(
        "nodes' endpoints for everybody",
        "cluster-endpoints",
        "SourceSecurityGroupId: !Ref ClusterGroupId",
        "CidrIp: 10.0.0.0/8",
    ),
    Weakening(
        "nodes' endpoints on every port",
        "cluster-endpoints",
        "FromPort: 443, ToPort: 443, Source",
        "FromPort: 0, ToPort: 65535, Source",
    ),
    *(
        Weakening(
            f"anybody's credentials through {name}",
            "cluster-endpoints",
            f'Action: [{action}]\n            Resource: "*"\n            Condition: {{StringEquals: {{"aws:PrincipalAccount": !Ref PrincipalAccounts}}}}\n',
            f'Action: [{action}]\n            Resource: "*"\n',
        )
        for name, action in (
            ("EKS's endpoint", "eks:DescribeCluster"),
            ("Pod Identity's endpoint", "eks-auth:AssumeRoleForPodIdentity"),
            ("STS's endpoint of runs", "sts:GetCallerIdentity"),
        )
    ),
    Weakening(
        "any call through EKS's endpoint", "cluster-endpoints", "Action: [eks:DescribeCluster]", 'Action: ["eks:*"]'
    ),
    Weakening(
        "an endpoint that is not found",
        "cluster-endpoints",
        """ServiceName: !Sub "com.amazonaws.${AWS::Region}.eks-auth"
      VpcEndpointType: Interface
      SubnetIds: [!Select [0, !Ref SubnetIds]]
      SecurityGroupIds: [!Ref EndpointGroup]
      PrivateDnsEnabled: true""",
        """ServiceName: !Sub "com.amazonaws.${AWS::Region}.eks-auth"
      VpcEndpointType: Interface
      SubnetIds: [!Select [0, !Ref SubnetIds]]
      SecurityGroupIds: [!Ref EndpointGroup]
      PrivateDnsEnabled: false""",
    ),
    Weakening("a key in the template", "storage", "Metadata:\n", "Metadata:\n  Key: AKIA" + "IOSFODNN7EXAMPLE\n"),
]

DEPLOYMENT, JOB, LAUNCHER = "agent/deployment.yaml", "run/job.yaml", "server/launcher.yaml"
POLICIES, AGENT, SERVER = "base/network-policies.yaml", "rendered/agent", "rendered/server"
DENY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: nothing
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
"""
AGENT_DIALS = """  egress:
  - ports:
    - port: 9092
      protocol: TCP
    to:
    - ipBlock:
        cidr: 10.20.0.0/16
"""
PROBE = """          livenessProbe:
            exec: {command: [python, status.py, /var/lib/agent]}
            periodSeconds: 20
            timeoutSeconds: 10
            failureThreshold: 3
"""
BUDGET = "  - disruption-budget.yaml\n"
EVERYBODY = """  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}"""
OF_MANIFESTS = [
    *(
        Weakening(f"{who} {name}", template, old, new)
        for who, template in (("agent", DEPLOYMENT), ("run", JOB))
        for name, old, new in (
            (
                "is privileged",
                "            allowPrivilegeEscalation: false\n",
                "            privileged: true\n",
            ),
            ("may get more rights", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
            (
                "is root",
                "        runAsNonRoot: true\n        runAsUser: 10001\n",
                "        runAsNonRoot: false\n        runAsUser: 0\n",
            ),
            ("is a user of the node", "runAsUser: 10001", "runAsUser: 1000"),
            ("writes its root file system", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
            ("has a misspelt protection", "readOnlyRootFilesystem", "readOnlyRootFileSystem"),
            ("makes packets of its own", "{drop: [ALL]}", "{drop: [ALL], add: [NET_RAW]}"),
            ("keeps its capabilities", "            capabilities: {drop: [ALL]}\n", ""),
            ("may call the whole kernel", "type: RuntimeDefault", "type: Unconfined"),
            (
                "is in the node's network",
                "      dnsPolicy: Default",
                "      hostNetwork: true\n      dnsPolicy: Default",
            ),
            ("sees the node's processes", "      dnsPolicy: Default", "      hostPID: true\n      dnsPolicy: Default"),
            ("reads the node's files", "emptyDir: {sizeLimit: 512Mi}", "hostPath: {path: /}"),
            ("fills the node's disk", "emptyDir: {sizeLimit: 512Mi}", "emptyDir: {}"),
            (
                "has a token of the cluster",
                "      automountServiceAccountToken: false\n",
                "      automountServiceAccountToken: true\n",
            ),
            ("may take all of the node", '            limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 1Gi}\n', ""),
            (
                "has a secret in its environment",
                '            - {name: PYTHONUNBUFFERED, value: "1"}\n',
                "            - {name: AWS_SECRET_ACCESS_KEY, value: not-really}\n",
            ),
            (
                "has a Secret as its environment",
                "            - {name: HOME, value: ",
                "            - {name: FED, valueFrom: {secretKeyRef: {name: authority, key: ca.key}}}\n"
                "            - {name: HOME, value: ",
            ),
            ("is an image that was there before", "imagePullPolicy: Always", "imagePullPolicy: IfNotPresent"),
        )
    ),
    Weakening("agent is an image by tag", DEPLOYMENT, "image: agent\n", "image: somebody/agent:1.0\n"),
    Weakening("agent is a moving image", DEPLOYMENT, "image: agent\n", "image: somebody/agent\n"),
    Weakening(
        "agent of an account with every right", DEPLOYMENT, "serviceAccountName: agent", "serviceAccountName: default"
    ),
    Weakening("agent's account brings its token", "agent/service-account.yaml", "Token: false", "Token: true"),
    Weakening("two agents for a while", DEPLOYMENT, "strategy: {type: Recreate}", "strategy: {type: RollingUpdate}"),
    Weakening(
        "two agents",
        DEPLOYMENT,
        "replicas: 1\n  strategy: {type: Recreate}",
        "replicas: 2\n  strategy: {type: RollingUpdate}",
    ),
    Weakening("nobody sees that an agent hangs", DEPLOYMENT, PROBE, ""),
    Weakening("a drain does not ask for an agent", "agent/kustomization.yaml", BUDGET, ""),
    Weakening("a drain ends a run", "server/kustomization.yaml", BUDGET, ""),
    Weakening("no policy forbids anything", POLICIES, DENY + "---\n", ""),
    Weakening("what goes out is not forbidden", POLICIES, DENY, DENY.replace("[Ingress, Egress]", "[Ingress]")),
    Weakening("what comes in is not forbidden", POLICIES, DENY, DENY.replace("[Ingress, Egress]", "[Egress]")),
    Weakening(
        "only some pods are forbidden anything", POLICIES, DENY, DENY.replace("{}", "{matchLabels: {guarded: 'yes'}}")
    ),
    Weakening("every port of everybody is reached", POLICIES, "      ports: [{protocol: TCP, port: 443}]\n", ""),
    Weakening("everybody is reached without TLS", POLICIES, "port: 443}", "port: 443}, {protocol: TCP, port: 80}"),
    Weakening("the node's own role is reached", POLICIES, "169.254.170.23/32", "169.254.0.0/16"),
    Weakening("agent dials anybody", AGENT, AGENT_DIALS, AGENT_DIALS.replace("10.20.0.0/16", "0.0.0.0/0")),
    Weakening(
        "agent dials every port of the server",
        AGENT,
        AGENT_DIALS,
        AGENT_DIALS.replace("    - port: 9092\n      protocol: TCP\n", "    - protocol: TCP\n"),
    ),
    Weakening(
        "agent is dialled",
        "agent/network-policy.yaml",
        "  policyTypes: [Egress]\n",
        "  policyTypes: [Ingress, Egress]\n  ingress: [{}]\n",
    ),
    Weakening(
        "run is dialled by anybody",
        "server/network-policy.yaml",
        "      ports: [{protocol: TCP, port: 9092}]\n",
        "      ports: [{protocol: TCP, port: 9092}]\n    - ports: [{protocol: TCP, port: 9092}]\n",
    ),
    Weakening("load balancer for the internet", "server/service.yaml", 'internal: "true"', 'internal: "false"'),
    Weakening(
        "load balancer of the default kind",
        "server/service.yaml",
        '    service.beta.kubernetes.io/aws-load-balancer-internal: "true"\n',
        "",
    ),
    Weakening("load balancer for everybody", SERVER, "  loadBalancerSourceRanges:\n  - 10.30.0.0/16\n", ""),
    Weakening("load balancer for every address", SERVER, "Ranges:\n  - 10.30.0.0/16\n", "Ranges:\n  - 0.0.0.0/0\n"),
    Weakening("a port on every node", "server/service.yaml", "type: LoadBalancer", "type: NodePort"),
    Weakening("any pod is admitted", "base/namespace.yaml", "enforce: restricted", "enforce: privileged"),
    Weakening("no pod is looked at", "base/namespace.yaml", "    pod-security.kubernetes.io/enforce: restricted\n", ""),
    Weakening("launcher reads Secrets", LAUNCHER, "resources: [configmaps]", "resources: [configmaps, secrets]"),
    Weakening(
        "launcher does anything with jobs",
        LAUNCHER,
        "[jobs]\n    verbs: [create, get, list, watch, delete]\n",
        '[jobs]\n    verbs: ["*"]\n',
    ),
    Weakening(
        "launcher has a shell in pods", LAUNCHER, "pods, pods/log, events, services", "pods, pods/exec, pods/log"
    ),
    Weakening(
        "launcher gives itself rights",
        LAUNCHER,
        '  - apiGroups: [""]\n    resources: [configmaps]\n    verbs: [create',
        "  - apiGroups: [rbac.authorization.k8s.io]\n    resources: [roles]\n    verbs: [escalate, create",
    ),
    Weakening(
        "everybody starts runs",
        LAUNCHER,
        '  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "federation:launchers"}',
        EVERYBODY,
    ),
    Weakening(
        "launcher is an administrator",
        LAUNCHER,
        "kind: Role, name: launcher}",
        "kind: ClusterRole, name: cluster-admin}",
    ),
    Weakening("launcher in the whole cluster", LAUNCHER, "kind: Role\nmetadata", "kind: ClusterRole\nmetadata"),
    Weakening("a run without deadline", "rendered/run", "  activeDeadlineSeconds: 3900\n", ""),
    Weakening("a run is retried for ever", JOB, "backoffLimit: 4", "backoffLimit: 2147483647"),
    Weakening("a run that has ended is retried", JOB, "      - action: FailJob", "      - action: Count"),
    Weakening("a run stays where it ended", JOB, "  ttlSecondsAfterFinished: 3600\n", ""),
    Weakening(
        "two servers of one run", JOB, "podReplacementPolicy: Failed", "podReplacementPolicy: TerminatingOrFailed"
    ),
    Weakening("a run of several pods", JOB, "  backoffLimit: 4\n", "  backoffLimit: 4\n  parallelism: 3\n"),
    Weakening("a run beside the federation", JOB, "  namespace: federation\n", "  namespace: default\n"),
]

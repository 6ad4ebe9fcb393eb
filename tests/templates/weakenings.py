"""Single changes that weaken a template: its name, the text that is there, and what an attacker would like to see."""

from pathlib import Path
from typing import NamedTuple


class Weakening(NamedTuple):
    """One change of one template; ``old`` must stand there exactly once."""

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
        "MapPublicIpOnLaunch: false\n      Tags: [{Key: Name, Value: fl-private-a}]",
        "MapPublicIpOnLaunch: true\n      Tags: [{Key: Name, Value: fl-private-a}]",
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
    Weakening("a key in the template", "storage", "Metadata:\n", "Metadata:\n  Key: AKIA" + "IOSFODNN7EXAMPLE\n"),
]

"""Single changes that weaken a template: its name, the text that is there, and what an attacker would like to see."""

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
    Weakening(
        "any role may be passed",
        "client-access",
        "            Resource: !Ref ExecutionRoleArn",
        '            Resource: "*"',
    ),
    Weakening(
        "role may be passed to any service",
        "client-access",
        '            Condition:\n              StringEquals: {"iam:PassedToService": sagemaker.amazonaws.com}\n',
        "",
    ),
    Weakening(
        "role may be passed to EC2",
        "client-access",
        '{"iam:PassedToService": sagemaker.amazonaws.com}',
        '{"iam:PassedToService": ec2.amazonaws.com}',
    ),
    Weakening(
        "kick-off may do everything in SageMaker",
        "client-access",
        "Action: sagemaker:CreateTrainingJob",
        'Action: "sagemaker:*"',
    ),
    Weakening(
        "jobs of any name",
        "client-access",
        "StartFederationJobs\n            Effect: Allow\n"
        '            Action: sagemaker:CreateTrainingJob\n            Resource: !Sub "arn:${AWS::Partition}:sagemaker:'
        '${AWS::Region}:${AWS::AccountId}:training-job/fl-*"',
        "StartFederationJobs\n            Effect: Allow\n"
        '            Action: sagemaker:CreateTrainingJob\n            Resource: "*"',
    ),
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
    Weakening("one right subnet is enough", "client-access", "ForAllValues:StringEquals", "ForAnyValue:StringEquals"),
    Weakening(
        "kick-off reads rows", "client-access", "Action: logs:GetLogEvents", "Action: [logs:GetLogEvents, s3:GetObject]"
    ),
    Weakening("kick-off reads every log", "client-access", 'TrainingJobs:log-stream:fl-*"', 'TrainingJobs:*"'),
    Weakening(
        "kick-off is an administrator",
        "client-access",
        "ManagedPolicyArns: [!Ref KickoffPolicy]",
        'ManagedPolicyArns: [!Ref KickoffPolicy, "arn:aws:iam::aws:policy/AdministratorAccess"]',
    ),
    Weakening(
        "kick-off has SageMaker's full access",
        "client-access",
        "ManagedPolicyArns: [!Ref KickoffPolicy]",
        'ManagedPolicyArns: [!Ref KickoffPolicy, "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"]',
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
        '                Condition:\n                  StringLike: {"s3:prefix": ["artefacts/checkpoints/*", "code/*", "data/*"]}\n',
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
    Weakening("any role's ARN is taken as a kick-off role", "server-access", 'role/FL-kickoff-client-job"', 'role/.+"'),
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
        "{SSEAlgorithm: aws:kms, KMSMasterKeyID: !GetAtt Key.Arn}",
        "{SSEAlgorithm: AES256}",
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
    Weakening("a key in the template", "storage", "Metadata:\n", "Metadata:\n  Key: AKIA" + "IOSFODNN7EXAMPLE\n"),
]

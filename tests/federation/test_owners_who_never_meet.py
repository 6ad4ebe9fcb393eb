"""Two owners, each alone with one account and the other's card, as docs/run-on-aws.md tells them."""

import json
import shutil

import pytest

from client_code import schema
from data_prep import sources
from workshop import problems, state
from workshop.aws import accounts, uploads

FRAUD = problems.load()


@pytest.fixture(scope="module")
def connected(owners, tmp_path_factory):
    """Go through the page step by step; return what every step said."""
    mail = tmp_path_factory.mktemp("mail")

    def send(sender, card, *options):
        (mail / card).write_text(owners(sender, "card", sender, *options))
        return mail / card

    told = {"agree": owners("server", "agree", f"client-1={owners.aws.accounts['client-1']}")}
    told["server 1"] = owners("server", "deploy", "server", code=3)
    owners("client-1", "join", send("server", "for-client-1", "--for", "client-1"))
    told["client 1"] = owners("client-1", "deploy", "client-1", code=3)
    owners("server", "join", send("client-1", "client-1"))
    told["server 2"] = owners("server", "deploy", "server")
    owners("client-1", "join", send("server", "for-client-1", "--for", "client-1"))
    told["client 2"] = owners("client-1", "deploy", "client-1")
    told["cards"] = "".join(path.read_text() for path in mail.iterdir())
    return told


def test_each_deploys_as_far_as_it_can_and_says_whom_it_waits_for(connected):
    assert "server's stack peering needs VpcId of client-1's stack fl-network" in connected["server 1"]
    assert (
        "client-1's stack peering-routes needs PeeringId of server's stack fl-peering-client-1" in connected["client 1"]
    )
    assert "all stacks of server stand" in connected["server 2"]
    assert "all stacks of client-1 stand" in connected["client 2"]
    assert connected["client 2"].count("unchanged") == 5  # a stack that stands already is left alone


def test_the_network_between_them_stands(owners, connected):
    server, client = (owners.aws.session(name).client("ec2") for name in ("server", "client-1"))
    for ec2 in (server, client):
        (peering,) = ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
        assert peering["Status"]["Code"] == "active"


def test_a_card_holds_no_key_and_a_foreign_or_broken_one_is_refused(owners, connected, tmp_path):
    assert "AKIA" not in connected["cards"]
    assert "secret" not in connected["cards"].lower()
    assert not any(str(home) in connected["cards"] for home in owners.homes.values())
    broken, foreign = tmp_path / "broken", tmp_path / "foreign"
    broken.write_text("{}")
    assert "is no card of this kit" in owners("server", "join", broken, code=1)
    card = {"name": "client-1", "account": "999999999999", "outputs": {}}
    foreign.write_text(json.dumps(card))
    assert "of account 999999999999; the agreement has 444455556666" in owners("server", "join", foreign, code=1)


def test_nobody_prepares_files_for_who_is_not_a_member(owners, connected):
    assert "client-7 is not in the agreement: client-1" in owners("client-1", "prepare", "client-7", "x.csv", code=1)


def test_the_agreement_is_private(owners, connected):
    for home in owners.homes.values():
        assert (home / "agreement.json").stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in (home / "cards").glob("*.json"))


def test_a_change_of_a_standing_stack_is_shown_and_not_made_without_a_yes(owners, connected):
    home = owners.homes["server"]
    agreement = json.loads((home / "agreement.json").read_text())
    before = agreement["port"]
    agreement["port"] = 9999
    (home / "agreement.json").write_text(json.dumps(agreement))
    refused = owners("server", "deploy", "server", code=1)
    assert "Modify ClientMayCall (AWS::EC2::SecurityGroupIngress)" in refused
    assert "nothing was changed" in refused
    done = owners("server", "deploy", "server", "--yes")
    assert "fl-peering-client-1              changed" in done
    agreement["port"] = before
    (home / "agreement.json").write_text(json.dumps(agreement))
    owners("server", "deploy", "server", "--yes")


def test_each_prepares_and_uploads_its_own_rows_and_the_doctor_finds_nothing(owners, connected, tmp_path):
    rows = sources.load("synthetic", FRAUD, seed=0, cache=tmp_path).frame
    rows.iloc[::2].to_csv(tmp_path / "client.csv", index=False)
    rows.iloc[1::2].to_csv(tmp_path / "server.csv", index=False)
    for name, table in (("client-1", "client.csv"), ("server", "server.csv")):
        told = owners(name, "prepare", name, tmp_path / table)
        assert "positives" in told
    assert "code/source.tar.gz" in owners("client-1", "upload", "client-1")
    told = owners("server", "upload", "server")
    assert "data/test.csv" in told
    assert "data, accounts are ready for the notebook instance" in told
    findings = owners("server", "doctor", "server")
    assert "WRONG" not in findings
    assert "kick-off role    can be borrowed" in findings

    # On the notebook instance, which knows its bucket and nothing else:
    home = tmp_path / "instance"
    shutil.copytree(owners.homes["server"] / "embedded", home / "embedded")
    bucket = owners.aws.session("server").client("s3").list_buckets()["Buckets"][0]["Name"]
    (home / "server-bucket").write_text(f"{bucket}\n")
    (home / "state.json").write_text(json.dumps({"target": {"name": "embedded", "clients": 1}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        assert uploads.fetch(accounts.session("server")) == ["data", "accounts", "test.csv"]
        (known,) = state.load("accounts")
        assert [client["name"] for client in known["clients"]] == ["client-1"]
        assert schema.read_table(home / "data" / "server" / "test.csv", FRAUD).shape[1] == 50


def test_a_table_that_breaks_the_schema_is_refused_before_anything_is_written(owners, connected, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    assert "bad.csv" in owners("client-1", "prepare", "client-1", tmp_path / "bad.csv", code=1)


def test_a_client_that_deleted_everything_is_connected_again(owners, connected, tmp_path):
    def send(sender, reader, *options):
        (tmp_path / "card").write_text(owners(sender, "card", sender, *options))
        owners(reader, "join", tmp_path / "card")

    assert "nothing was deleted" in owners("client-1", "delete", "client-1", code=1)  # nobody there to ask
    owners("client-1", "delete", "client-1", "--yes")
    findings = owners("server", "doctor", "server", code=1)
    assert "WRONG client-1      peering          deleted" in findings
    told = owners("client-1", "deploy", "client-1", code=1)
    assert "ask the server's owner for a new card" in told
    send("client-1", "server")
    owners("server", "deploy", "server", "--yes")
    send("server", "client-1", "--for", "client-1")
    assert "all stacks of client-1 stand" in owners("client-1", "deploy", "client-1", "--yes")
    findings = owners("client-1", "doctor", "client-1", code=1)
    assert [line for line in findings.splitlines() if line.startswith("WRONG")] == [
        "WRONG client-1      own bucket       0 objects below data/"
    ]


def wrong(findings):
    """Return what the doctor found wrong: checks by whom they are of, each with what was found and the remedy."""
    lines = findings.splitlines()
    return {
        line[20:37].strip(): f"{line[37:]} {remedy}"
        for line, remedy in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("WRONG")
    }


def test_a_server_that_deleted_everything_is_given_a_new_grant(owners, connected, tmp_path):
    """IAM keeps the unique id of whom a policy trusts: a role made anew is another one (IAM user guide, principals)."""

    def send(sender, reader, *options):
        (tmp_path / "card").write_text(owners(sender, "card", sender, *options))
        owners(reader, "join", tmp_path / "card")

    def trusted():
        role = owners.aws.session("client-1").client("iam").get_role(RoleName="FL-kickoff-client-job")["Role"]
        return role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]

    owners("server", "delete", "server", "--yes")
    assert trusted().startswith("AROA")
    agreed = owners("server", "agree", f"client-1={owners.aws.accounts['client-1']}")
    assert agreed == connected["agree"]  # the same addresses
    owners("server", "deploy", "server")  # the client's card is there still
    assert (
        "your new card: join it, and `python -m workshop deploy client-1`"
        in wrong(owners("server", "doctor", "server", code=1))["kick-off role"]
    )
    assert "ask the server's owner" in wrong(owners("client-1", "doctor", "client-1", code=1))["trust"]
    send("server", "client-1", "--for", "client-1")
    told = wrong(owners("client-1", "doctor", "client-1", code=1))["trust"]
    assert "as it was before" in told
    assert told.endswith("-> `python -m workshop deploy client-1`")
    assert "fl-client-access                 changed" in owners("client-1", "deploy", "client-1", "--yes")
    assert trusted() == f"arn:aws:iam::{owners.aws.accounts['server']}:role/FL-server-notebook"
    assert "kick-off role    can be borrowed" in owners("server", "doctor", "server", code=1)
    assert wrong(owners("client-1", "doctor", "client-1", code=1)).keys() == {"own bucket"}


def test_who_deploys_for_the_server_and_is_made_anew_is_trusted_anew(owners, connected, tmp_path):
    """The accepter role trusts a user, whom the server's owner deletes and makes again under the same name."""
    iam, home = owners.aws.session("server").client("iam"), owners.homes["server"]
    before = json.loads((home / "agreement.json").read_text())
    user = iam.create_user(UserName="deployer")["User"]

    def agree_on(requester, unique_id):
        agreement = json.loads((home / "agreement.json").read_text())
        agreement |= {"requester": requester, "requester_id": unique_id}
        (home / "agreement.json").write_text(json.dumps(agreement))

    def take_over():
        (tmp_path / "card").write_text(owners("server", "card", "server", "--for", "client-1"))
        owners("client-1", "join", tmp_path / "card")
        return owners("client-1", "deploy", "client-1", "--yes")

    agree_on(user["Arn"], user["UserId"])
    assert "fl-peering-accepter              changed" in take_over()
    iam.delete_user(UserName="deployer")
    told = wrong(owners("client-1", "doctor", "client-1", code=1))["accepter's trust"]
    assert f"trusts {user['UserId']}, who is gone" in told
    told = wrong(owners("server", "doctor", "server", code=1))["who deploys"]
    assert f"agreed on is {user['Arn']} ({user['UserId']})" in told
    assert "agree again" in told
    owners("server", "agree", f"client-1={owners.aws.accounts['client-1']}")
    assert json.loads((home / "agreement.json").read_text())["requester_id"] == before["requester_id"]
    assert "fl-peering-accepter              changed" in take_over()
    assert "accepter's trust" not in wrong(owners("client-1", "doctor", "client-1", code=1))
    assert "who deploys" not in wrong(owners("server", "doctor", "server", code=1))


def test_what_aws_does_not_delete_is_told_with_who_holds_it_and_a_second_run_gets_through(owners, connected):
    session = owners.aws.session("client-1")
    iam, ec2 = session.client("iam"), session.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["fl-*"]}])["Vpcs"]
    inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnet = ec2.describe_subnets(Filters=inside)["Subnets"][0]["SubnetId"]
    groups = ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
    federation = next(group["GroupId"] for group in groups if group["GroupName"] != "default")
    policy = iam.create_policy(
        PolicyName="by-hand",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
        ),
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="FL-kickoff-client-job", PolicyArn=policy)
    iam.create_instance_profile(InstanceProfileName="machines")
    iam.add_role_to_instance_profile(InstanceProfileName="machines", RoleName="FL-client-job-execution")
    group = ec2.create_security_group(GroupName="by-hand", Description="x", VpcId=vpc["VpcId"])["GroupId"]
    pair = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": federation}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=pair)
    interface = ec2.create_network_interface(SubnetId=subnet, Description="mine")["NetworkInterface"]
    held = interface["NetworkInterfaceId"]

    def refused():
        told = owners("client-1", "delete", "client-1", "--yes", code=1)
        assert "then run `python -m workshop delete client-1` (or 99_clean_up) again" in told
        return told

    told = refused()
    assert "must detach all policies first" in told  # AWS's words stay
    assert (
        "detach policy by-hand from role FL-kickoff-client-job: aws iam detach-role-policy --role-name "
        f"FL-kickoff-client-job --policy-arn {policy} --profile fl-client-1;" in told
    )
    iam.detach_role_policy(RoleName="FL-kickoff-client-job", PolicyArn=policy)
    told = refused()
    assert "take role FL-client-job-execution out of instance profile machines" in told
    iam.remove_role_from_instance_profile(InstanceProfileName="machines", RoleName="FL-client-job-execution")
    told = refused()  # it did not wait for an interface that is not SageMaker's
    assert f"delete network interface {held} (mine)" in told
    assert f"delete the ingress rules of security group {group} (by-hand) that name {federation}" in told
    ec2.delete_network_interface(NetworkInterfaceId=held)
    ec2.delete_security_group(GroupId=group)
    assert "nothing is left in client-1" in owners("client-1", "delete", "client-1", "--yes")
    iam.delete_instance_profile(InstanceProfileName="machines")
    iam.delete_policy(PolicyArn=policy)


def test_each_deletes_its_own_and_nothing_is_left(owners, connected):
    assert "nothing is left in client-1" in owners("client-1", "delete", "client-1", "--yes")
    assert "nothing is left in server" in owners("server", "delete", "server", "--yes")
    assert "nothing is left in server" in owners("server", "delete", "server")

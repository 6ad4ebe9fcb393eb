"""Exercises on accounts, networks and rights: the answer is tried in them, and undone."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from workshop.lessons.exercises.verdicts import Verdict, exercise, verdict

if TYPE_CHECKING:
    from workshop.aws.accounts import Identity
    from workshop.aws.members import Members

IAM_SECONDS = 20.0  # until a new role is known everywhere


@exercise
def server_account(answer: str, identities: Sequence[Identity]) -> Verdict:
    """Judge which account is the server's."""
    names = {who.account: who.name for who in identities}
    if (name := names.get(str(answer))) is None:
        return verdict(False, f"{answer} is none of the accounts in the table")
    if name != "server":
        return verdict(False, f"{answer} is {name}'s: an organisation that has rows. Who has none?")
    others = ", ".join(who.name for who in identities if who.name != "server")
    return verdict(True, f"it leads, and has a test table only. Whoever has rows to train on is one of {others}")


@exercise
def wrong_port(answer: tuple[int, str], members: Members, name: str) -> Verdict:
    """Open another port than the agreed one for a client's job, see which of the doctor's lines turns, put it back.

    Parameters
    ----------
    answer : tuple of int and str
        The port, and the line that was predicted.
    """
    from workshop.aws import peering

    port, line = int(answer[0]), str(answer[1])
    agreed = members.agreed.port
    if port == agreed:
        return verdict(False, "that is the agreed port, nothing would change: take another one")
    before = peering.table(members.sessions, members.outputs).loc[name]
    if line not in before.index:
        return verdict(
            False, f"{line!r} is not about the way between two networks; these are: {', '.join(before.index)}"
        )
    with _another_port(members, name, port):
        after = peering.table(members.sessions, members.outputs).loc[name]
    turned = [what for what in before.index if before[what] != after[what]]
    did = f"with port {port} open in the place of {agreed}"
    if turned != [line]:
        return verdict(
            False, f"{did}, {line!r} of {name} stays as it was. Whose group did the cell change? It is put back"
        )
    return verdict(True, f"{did}, {line!r} turned, of {name} alone. The agreed port is open again")


@contextlib.contextmanager
def _another_port(members: Members, name: str, port: int) -> Iterator[None]:
    ec2, network = members.sessions[name].client("ec2"), members.outputs[name]["fl-network"]
    server, agreed = members.outputs["server"]["fl-network"]["VpcCidr"], members.agreed.port
    group = network["FederationGroupId"]
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    rules = [
        {"IpProtocol": rule["IpProtocol"], "FromPort": agreed, "ToPort": agreed, "IpRanges": [where]}
        for rule in found["IpPermissionsEgress"]
        for where in rule["IpRanges"]
        if rule.get("FromPort") == agreed and where["CidrIp"] == server
    ]
    other = [rule | {"FromPort": port, "ToPort": port} for rule in rules]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules)
    try:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=other)
        try:
            yield
        finally:
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=other)
    finally:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)


@exercise
def lets_in(answer: Mapping[str, Any], sessions: Mapping[str, boto3.Session], *, owner: str, guest: str) -> Verdict:
    """Make a role with a trust policy of one statement, see who can take it, and delete it.

    Parameters
    ----------
    answer : mapping
        The statement: it should let ``guest``'s account in, with the external id ``lesson``, and nobody else.
    owner : str
        In whose account the role is.
    """
    iam, name = sessions[owner].client("iam"), f"FL-exercise-{secrets.token_hex(4)}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [answer]})
    try:
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    except iam.exceptions.MalformedPolicyDocumentException as error:
        return verdict(False, f"IAM takes no such trust policy: {error.response['Error']['Message']}")
    try:
        if not _taken(sessions[guest], role, "lesson", patience=IAM_SECONDS):
            return verdict(False, f"{guest} is refused, with the right external id too: whom does Principal name?")
        if _taken(sessions[guest], role, "another word") or _taken(sessions[guest], role, None):
            return verdict(False, f"{guest} gets in without the external id: a Condition on sts:ExternalId is missing")
        others = [other for other in sessions if other not in (owner, guest)]
        if let_in := [other for other in others if _taken(sessions[other], role, "lesson")]:
            return verdict(False, f"{', '.join(let_in)} may take it, too: name one account, not everybody")
    finally:
        iam.delete_role(RoleName=name)
    return verdict(True, f"{guest} takes the role with the external id, and is refused without; others are refused")


def _taken(session: boto3.Session, role: str, word: str | None, *, patience: float = 0.0) -> bool:
    """Tell whether a session can take a role, with an external id or with none."""
    about = {"RoleArn": role, "RoleSessionName": "exercise"} | ({"ExternalId": word} if word else {})
    sts, give_up = session.client("sts"), time.monotonic() + patience
    here = sts.meta.endpoint_url.startswith("http://")  # the embedded AWS knows a new role at once
    while True:
        try:
            sts.assume_role(**about)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            if here or time.monotonic() > give_up:
                return False
            time.sleep(1)
        else:
            return True


@exercise
def forgotten(answer: str, session: boto3.Session) -> Verdict:
    """Make a role as somebody might by hand, see whether the list of what is left shows it, and delete it."""
    from workshop.aws import cleanup

    iam, trust = session.client("iam"), {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [trust | {"Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=answer, AssumeRolePolicyDocument=json.dumps(document))
    try:
        listed = answer in set(cleanup.left_over({"client-1": session})["name"])
    finally:
        iam.delete_role(RoleName=answer)
    if not listed:
        return verdict(False, f"{answer} was there, and the list did not show it. What do all our roles begin with?")
    return verdict(True, f"the list showed {answer}. It goes by names: what is called otherwise, only its owner finds")


@exercise
def may(answer: tuple[str, str], api: Any, namespace: str) -> Verdict:
    """Ask a cluster whether the session of ``api`` may do something there, as ``kubectl auth can-i`` does.

    Parameters
    ----------
    answer : tuple of two str
        A verb and a kind of objects, by its plural.
    """
    from kubernetes import client

    verb, kind = answer
    group = {"jobs": "batch", "deployments": "apps", "networkpolicies": "networking.k8s.io"}.get(kind, "")
    asked = {"verb": verb, "resource": kind, "group": group, "namespace": namespace}
    review: Any = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    review["spec"] = {"resourceAttributes": asked}
    answered: Any = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    if not answered.status.allowed:
        return verdict(False, f"the launcher may not {verb} {kind}")
    if (verb, kind) != ("create", "jobs"):
        return verdict(False, f"it may {verb} {kind}, but that starts no run: what is a run?")
    return verdict(
        True, "a run is a Job, and this right is all that starts one. A run's pod then has a role of its own"
    )

"""boto3 sessions by account name: the same profiles on the embedded AWS and on AWS, only the file differs."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader

from workshop import state
from workshop.errors import AccountError, MissingStep, StartedAgain

if TYPE_CHECKING:
    from workshop.aws.jobs import ClientAccount

TARGETS = ("embedded", "aws")
# What the kit asks of an account.
SERVICES = (
    "cloudformation",
    "cloudtrail",
    "ec2",
    "ecr",
    "eks",
    "iam",
    "kms",
    "logs",
    "s3",
    "sagemaker",
    "service-quotas",
    "stepfunctions",
    "sts",
)
# Descriptions of AWS's services are large (SageMaker's takes 20 MB): sessions share them.
_LOADER = create_loader()
# What AWS turns away for now, or does not answer, is asked three times more, with growing pauses.
_PATIENCE = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=15, max_pool_connections=32
)
_making = threading.Lock()  # a client: botocore's sessions are not for several threads


class Session(boto3.Session):
    """boto3 session that makes each client once: that takes up to 0.1 s, a new connection, and jobs are asked often."""

    def __init__(self, core: botocore.session.Session) -> None:
        super().__init__(botocore_session=core)
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, *arguments: Any, **settings: Any) -> Any:
        """Return the client of a service, which threads may share; one with settings is a new one."""
        with _making:
            if arguments or settings:
                return super().client(service_name, *arguments, **settings)
            if service_name not in self._clients:
                self._clients[service_name] = super().client(service_name)
            return self._clients[service_name]


@dataclass(frozen=True)
class Identity:
    """Who AWS says a session is."""

    name: str
    account: str
    arn: str
    region: str
    unique_id: str = field(default="", repr=False)


def config_file(target: str) -> Path:
    """Return the AWS config file that holds the profiles of a target.

    Raises
    ------
    AccountError
        If the target is unknown, or the embedded AWS is not running.
    """
    if target not in TARGETS:
        raise AccountError(f"target {target!r} is unknown; choose one of {', '.join(TARGETS)}")
    embedded = state.home() / "embedded" / "aws-config"
    if target == "embedded":
        if not embedded.exists():
            raise AccountError("the embedded AWS is not running: start it with `make lab`")
        return embedded
    chosen = Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser()
    return Path("~/.aws/config").expanduser() if chosen == embedded else chosen


def instance() -> str:
    """Return which embedded AWS the profiles lead to: another one after every start; none on AWS."""
    if target() != "embedded":
        return ""
    return _botocore_session("server", config_file("embedded")).get_scoped_config().get("embedded_instance", "")


def _started_again() -> bool:
    """Tell whether the embedded AWS holds nothing of what was connected: all its state is in memory."""
    try:
        (connection,) = state.load("accounts")
    except MissingStep:
        return False
    return connection.get("instance", "") not in ("", instance())


def client_names(n_clients: int) -> list[str]:
    """Return the names of the client accounts.

    >>> client_names(2)
    ['client-1', 'client-2']
    """
    return [f"client-{number}" for number in range(1, n_clients + 1)]


def at_hand(n_clients: int) -> list[str]:
    """Return the names of the accounts that this machine has profiles for: all of them, but for an owner who is alone.

    Raises
    ------
    AccountError
        If there is none; on the embedded AWS if one is missing.
    """
    names = ["server", *client_names(n_clients)]
    if target() == "embedded":
        return names
    configured = [name for name in names if has_profile(name)]
    if not configured:
        raise AccountError(f"there is no profile fl-server, fl-client-1, ... in {config_file('aws')}")
    return configured


def has_profile(name: str) -> bool:
    """Tell whether this machine has a profile for an account."""
    return f"fl-{name}" in _botocore_session(name, config_file(target())).available_profiles


def session(name: str) -> boto3.Session:
    """Return a session in an account, by the profile ``fl-<name>``.

    Raises
    ------
    AccountError
        If there is no such profile; says how to make it.
    MissingStep
        If no target was chosen yet.
    """
    path = config_file(target())
    core = _botocore_session(name, path)
    if f"fl-{name}" not in core.available_profiles:
        remedy = (
            "start the embedded AWS with more accounts, such as `make lab CLIENTS=12`"
            if target() == "embedded"
            else f"add [profile fl-{name}] to {path} (see the AWS CLI's page on named profiles)"
        )
        raise AccountError(f"there is no profile fl-{name} for account {name}: {remedy}")
    return Session(core)


def assume_role(by: boto3.Session, role_arn: str, *, session_name: str, external_id: str = "") -> boto3.Session:
    """Borrow a role, in this account or in another: for an hour, and then again by itself for as long as it is used.

    Parameters
    ----------
    by : boto3.Session
        Who asks; region and endpoint carry over.
    role_arn : str
        The role, which must trust the one who asks.
    session_name : str
        Stands in the other account's CloudTrail.
    external_id : str
        What the two accounts agreed on, where the role asks for it.

    Raises
    ------
    AccountError
        Names the role and what AWS answered.
    """
    agreed = {"ExternalId": external_id} if external_id else {}
    sts = by.client("sts")

    def borrow_again() -> dict[str, str]:
        keys = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, **agreed)["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }

    try:
        keys = RefreshableCredentials.create_from_metadata(borrow_again(), borrow_again, method="assume-role")
    except (BotoCoreError, ClientError) as error:
        if _started_again():
            raise StartedAgain(
                "this embedded AWS was started after the accounts had been connected, and holds nothing of them: run "
                f"02_connect_accounts.ipynb again ({role_arn} cannot be borrowed: {error})"
            ) from error
        raise AccountError(f"{role_arn} cannot be borrowed: {error}") from error
    core = _botocore_session(by.profile_name.removeprefix("fl-"), config_file(target()))
    core._credentials = keys  # boto3 has no public way in for credentials that renew themselves
    return Session(core)


def notebook_session(role_arn: str) -> boto3.Session:
    """Return a session of the server's notebook role: on its notebook instance it is there, on a laptop it is taken."""
    server = session("server")
    if f":assumed-role/{role_arn.rpartition('/')[2]}/" in identity("server", server).arn:
        return server
    return assume_role(server, role_arn, session_name="notebook")


def borrow(server: boto3.Session, client: ClientAccount, *, session_name: str) -> boto3.Session:
    """Take the kick-off role of a client's account with a session of the server's notebook role.

    Raises
    ------
    AccountError
        Names the client, the role and what AWS answered.
    """
    try:
        return assume_role(server, client.kickoff_role, session_name=session_name, external_id=client.external_id)
    except StartedAgain:
        raise
    except AccountError as error:
        raise AccountError(
            f"{client.name}: {error}; its owner's stack fl-client-access must trust the server's role, with the "
            "external id that both agreed on"
        ) from error


def identity(name: str, who: boto3.Session) -> Identity:
    """Ask AWS who a session is.

    Raises
    ------
    AccountError
        If AWS does not answer or refuses the credentials; names the account.
    """
    try:
        answer = who.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {name} does not answer: {error}; check its profile fl-{name}") from error
    return Identity(name, answer["Account"], answer["Arn"], who.region_name, answer["UserId"])


def principal(name: str, who: boto3.Session) -> tuple[str, str]:
    """Return the ARN and the unique id by which policies may mean who uses a session: a user, or the role behind it.

    Raises
    ------
    AccountError
        As :func:`identity`.
    """
    known = identity(name, who)
    arn, unique_id = known.arn, known.unique_id.partition(":")[0]
    if arn.endswith(":root"):
        raise AccountError(f"account {name}: profile fl-{name} is the root user, which can take no role: use another")
    if ":assumed-role/" not in arn:
        return arn, unique_id
    try:
        return who.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"], unique_id
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {name} does not describe the role behind {arn}: {error}") from error


def target() -> str:
    """Return the chosen target, ``embedded`` or ``aws``."""
    (target,) = state.load("target")
    return target["name"]


def preload() -> None:
    """Read the descriptions of services, for processes that are forked from this one."""
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    for service in SERVICES:
        core.create_client(service, "us-east-1", config=Config(signature_version=UNSIGNED))


def _botocore_session(name: str, path: str | Path) -> botocore.session.Session:
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    core.set_default_client_config(_PATIENCE)
    core.set_config_variable("config_file", str(path))
    core.set_config_variable("profile", f"fl-{name}")
    return core

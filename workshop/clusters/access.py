"""Access to a cluster's API (EKS): where it is, a token that STS vouches for, and the file that kubectl reads.

A token is a signed question to STS, as ``aws eks get-token`` makes it: the cluster has STS answer who signed. It is
worth a quarter of an hour, for this one cluster.
Source: AWS, EKS user guide, "Grant IAM users access to Kubernetes with EKS access entries"; aws-iam-authenticator's
description of its tokens.
"""

from __future__ import annotations

import base64
import json
import shlex
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError
from botocore.signers import RequestSigner

from workshop import state
from workshop.errors import AccountError
from workshop.files import write_text

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NAMESPACE = "federation"
SECONDS = 60  # in which the question has to be asked
CREDENTIAL = "FEDERATION_EXEC_CREDENTIAL"  # environment variable
WORTH = 10 * 60.0  # seconds after which a new token is made; one is worth 15 minutes


@dataclass(frozen=True)
class Cluster:
    """Where a cluster's API answers, and whom it proves itself with."""

    name: str
    endpoint: str
    authority: str  # PEM in base64, as EKS tells it
    region: str

    @property
    def authority_file(self) -> Path:
        """The authority as a file: clients of Kubernetes want one."""
        path = state.home() / "clusters" / f"{self.endpoint.rpartition('/')[2].replace(':', '-')}.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, base64.b64decode(self.authority).decode())
        return path


def find(session: boto3.Session, name: str, *, account: str) -> Cluster:
    """Ask EKS for a cluster.

    Raises
    ------
    AccountError
        If there is none, or it is not ready.
    """
    try:
        known = session.client("eks").describe_cluster(name=name)["cluster"]
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {account}: EKS does not tell of cluster {name}: {error}") from error
    if known["status"] != "ACTIVE":
        raise AccountError(f"account {account}: cluster {name} is {known['status']}: wait until it is ACTIVE")
    return Cluster(name, known["endpoint"], known["certificateAuthority"]["data"], session.region_name)


def token(session: boto3.Session, cluster: str) -> str:
    """Return a bearer token for a cluster, signed with the session's credentials."""
    sts = session.client("sts")
    signer = RequestSigner(
        sts.meta.service_model.service_id, session.region_name, "sts", "v4", session.get_credentials(),
        session.events,
    )  # fmt: skip
    request = {
        "method": "GET",
        "url": f"{sts.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name=session.region_name, expires_in=SECONDS, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def exec_credential(session: boto3.Session, cluster: str) -> str:
    """Return a token in the form in which kubectl is told one by a plugin, JSON."""
    expires = datetime.now(UTC) + timedelta(seconds=WORTH)
    status = {"token": token(session, cluster), "expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})


def api(session: boto3.Session, cluster: Cluster) -> ApiClient:
    """Return a client of the cluster's API, which makes itself a new token in time."""
    from kubernetes import client  # a second to import

    configuration: Any = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = cluster.endpoint, str(cluster.authority_file)
    made = [0.0]

    def renew(settings: Any) -> None:
        if time.monotonic() - made[0] > WORTH or not settings.api_key:
            settings.api_key = {"authorization": f"Bearer {token(session, cluster.name)}"}
            made[0] = time.monotonic()

    configuration.refresh_api_key_hook = renew
    renew(configuration)
    made[0] = time.monotonic()
    return client.ApiClient(configuration)


def write_kubeconfig(path: Path, clusters: dict[str, Cluster]) -> Path:
    """Write the file that kubectl reads, readable by nobody else; contexts are named after the accounts.

    No secret is in it: kubectl asks this kit for a token (``workshop/clusters/token.py``), or takes the one that is in
    its environment where this kit has started it: that saves the start of a Python.
    """
    handed, python = f'"${CREDENTIAL}"', shlex.quote(sys.executable)
    entries = {
        name: {
            "cluster": {"server": each.endpoint, "certificate-authority-data": each.authority},
            "user": {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "sh",
                    "args": [
                        "-c",
                        f"if [ -n {handed} ]; then printf %s {handed}; "
                        f"else exec {python} -m workshop.clusters.token {name} {each.name}; fi",
                    ],
                    "interactiveMode": "Never",
                }
            },
            "context": {"cluster": name, "user": name, "namespace": NAMESPACE},
        }
        for name, each in clusters.items()
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(clusters), ""),
        **{
            f"{kind}s": [{"name": name, kind: entry[kind]} for name, entry in entries.items()]
            for kind in ("cluster", "user", "context")
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump(config, sort_keys=False), private=True)
    return path

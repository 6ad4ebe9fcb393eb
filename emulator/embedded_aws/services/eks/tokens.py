"""Bearer tokens of EKS: a presigned GetCallerIdentity that names the cluster, and the access entry of who signed it.

Source: AWS, EKS user guide, "Grant IAM users access to Kubernetes with EKS access entries"; EKS best practices guide,
"Identity and access management"; the token's form is that of ``aws eks get-token`` and of aws-iam-authenticator
(API authorization from outside a cluster).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from embedded_aws import names
from embedded_aws.gate import principals, signature
from embedded_aws.gate.gate import Incoming
from embedded_aws.gate.principals import Principal
from embedded_aws.gate.refusals import Refused
from embedded_aws.services.eks import places
from embedded_aws.services.eks.state import Cluster

PREFIX = "k8s-aws-v1."
LIFE = timedelta(minutes=15)  # since X-Amz-Date, whatever the URL says of itself
SIGNED = {"host", "x-k8s-aws-id"}
LONGEST = 8192  # characters of a token
_HOSTS = re.compile(r"sts(\.[a-z]{2}(-[a-z]+)+-\d)?\.amazonaws\.com")
_KNOWN = {
    "Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
    "X-Amz-Signature", "X-Amz-SignedHeaders",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Who somebody is in a cluster: name and groups, and the access policies of EKS that they have.

    Parameters
    ----------
    username : str
    groups : tuple of str
    policies : tuple of mapping
        As ListAssociatedAccessPolicies tells them: ``policyArn`` and ``accessScope``.
    principal : str
        ARN of who signed.
    """

    username: str
    groups: tuple[str, ...]
    policies: tuple[Mapping[str, Any], ...] = field(default=())
    principal: str = ""


def identify(cluster: Cluster, token: str, *, now: datetime | None = None) -> Identity | None:
    """Return who a bearer token means in a cluster; None if it is no token of it, or of nobody with an access entry."""
    principal = verified(token, cluster_name=cluster.name, now=now)
    return entry_of(cluster, principal) if principal else None


def verified(token: str, *, cluster_name: str, now: datetime | None = None) -> Principal | None:
    """Return who signed a token for a cluster, as STS would tell; None if nobody did, or too long ago."""
    now = now or datetime.now(UTC)
    parts = urlsplit(_url(token) or "")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    asks_who = query.get("Action") == "GetCallerIdentity" and query.get("Version") == "2011-06-15"
    whole = parts.path == "/" and not parts.fragment and len(query) == len(pairs) and not set(query) - _KNOWN
    if not (_is_sts(parts.scheme, parts.netloc) and asks_who and whole):
        return None
    headers = {"host": parts.netloc, "x-k8s-aws-id": cluster_name}
    try:
        signed = signature.read(headers, parts.query)
        fresh = -signature.CLOCK_SKEW <= now - signed.moment <= LIFE
        if signed.expires is None or signed.service != "sts" or set(signed.signed_headers) != SIGNED or not fresh:
            return None
        # ``aws eks get-token`` says 60 seconds; EKS counts its own quarter of an hour.
        return _signer(Incoming("GET", "/", parts.query, headers, b""), signed, now)
    except (Refused, signature.SignatureError):
        return None


def _url(token: str) -> str | None:
    if not token.startswith(PREFIX) or len(token) > LONGEST or "=" in token:
        return None
    text = token.removeprefix(PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_sts(scheme: str, host: str) -> bool:
    """Tell whether a URL leads to STS: AWS's name of it, or this AWS."""
    if _HOSTS.fullmatch(host):
        return scheme == "https"
    own = urlsplit(places.setting[0].endpoint) if places.setting else None
    name, _, port = host.partition(":")
    return scheme == "http" and own is not None and name in names.OWN and port == str(own.port)


def _signer(incoming: Incoming, signed: signature.Signature, now: datetime) -> Principal | None:
    # The gate would refuse a presigned URL once its X-Amz-Expires has passed; that many seconds are for STS, to which
    # EKS sends the URL at once. Here the moment of the signature is what counts.
    principal = principals.find(signed.access_key_id)
    if principal is None or signed.token != principal.token:
        return None
    if principal.expires and now > principal.expires:
        return None
    signature.verify(
        replace(signed, expires=LIFE), secret=principal.secret, method=incoming.method, path=incoming.path,
        query=incoming.query, headers=incoming.headers, body=b"", now=now,
    )  # fmt: skip
    return principal


def entry_of(cluster: Cluster, principal: Principal) -> Identity | None:
    """Return the name and groups that a principal's access entry gives it; a session has that of its role."""
    arn = principal.role or principal.arn
    entry = cluster.entries.get(arn)
    # Source: AWS, EKS user guide, "Create access entries": a principal that is made again needs a new entry.
    if entry is None or entry.unique_id != principal.unique_id.partition(":")[0]:
        return None
    session = principal.arn.rpartition("/")[2] if principal.role else ""
    username = entry.told["username"].replace("{{SessionName}}", session.replace("@", "-"))
    username = username.replace("{{SessionNameRaw}}", session).replace("{{AccountID}}", principal.account)
    groups: Sequence[str] = entry.told["kubernetesGroups"]
    return Identity(username, tuple(groups), tuple(entry.policies.values()), principal.arn)


def reachable(cluster: Cluster, source: str | None) -> bool:
    """Tell whether a packet from an address may reach a cluster's endpoint; the API server does not ask this itself.

    Parameters
    ----------
    source : str or None
        Id of the network interface from which a pod or a job calls; None for who stands on the internet.
    """
    config = cluster.told["resourcesVpcConfig"]
    if source is None:
        return bool(config["endpointPublicAccess"])
    return places.reaches(cluster, source)

"""Pulling an image as a kubelet does: with the node's role, in the kubelet's words where it fails.

Sources: AWS, ECR user guide, "Private repository policies"; the words are containerd's, as pods' events show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from embedded_aws.gate import principals
from embedded_aws.gate.organization import control_policies
from embedded_aws.gate.resources import resource_policy
from embedded_aws.policies.decisions import BOUNDARY, CONTROL, IDENTITY, Decision, Layers, decide
from embedded_aws.policies.policy import Request
from embedded_aws.services.ecr import state
from embedded_aws.services.ecr.state import INDEXES, Image, Repository

IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com/(?P<name>[a-z0-9._/-]+)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]*))?(@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
# What any reference to an image looks like: an optional host, a path in small letters, tag and digest.
_REFERENCE = re.compile(r"([A-Za-z0-9.-]+(:\d+)?/)?[a-z0-9._/-]+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
ACTIONS = ("BatchGetImage", "GetDownloadUrlForLayer")  # containerd asks for these two
ENDPOINTS = ("ecr.api", "ecr.dkr", "s3")


class PullError(Exception):
    """An image that cannot be pulled; ``reason`` is what a container waits for: ErrImagePull or InvalidImageName."""

    def __init__(self, message: str, *, reason: str = "ErrImagePull") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Pulled:
    """An image on a node: digest, manifest, and the files of its configuration and layers, the lowest layer first."""

    digest: str
    manifest: str
    config: Path
    layers: tuple[Path, ...]


def pull(
    image: str,
    role_arn: str,
    *,
    architecture: str = "amd64",
    why_not: Callable[[str], str] = lambda _: "",
) -> Pulled:
    """Return an image of ECR, if a node's role may pull it.

    Parameters
    ----------
    image : str
        ``ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG`` or ``...@sha256:DIGEST``; no tag is ``latest``.
    role_arn : str
        The node's role.
    architecture : str
        Which image of an index is meant.
    why_not : callable
        ``why_not(service)`` returns why the node does not reach ``ecr.api``, ``ecr.dkr`` or ``s3``; empty if it does.

    Raises
    ------
    PullError
        If the image's name is none, nothing leads there, the role may not, or there is no such image.
    """
    match = IMAGE.fullmatch(image)
    if match is None:
        if not _REFERENCE.fullmatch(image):
            words = f'Failed to apply default image tag "{image}": invalid reference format'
            raise PullError(words, reason="InvalidImageName")
        raise PullError(_failed(image, "dial tcp: i/o timeout: the embedded AWS pulls from ECR only"))
    for service in ENDPOINTS:
        if why := why_not(service):
            raise PullError(_failed(image, f"dial tcp: i/o timeout: {service} is not reached: {why}"))
    _check(image, match, role_arn)
    repository = state.look(match["account"], match["region"], match["name"])
    with state.lock:
        found = repository and _found(repository, match["digest"], match["tag"], architecture)
        if repository is None or found is None:
            raise PullError(_failed(image, f"{image}: not found", code="NotFound"))
        found.pulled = datetime.now(UTC)
        manifest = found.parsed
        layers = tuple(repository.path(layer["digest"]) for layer in manifest["layers"])
        return Pulled(found.digest, found.manifest, repository.path(manifest["config"]["digest"]), layers)


def _failed(image: str, words: str, *, code: str = "Unknown") -> str:
    return (
        f'Failed to pull image "{image}": rpc error: code = {code} desc = failed to pull and unpack image "{image}": '
        f'failed to resolve reference "{image}": {words}'
    )


def _check(image: str, match: re.Match[str], role_arn: str) -> None:
    registry = f"{match['account']}.dkr.ecr.{match['region']}.amazonaws.com"
    token = may(role_arn, "ecr:GetAuthorizationToken", "*", region=match["region"])
    if not token.allowed:
        raise PullError(
            _failed(image, f"pull access denied, repository does not exist or may require authorization: authorization "
            f"failed: no basic auth credentials ({role_arn} may not ecr:GetAuthorizationToken {token.why})")
        )  # fmt: skip
    repository = f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['name']}"
    for action in ACTIONS:
        decision = may(role_arn, f"ecr:{action}", repository, region=match["region"])
        if not decision.allowed:
            where = f"https://{registry}/v2/{match['name']}/manifests/{match['digest'] or match['tag'] or 'latest'}"
            raise PullError(
                _failed(image, f"unexpected status from HEAD request to {where}: 403 Forbidden ({role_arn} may not "
                f"ecr:{action} on {repository} {decision.why})")
            )  # fmt: skip


def may(role_arn: str, action: str, resource: str, *, region: str) -> Decision:
    """Decide whether a role may do something with a repository, also another account's, as its policy says."""
    if principals.find_role(role_arn) is None:
        return Decision(False, "because the role does not exist")
    policies, boundary, context = principals.of_role(role_arn)
    layers: Layers = {
        IDENTITY: policies,
        **({BOUNDARY: [boundary]} if boundary else {}),
        **({CONTROL: controls} if (controls := control_policies()) else {}),
    }
    account = role_arn.split(":")[4]
    owner = resource.split(":")[4] if resource != "*" else account
    about = {"aws:requestedregion": (region,), "aws:securetransport": ("true",), "aws:resourceaccount": (owner,)}
    request = Request(role_arn, account, action, resource, {**context, **about})
    policy = resource_policy(request) if resource != "*" else (None, False)
    return decide(request, layers, policy, own=owner == account)


def _found(repository: Repository, digest: str | None, tag: str | None, architecture: str) -> Image | None:
    image = repository.find(digest=digest) if digest else repository.find(tag=tag or "latest")
    if image is None or image.media_type not in INDEXES:
        return image
    for row in image.parsed["manifests"]:
        if row.get("platform", {}).get("architecture") == architecture:
            return repository.find(digest=row["digest"])
    return None

"""Operations on repositories: made, deleted, tagged, and with policies.

Source: AWS, ECR API reference.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded_aws import service
from embedded_aws.services.ecr import state
from embedded_aws.services.ecr.requests import Answer, Asked, page
from embedded_aws.services.ecr.state import EcrError, Repository

TOKEN_LIFE = timedelta(hours=12)
_NAME = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)


def create(asked: Asked) -> Answer:
    """CreateRepository."""
    p, name = asked.p, asked.p["repositoryName"]
    if not _NAME.fullmatch(name) or not 2 <= len(name) <= 256:
        raise _invalid("repositoryName", f"must satisfy regular expression '{_NAME.pattern}'")
    told = {
        "repositoryArn": f"arn:aws:ecr:{asked.region}:{asked.account}:repository/{name}", "registryId": asked.account,
        "repositoryName": name, "repositoryUri": f"{asked.account}.dkr.ecr.{asked.region}.amazonaws.com/{name}",
        "createdAt": datetime.now(UTC), "imageTagMutability": _mutability(p.get("imageTagMutability", "MUTABLE")),
        "imageScanningConfiguration": {"scanOnPush": bool(p.get("imageScanningConfiguration", {}).get("scanOnPush"))},
        "encryptionConfiguration": _encryption(p.get("encryptionConfiguration", {"encryptionType": "AES256"})),
    }  # fmt: skip
    tags = {tag["Key"]: tag["Value"] for tag in p.get("tags", [])}
    state.add(Repository(asked.account, asked.region, told, tags))
    return {"repository": told}


def _mutability(wanted: str) -> str:
    if wanted not in ("MUTABLE", "IMMUTABLE"):
        raise NotImplementedError(f"imageTagMutability {wanted} of ecr")
    return wanted


def _encryption(wanted: dict[str, Any]) -> dict[str, Any]:
    if wanted["encryptionType"] == "AES256":
        if "kmsKey" in wanted:
            raise _invalid("encryptionConfiguration", "a kmsKey needs the encryptionType KMS")
        return {"encryptionType": "AES256"}
    if wanted["encryptionType"] != "KMS":
        raise NotImplementedError(f"encryptionType {wanted['encryptionType']} of ecr:CreateRepository")
    key = wanted.get("kmsKey")
    if key is None:
        raise NotImplementedError("encryptionType KMS without a kmsKey of ecr:CreateRepository")
    if complaint := service.served()["kms"].complaint(key):
        raise EcrError("KmsException", f"{key}: {': '.join(complaint)}")
    return {"encryptionType": "KMS", "kmsKey": key}


def _invalid(name: str, words: str) -> EcrError:
    return EcrError(
        "InvalidParameterException",
        f"Invalid parameter at '{name}' failed to satisfy constraint: '{words}'",
    )


def describe(asked: Asked) -> Answer:
    """DescribeRepositories."""
    if wanted := asked.p.get("repositoryNames"):
        return {"repositories": [state.find(asked.account, asked.region, name).told for name in wanted]}
    return page(asked, "repositories", [one.told for one in state.of_account(asked.account, asked.region)])


def delete(asked: Asked) -> Answer:
    """DeleteRepository: not while it has images, unless by force."""
    repository = asked.repository()
    if repository.images and not asked.p.get("force"):
        raise EcrError(
            "RepositoryNotEmptyException",
            f"The repository with name '{repository.name}' in registry with id '{repository.account}' cannot be "
            "deleted because it still contains images",
        )
    state.remove(repository)
    return {"repository": repository.told}


def put_mutability(asked: Asked) -> Answer:
    """PutImageTagMutability."""
    repository, wanted = asked.repository(), _mutability(asked.p["imageTagMutability"])
    repository.told["imageTagMutability"] = wanted
    return {**_of(repository), "imageTagMutability": wanted}


def put_scanning(asked: Asked) -> Answer:
    """PutImageScanningConfiguration: kept and told; nothing is scanned here."""
    repository = asked.repository()
    wanted = {"scanOnPush": bool(asked.p["imageScanningConfiguration"].get("scanOnPush"))}
    repository.told["imageScanningConfiguration"] = wanted
    return {**_of(repository), "imageScanningConfiguration": wanted}


def _of(repository: Repository) -> Answer:
    return {"registryId": repository.account, "repositoryName": repository.name}


def set_policy(asked: Asked) -> Answer:
    """SetRepositoryPolicy."""
    repository = asked.repository()
    repository.policy = asked.p["policyText"]
    return {**_of(repository), "policyText": repository.policy}


def get_policy(asked: Asked) -> Answer:
    """GetRepositoryPolicy."""
    repository = asked.repository()
    if repository.policy is None:
        raise EcrError("RepositoryPolicyNotFoundException", _no("Repository policy", repository))
    return {**_of(repository), "policyText": repository.policy}


def delete_policy(asked: Asked) -> Answer:
    """DeleteRepositoryPolicy."""
    told = get_policy(asked)
    asked.repository().policy = None
    return told


def _no(what: str, repository: Repository) -> str:
    return (
        f"{what} does not exist for the repository with name '{repository.name}' in the registry with id "
        f"'{repository.account}'"
    )


def put_lifecycle(asked: Asked) -> Answer:
    """PutLifecyclePolicy: kept and told; images do not expire here."""
    repository, text = asked.repository(), asked.p["lifecyclePolicyText"]
    try:
        rules = json.loads(text)["rules"]
        fine = bool(rules) and all({"rulePriority", "selection", "action"} <= rule.keys() for rule in rules)
    except (ValueError, KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        words = "Lifecycle policy validation failure: rules with rulePriority, selection and action are required"
        raise EcrError("InvalidParameterException", f"Invalid parameter at 'LifecyclePolicyText': '{words}'")
    repository.lifecycle = text
    return {**_of(repository), "lifecyclePolicyText": text}


def get_lifecycle(asked: Asked) -> Answer:
    """GetLifecyclePolicy."""
    repository = asked.repository()
    if repository.lifecycle is None:
        raise EcrError("LifecyclePolicyNotFoundException", _no("Lifecycle policy", repository))
    return {**_of(repository), "lifecyclePolicyText": repository.lifecycle}


def delete_lifecycle(asked: Asked) -> Answer:
    """DeleteLifecyclePolicy."""
    told = get_lifecycle(asked)
    asked.repository().lifecycle = None
    return told


def authorize(asked: Asked) -> Answer:
    """GetAuthorizationToken: of the form of AWS's; no registry of Docker's protocol is served here."""
    token = base64.b64encode(f"AWS:{secrets.token_urlsafe(96)}".encode()).decode()
    endpoint = f"https://{asked.account}.dkr.ecr.{asked.region}.amazonaws.com"
    expires = datetime.now(UTC) + TOKEN_LIFE
    return {"authorizationData": [{"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": endpoint}]}


def _tagged(asked: Asked) -> Repository:
    repository = state.of_arn(asked.p["resourceArn"])
    if repository is None:
        name = asked.p["resourceArn"].rpartition(":repository/")[2]
        return state.find(asked.account, asked.region, name)
    return repository


def tag(asked: Asked) -> Answer:
    """TagResource."""
    _tagged(asked).tags.update({tag["Key"]: tag["Value"] for tag in asked.p["tags"]})
    return {}


def untag(asked: Asked) -> Answer:
    """UntagResource."""
    for key in asked.p["tagKeys"]:
        _tagged(asked).tags.pop(key, None)
    return {}


def tags_of(asked: Asked) -> Answer:
    """ListTagsForResource."""
    return {"tags": [{"Key": key, "Value": value} for key, value in sorted(_tagged(asked).tags.items())]}

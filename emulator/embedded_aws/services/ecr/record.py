"""The service record of Amazon ECR."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from embedded_aws.policies import grammar
from embedded_aws.policies.grammar import Kind
from embedded_aws.policies.policy import Policy, Request
from embedded_aws.service import ConditionKeys, Service, Setting, Writes
from embedded_aws.services.ecr import asks, operations, requests, stack, state

# A repository's policy is about the repository: its statements need no Resource.
REPOSITORY = Kind(resources="free", service="ecr")


def _install(setting: Setting) -> None:
    state.setting[:] = [setting]
    state.clear()


def _policy_of(request: Request) -> tuple[Policy | None, bool]:
    repository = state.of_arn(request.resource)
    if repository is None or repository.policy is None:
        return None, False
    return Policy(f"policy of repository {repository.name}", _about(json.loads(repository.policy))), False


def _about(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a repository's policy with its statements about that repository: they need not say it."""
    statements = [
        one if "Resource" in one or "NotResource" in one else {**one, "Resource": "*"}
        for one in grammar.statements(document)
    ]
    return {**document, "Statement": statements}


def _tags(_: str, __: str, arn: str, ___: str) -> Mapping[str, str]:
    repository = state.of_arn(arn)
    return repository.tags if repository else {}


def _rewrite(change: Callable[[Any], Any]) -> None:
    for repository in state.everything():
        if repository.policy is not None:
            repository.policy = change(repository.policy)


ECR = Service(
    name="ecr",
    asks=asks.asks,
    install=_install,
    application=lambda: requests.application(operations.OPERATIONS),
    keys=ConditionKeys(known="accountsetting|resourcetag/.+", unfilled="accountsetting"),
    tags=_tags,
    policy_of=_policy_of,
    lent=asks.LENT,
    writes={"SetRepositoryPolicy": Writes("policyText", REPOSITORY)},
    rewrite_policies=_rewrite,
    types=(stack.Repository,),
)

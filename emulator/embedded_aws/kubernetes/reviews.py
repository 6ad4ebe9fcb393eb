"""What a user may, asked by himself: ``kubectl auth can-i``."""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.kubernetes.kinds import REVIEW, RULES_REVIEW
from embedded_aws.kubernetes.messages import Request
from embedded_aws.kubernetes.rbac import Attempt, Authorizer, User
from embedded_aws.kubernetes.refusals import Cause, Refusal, invalid, not_served
from embedded_aws.kubernetes.schemas import Schemas

Object = dict[str, Any]


def answer(authorizer: Authorizer, schemas: Schemas, user: User, request: Request) -> Object:
    """Answer whether a user may do one thing, or everything that he may in a namespace.

    Raises
    ------
    Refusal
    """
    asked = request.path.rstrip("/").rpartition("/")[2]
    if asked == REVIEW.plural:
        return _access(authorizer, schemas, user, request.object())
    if asked == RULES_REVIEW.plural:
        return _rules(authorizer, schemas, user, request.object())
    raise not_served()


def _access(authorizer: Authorizer, schemas: Schemas, user: User, body: Object) -> Object:
    spec = schemas.decode(REVIEW, body)[0].get("spec") or {}
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) == (path is None):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("spec.resourceAttributes", f"Invalid value: {json.dumps(asked)}: {message}")
        raise invalid(REVIEW, "", [cause])
    if path is not None:
        attempt = Attempt(path.get("verb", ""), path=path.get("path", ""))
    else:
        asked = asked or {}
        resource, below = asked.get("resource", ""), asked.get("subresource")
        attempt = Attempt(
            asked.get("verb", ""),
            asked.get("group", ""),
            f"{resource}/{below}" if below else resource,
            asked.get("namespace", ""),
            asked.get("name", ""),
        )
    allowed = authorizer.allows(user, attempt)
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": None},
        "spec": spec,
        "status": {"allowed": allowed},
    }


def _rules(authorizer: Authorizer, schemas: Schemas, user: User, body: Object) -> Object:
    spec = schemas.decode(RULES_REVIEW, body)[0].get("spec") or {}
    namespace = spec.get("namespace", "")
    if not namespace:
        raise Refusal(400, "no namespace on request")
    resources, paths = [], []
    for rule in authorizer.rules(user, namespace):
        if rule.namespaces is not None and not {"*", namespace} & {*rule.namespaces}:
            continue
        if rule.paths:
            paths.append({"verbs": [*rule.verbs], "nonResourceURLs": [*rule.paths]})
        else:
            names = {"resourceNames": [*rule.names]} if rule.names else {}
            shown = {"verbs": [*rule.verbs], "apiGroups": [*rule.groups], "resources": [*rule.resources]}
            resources.append(shown | names)
    return {
        "kind": RULES_REVIEW.name,
        "apiVersion": RULES_REVIEW.group_version,
        "metadata": {"creationTimestamp": None},
        "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False},
    }

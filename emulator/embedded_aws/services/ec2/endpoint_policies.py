"""Policies of VPC endpoints: what EC2 refuses beside what IAM's grammar does.

Source: AWS, PrivateLink guide, "Control access to VPC endpoints using endpoint policies", considerations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from embedded_aws.policies.grammar import listed, statements

# Global keys whose values AWS generates.
_GENERATED = {
    "aws:principalaccount", "aws:principalorgid", "aws:resourceaccount", "aws:resourceorgid", "aws:sourceaccount",
    "aws:sourceorgid", "aws:sourcevpc", "aws:sourcevpce",
}  # fmt: skip
_LEAST = 6  # characters before or after a wildcard
_ARN_ACCOUNT = re.compile(r"arn:[^:]*:[^:]*:[^:]*:(?P<account>[^:]*):")


def complaint(document: Mapping[str, Any]) -> str | None:
    """Return what EC2 finds wrong with a well-formed policy for an endpoint, or None.

    >>> everybody = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    >>> some = {**everybody, "Condition": {"StringLike": {"aws:PrincipalAccount": "1111*"}}}
    >>> complaint({"Statement": [everybody]}), complaint({"Statement": [some]})
    (None, 'aws:PrincipalAccount takes no wildcards')
    """
    return next((problem for statement in statements(document) for problem in _wrong_in(statement)), None)


def _wrong_in(statement: Mapping[str, Any]) -> Iterator[str]:
    resources = listed(statement.get("Resource", statement.get("NotResource")))
    yield from _wrong_arns(resources)
    for operator, part in statement.get("Condition", {}).items():
        for key, values in part.items():
            texts = [str(value) for value in listed(values)]
            yield from _wrong_arns(texts)
            generated = key.lower() in _GENERATED
            if generated and any(set(text) & set("*?") for text in texts):
                yield f"{key} takes no wildcards"
            if generated and operator.rpartition(":")[2].startswith("Numeric"):
                yield f"{key} is no number"
            if operator.rpartition(":")[2].startswith("String") and not all(map(_is_narrow, texts)):
                yield f"{operator} on {key} needs {_LEAST} characters before or after each wildcard"


def _wrong_arns(texts: list[str]) -> Iterator[str]:
    for text in texts:
        account = _ARN_ACCOUNT.match(text)
        if account and set(account["account"]) & set("*?") and set(account["account"]) - set("*?"):
            yield f"the account in {text} is an id or wildcards, not both"


def _is_narrow(text: str) -> bool:
    parts = re.split(r"[*?]", re.sub(r"\$\{[^}]*\}", "variable", text))
    return all(len(before) >= _LEAST or len(after) >= _LEAST for before, after in pairwise(parts))

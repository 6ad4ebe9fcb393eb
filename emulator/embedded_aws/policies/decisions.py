"""Policy evaluation logic: what all policies together say of one request, in one account and across accounts.

Source: AWS, IAM user guide, "Policy evaluation logic" and "Cross-account policy evaluation logic".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedded_aws.policies.conditions import PolicyError
from embedded_aws.policies.policy import Finding, Policy, Request, evaluate

Layers = Mapping[str, Sequence[Policy]]  # by kind of policy; each kind has to allow
IDENTITY, RESOURCE, ENDPOINT = "identity-based policy", "resource-based policy", "VPC endpoint policy"
BOUNDARY, SESSION, CONTROL = "permissions boundary", "session policy", "service control policy"
# How a resource policy of the same account names who asks -> the kinds of policies that need not allow it, too.
# Source: AWS, IAM user guide, "How AWS enforcement code logic evaluates requests", resource-based policies.
_SPARED = {"role": (IDENTITY,), "self": (IDENTITY, BOUNDARY, SESSION)}


@dataclass(frozen=True)
class Decision:
    """Whether one thing is allowed; why not, in AWS's words; and the statement that decided or came closest."""

    allowed: bool
    why: str = ""
    statement: str = ""
    explicit: bool = False


def decide(
    request: Request,
    layers: Layers,
    resource: tuple[Policy | None, bool],
    *,
    own: bool,
) -> Decision:
    """Put together what all policies that matter say of one request.

    Parameters
    ----------
    layers : mapping
        Kind of policy -> policies; each kind has to allow the request.
    resource : tuple
        The policy of what is asked for, and whether it has to allow the request even in its own account.
    own : bool
        Whether what is asked for belongs to the account of who asks.
    """
    policy, required = resource
    try:
        findings = {
            kind: evaluate(policies, request, resource_policy=kind == ENDPOINT) for kind, policies in layers.items()
        }
        guard = evaluate([policy], request, resource_policy=True) if policy else Finding(None)
    except PolicyError as error:
        return Decision(False, f"because the embedded AWS does not know what to make of {error}", str(error))
    for kind, finding in {**findings, RESOURCE: guard}.items():
        if finding.effect == "Deny":
            article = "an" if kind == IDENTITY else "a"
            return Decision(False, f"with an explicit deny in {article} {kind}", finding.statement, explicit=True)
    if guard.effect != "Allow" and (required or not own):
        return _not_allowed(RESOURCE, request, guard)
    spared = _SPARED.get(guard.names, ()) if guard.effect == "Allow" and own else ()
    for kind, finding in findings.items():
        if finding.effect != "Allow" and kind not in spared:
            return _not_allowed(kind, request, finding)
    return Decision(True, "", guard.statement if IDENTITY in spared else findings[IDENTITY].statement)


def _not_allowed(kind: str, request: Request, finding: Finding) -> Decision:
    # STS does not say which side refused.
    why = "" if request.action == "sts:AssumeRole" else f"because no {kind} allows the {request.action} action"
    return Decision(False, why, finding.statement)

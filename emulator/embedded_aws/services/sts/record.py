"""The service record of AWS STS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.gate import principals
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.grammar import SESSION
from embedded_aws.policies.policy import Policy, Request
from embedded_aws.service import ConditionKeys, Service, Writes
from embedded_aws.services.sts import asks, sessions

LONGEST, MOST = 2048, 10  # characters and managed policies. Source: AWS, IAM user guide, "IAM and AWS STS quotas"


def _trust(request: Request) -> tuple[Policy | None, bool]:
    """Return the trust policy of the role that is to be taken: it has to allow that in its own account, too."""
    if request.action not in ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"):
        return None, False
    role = principals.find_role(request.resource)
    if role is None:  # a role that is not there trusts nobody
        return Policy(f"trust policy of {request.resource}", {"Statement": []}), True
    return Policy.of(f"trust policy of {role.name}", role.assume_role_policy_document), True


def _check(call: Call, _: Principal) -> None:
    if len(call.parameters.get("PolicyArns", [])) > MOST:
        raise CallError(f"a session takes at most {MOST} managed policies", reason="validation")


def _check_size(call: Call, text: str, _: Mapping[str, Any], __: Principal) -> None:
    arns = [policy.get("arn", "") for policy in call.parameters.get("PolicyArns", [])]
    if len(text) + sum(map(len, arns)) > LONGEST:
        raise CallError(f"the session policies are longer than {LONGEST} characters", reason="packed policy")


STS = Service(
    name="sts",
    asks=asks.asks,
    install=sessions.install,
    keys=ConditionKeys(
        known="externalid|rolesessionname|sourceidentity|transitivetagkeys",
        unfilled="transitivetagkeys",
        multivalued=frozenset({"transitivetagkeys"}),
    ),
    tags=lambda *_: {},  # of a request; what is asked for is a role
    policy_of=_trust,
    check=_check,
    writes={"AssumeRole": Writes("Policy", SESSION)},
    check_policy=_check_size,
)

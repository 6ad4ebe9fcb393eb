"""Owner and resource-based policy of a requested resource."""

from __future__ import annotations

from embedded_aws import service
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask, Policy, Request


def resource_policy(request: Request) -> tuple[Policy | None, bool]:
    """Return the policy of what is asked for, and whether it has to allow the request even in its own account."""
    return service.served()[request.action.partition(":")[0]].policy_of(request)


def carried_out_in(call: Call, asked: list[Ask], principal: Principal) -> str:
    """Return the account in which moto is to carry out a call.

    Raises
    ------
    CallError
        If that would be several, or the call is none that an account lets another make.
    """
    lent = service.served()[call.service].lent
    owners = {owner_of(ask, principal.account) for ask in asked} if lent else {principal.account}
    if len(owners) > 1 or (owners != {principal.account} and call.operation not in lent):
        raise CallError(f"{call.operation} with keys of another account is not done here", reason="validation")
    return owners.pop() if owners else principal.account


def owner_of(ask: Ask, account: str) -> str:
    """Return the account that a resource belongs to; ``account`` where nothing tells."""
    parts = ask.resource.split(":", 5)
    if len(parts) < 6:
        return account
    owner = service.served().get(parts[2])
    if account_id := owner and owner.owner_of(ask):
        return account_id
    return parts[4] if parts[4] not in ("", "aws") else account  # AWS's own policies are everybody's

"""The service record of AWS KMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.kms.models import kms_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.conditions import PolicyError
from embedded_aws.policies.grammar import KEY
from embedded_aws.policies.policy import Policy, Request, evaluate
from embedded_aws.service import ConditionKeys, Service, Writes
from embedded_aws.services.kms import asks, stack, states

LONGEST = 32 * 1024  # bytes of a key policy. Source: AWS, KMS developer guide, "Resource quotas"


def _policy_of(request: Request) -> tuple[Policy | None, bool]:
    """Return the key's policy: it has to allow whatever is done with the key."""
    key = asks.find(request.resource) if ":key/" in request.resource else None
    if key is None:
        return None, False
    if asks.managed_by_aws(key):
        return Policy("policy of a key of AWS", _managed_key(key.account_id)), True
    return Policy.of(f"policy of key {key.id}", key.policy), True


def _managed_key(account: str) -> Mapping[str, Any]:
    """Return what AWS lets everybody of an account do with the keys that it makes for services, through these."""
    through = {"StringEquals": {"kms:CallerAccount": account}, "Null": {"kms:ViaService": "false"}}
    use = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": through}
    look = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": ["kms:Describe*", "kms:Get*", "kms:List*"]}
    return {"Version": "2012-10-17", "Statement": [use, {**look, "Resource": "*"}]}


def _check_policy(call: Call, text: str, document: Mapping[str, Any], principal: Principal) -> None:
    """Refuse a key policy that is too long, or would not let the caller change it again.

    Source: AWS, KMS API reference, PutKeyPolicy, ``BypassPolicyLockoutSafetyCheck``.
    """
    if len(text.encode()) > LONGEST:
        raise CallError(f"The key policy exceeds the maximum allowed document size of {LONGEST} bytes", reason="limit")
    if call.parameters.get("BypassPolicyLockoutSafetyCheck"):
        return
    request = Request(
        principal.arn, principal.account, "kms:PutKeyPolicy", "*", principal.context, principal.aliases,
        bounded=principal.boundary is not None,
    )  # fmt: skip
    try:
        effect = evaluate([Policy("key policy", document)], request, resource_policy=True).effect
    except PolicyError:
        effect = "Allow"  # says something that is not evaluated here; whoever uses the key is told
    if effect != "Allow":
        raise CallError(
            "The new key policy will not allow you to update the key policy in the future.", reason="policy"
        )


def _tags(region: str, account: str, _: str, name: str) -> Mapping[str, str]:
    return kms_backends[account][region].tagger.get_tag_dict_for_resource(name.removeprefix("key/"))


def _rewrite(change: Callable[[Any], Any]) -> None:
    for backends in list(kms_backends.values()):
        for key in [key for region in list(backends.values()) for key in region.keys.values()]:
            key.policy = change(key.policy)


KMS = Service(
    name="kms",
    asks=asks.asks,
    install=states.install,
    keys=ConditionKeys(
        known="viaservice|calleraccount|grantisforawsresource|keyorigin|requestalias|resourcealiases"
        "|encryptioncontext:.+",
        unfilled="grantisforawsresource|keyorigin|requestalias|resourcealiases|encryptioncontext:.+",
        multivalued=frozenset({"resourcealiases"}),
    ),
    tags=_tags,
    policy_of=_policy_of,
    lent=asks.LENT,
    complaint=states.complaint,
    writes={"CreateKey": Writes("Policy", KEY), "PutKeyPolicy": Writes("Policy", KEY)},
    check_policy=_check_policy,
    rewrite_policies=_rewrite,
    types=(stack.Alias, stack.Key),
)

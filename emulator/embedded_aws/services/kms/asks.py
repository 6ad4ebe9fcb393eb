"""Permissions that KMS calls need, and the calls that other services make for a caller.

Source: AWS, KMS developer guide, "KMS API permissions reference" and "Controlling access to aliases".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from moto.kms.models import Key, kms_backends
from moto.kms.utils import RESERVED_ALIASES, _deserialize_ciphertext_blob

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

# What one account may let another do with its key.
LENT = frozenset({"Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GetKeyRotationStatus"})


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of KMS asks for."""
    parameters, context = call.parameters, tags.in_request(call)

    def arn(key: str) -> str:
        return key_arn(key, caller.account, call.region)

    if "AliasName" in parameters:
        yield Ask(call.action, f"arn:aws:kms:{call.region}:{caller.account}:{parameters['AliasName']}", context)
        aliased = kms_backends[caller.account][call.region].get_key_id_from_alias(parameters["AliasName"])
        keys = [parameters.get("TargetKeyId"), aliased if call.operation != "CreateAlias" else None]
        for key in dict.fromkeys(arn(key) for key in keys if key):
            yield Ask(call.action, key, context)
    elif call.operation == "Decrypt":
        yield Ask(call.action, _of_ciphertext(call, caller), context)
    elif parameters.get("KeyId") and call.operation != "ListAliases":
        yield Ask(call.action, arn(parameters["KeyId"]), context)
    elif call.operation == "CreateKey":
        yield Ask(call.action, "*", context)
        if tags.requested(call):
            yield Ask("kms:TagResource", "*", context)
    else:
        yield Ask(call.action, "*", context)


def _of_ciphertext(call: Call, caller: Principal) -> str:
    """Return the key that something was encrypted with; KMS reads it from the ciphertext, whatever KeyId says."""
    try:
        key_id = _deserialize_ciphertext_blob(base64.b64decode(call.parameters["CiphertextBlob"])).key_id
    except Exception:
        raise CallError("CiphertextBlob is nothing that was encrypted here", reason="ciphertext") from None
    key = call.parameters.get("KeyId")
    account = owner(key, caller.account) if key else caller.account
    if key and key_arn(key, account, call.region).rpartition("/")[2] != key_id:
        raise CallError("the key in KeyId is not the one that was encrypted with", reason="ciphertext")
    return f"arn:aws:kms:{call.region}:{account}:key/{key_id}"


def owner(key: str, account: str) -> str:
    """Return the account of a key that may be named by its ARN."""
    return key.split(":")[4] if key.count(":") >= 5 else account


def key_arn(key: str, account: str, region: str) -> str:
    """Return the ARN of a KMS key that is named by id, ARN or alias.

    Raises
    ------
    CallError
        If it is in another region, where this one's KMS does not look.
    """
    if key.startswith("arn:"):
        parts = key.split(":", 5)
        if len(parts) < 6 or parts[3] != region:
            raise CallError(f"Invalid arn {key}", reason="validation")
        account, key = parts[4], parts[5].removeprefix("key/")
    if key.startswith("alias/"):
        key_id = kms_backends[account][region].get_key_id_from_alias(key)
        if not key_id:
            return f"arn:aws:kms:{region}:{account}:{key}"
        key = key_id
    return f"arn:aws:kms:{region}:{account}:key/{key}"


def find(arn: str) -> Key | None:
    """Return moto's key of this ARN, in whatever account; None if there is none."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] != "kms":
        return None
    return kms_backends[parts[4]][parts[3]].keys.get(parts[5].removeprefix("key/"))


def managed_by_aws(key: Key) -> bool:
    """Tell whether a key is one that AWS makes for a service, such as ``aws/s3``."""
    return any(alias in RESERVED_ALIASES for alias in key.aliases)


def via(service: str, action: str, key: str | None, account: str, call: Call) -> Ask:
    """Return what a service asks of KMS in its caller's name; without a key, of the service's own."""
    context = {"kms:viaservice": (f"{service}.{call.region}.amazonaws.com",), "aws:viaawsservice": ("true",)}
    return Ask(action, key_arn(key or f"alias/aws/{service}", account, call.region), context)

"""Keys of log groups: CloudWatch Logs encrypts in its own name, and the key's policy must let it."""

from __future__ import annotations

from embedded_aws import service
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.gate.refusals import Refused
from embedded_aws.gate.resources import resource_policy
from embedded_aws.policies.decisions import decide
from embedded_aws.policies.policy import Request

_USED_BY_LOGS = ("GenerateDataKey", "Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo")


def check(call: Call, caller: Principal) -> None:
    """Refuse a key that CloudWatch Logs could not encrypt a log group with; it asks in its own name.

    AWS's page lists five groups of actions for the key's policy, and does not say which the service tries at once: all
    that carry the encryption context are tried here.
    Source: AWS, CloudWatch Logs user guide, "Encrypt log data in CloudWatch Logs using AWS KMS".
    """
    if "kmsKeyId" not in call.parameters:
        return
    account = caller.account
    key, group = call.parameters["kmsKeyId"], f"log-group:{call.parameters.get('logGroupName')}"
    arn = f"arn:aws:logs:{call.region}:{account}:{group}"
    context = {
        "aws:sourceaccount": (account,),
        "aws:sourcearn": (arn,),
        "aws:principalisawsservice": ("true",),
        "kms:encryptioncontext:aws:logs:arn": (arn,),
    }

    def refused(action: str) -> tuple[str, ...]:
        request = Request(f"logs.{call.region}.amazonaws.com", "", action, key, context)
        decision = decide(request, {}, (resource_policy(request)[0], True), own=True)
        return () if decision.allowed else (decision.why, decision.statement)

    answers = (refused(f"kms:{action}") for action in _USED_BY_LOGS)
    if reasons := service.served()["kms"].complaint(key) or next(filter(None, answers), ()):
        why = ", ".join(filter(None, reasons))
        message = f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}' ({why})"
        raise Refused("validation", message, code="InvalidParameterException")

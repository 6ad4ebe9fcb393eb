"""Permissions that calls of CloudWatch Logs need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon CloudWatch Logs".
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

_OF_GROUP = ("logGroupName", "resourceArn")
_ON_STREAM = ("GetLogEvents", "PutLogEvents", "DeleteLogStream")


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of CloudWatch Logs asks for, once per log group."""
    parameters, context = call.parameters, tags.in_request(call)
    groups = [parameters[name] for name in _OF_GROUP if parameters.get(name)]
    stream = parameters.get("logStreamName", "") if call.operation in _ON_STREAM else ""
    if call.operation == "DescribeLogGroups" and not groups:
        groups = [""]
    for group in groups:
        yield Ask(call.action, _group(group, call, caller.account, stream), context)
    if not groups:
        yield Ask(call.action, "*", context)
    if call.operation == "CreateLogGroup" and tags.requested(call):
        yield Ask("logs:TagResource", _group(groups[0], call, caller.account, ""), context)


def _group(name: str, call: Call, account: str, stream: str) -> str:
    if name.startswith("arn:") and (":log-group:" not in name or "TagResource" in call.operation):
        return name
    if name.startswith("arn:"):
        parts = name.split(":", 5)
        return f"{':'.join(parts[:5])}:log-group:{parts[5].split(':')[1]}:log-stream:{stream}"
    return f"arn:aws:logs:{call.region}:{account}:log-group:{name}:log-stream:{stream}"

"""Permissions that calls of Step Functions need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for AWS Step Functions".
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

_ARNS = ("stateMachineArn", "executionArn", "resourceArn")


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call asks for: of one state machine or execution, or of none."""
    context = tags.in_request(call)
    named = [call.parameters[name] for name in _ARNS if call.parameters.get(name)]
    if call.operation == "CreateStateMachine":
        named = [f"arn:aws:states:{call.region}:{caller.account}:stateMachine:{call.parameters.get('name', '')}"]
    for arn in named or ["*"]:
        yield Ask(call.action, arn, context)
    if call.operation == "CreateStateMachine" and tags.requested(call):
        yield Ask("states:TagResource", named[0], context)

"""Permissions that calls of CloudFormation need: on the stack, by its id where there is one.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for AWS CloudFormation".
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.stacks.state import Stack, book


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of CloudFormation asks for: the stack, by its id where there is one."""
    given, context = call.parameters, tags.in_request(call)
    stack = _stack(call, caller.account)
    name = given.get("StackName", "")
    if stack is not None:
        yield Ask(call.action, stack.id, context)
    elif name:
        arn = (
            name if name.startswith("arn:") else f"arn:aws:cloudformation:{call.region}:{caller.account}:stack/{name}/*"
        )
        yield Ask(call.action, arn, context)
    else:
        yield Ask(call.action, "*", context)
        if call.operation == "DescribeStacks":  # without a name it lists them
            yield Ask("cloudformation:ListStacks", "*", context)


def _stack(call: Call, account: str) -> Stack | None:
    given, there = call.parameters, book(account, call.region)
    if name := given.get("StackName"):
        return None if call.operation == "CreateStack" else there.get(name)
    if change_set := given.get("ChangeSetName"):
        return next((one for one in there if any(c.id == change_set for c in one.change_sets.values())), None)
    if physical := given.get("PhysicalResourceId"):
        holding = (one for one in there if any(r.there and r.physical_id == physical for r in one.resources.values()))
        return next(holding, None)
    return None

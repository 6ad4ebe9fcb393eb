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
    parameters, context = call.parameters, tags.in_request(call)
    stack = _stack(call, caller.account)
    name = parameters.get("StackName", "")
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
    parameters, stacks = call.parameters, book(account, call.region)
    if name := parameters.get("StackName"):
        return None if call.operation == "CreateStack" else stacks.get(name)
    if change_set := parameters.get("ChangeSetName"):
        return next((stack for stack in stacks if any(c.id == change_set for c in stack.change_sets.values())), None)
    if physical := parameters.get("PhysicalResourceId"):
        holding = (
            stack for stack in stacks if any(r.there and r.physical_id == physical for r in stack.resources.values())
        )
        return next(holding, None)
    return None

"""What calls of CloudWatch Logs, CloudFormation, Service Quotas and CloudTrail ask permission for.

Source: AWS, Service authorization reference, one page per service.
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.iam import tags
from embedded_aws.iam.calls import Call
from embedded_aws.iam.policy import Ask
from embedded_aws.iam.principals import Principal
from embedded_aws.stacks.state import Stack, book

_OF_GROUP = ("logGroupName", "resourceArn")
_ON_STREAM = ("GetLogEvents", "PutLogEvents", "DeleteLogStream")
# Of quotas, these are about one.
_ONE_QUOTA = ("GetServiceQuota", "RequestServiceQuotaIncrease", "ListRequestedServiceQuotaChangeHistoryByQuota")


def logs_asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of CloudWatch Logs asks for, once per log group."""
    given, context = call.parameters, tags.in_request(call)
    groups = [given[name] for name in _OF_GROUP if given.get(name)]
    stream = given.get("logStreamName", "") if call.operation in _ON_STREAM else ""
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


def cloudformation_asks(call: Call, caller: Principal) -> Iterator[Ask]:
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


def quota_asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of Service Quotas asks for."""
    resource = "*"
    if call.operation in _ONE_QUOTA:
        code = f"{call.parameters.get('ServiceCode')}/{call.parameters.get('QuotaCode')}"
        resource = f"arn:aws:servicequotas:{call.region}:{caller.account}:{code}"
    yield Ask(call.action, resource, {"servicequotas:service": (str(call.parameters.get("ServiceCode")),)})


def trail_asks(call: Call, _: Principal) -> Iterator[Ask]:
    """Yield what a call of CloudTrail asks for."""
    yield Ask(call.action)

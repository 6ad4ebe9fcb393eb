"""Permissions that STS calls need: also for every thing that a session is to bring with it.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for AWS STS".
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of STS asks for."""
    if call.operation == "GetCallerIdentity":
        return  # anybody who can sign may ask who he is; no policy takes that away
    parameters = call.parameters
    context = {
        f"sts:{name.lower()}": (str(parameters[name]),)
        for name in ("ExternalId", "RoleSessionName", "SourceIdentity")
        if name in parameters
    } | tags.in_request(call)
    # Who somebody is stays with them from session to session, and each role must let it be set.
    (inherited,) = caller.context.get("aws:sourceidentity", ("",))
    if inherited and parameters.get("SourceIdentity", inherited) != inherited:
        raise CallError("The source identity of a session cannot be changed", reason="denied")
    identity = parameters.get("SourceIdentity") or inherited
    context |= {"sts:sourceidentity": (identity,)} if identity else {}
    resource = parameters.get("RoleArn", "*")
    yield Ask(call.action, resource, context)
    if parameters.get("Tags"):
        yield Ask("sts:TagSession", resource, context)
    if identity and call.operation == "AssumeRole":
        yield Ask("sts:SetSourceIdentity", resource, context)

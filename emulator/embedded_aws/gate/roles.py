"""Service roles: which service may assume one, and what it may do with it."""

from __future__ import annotations

from collections.abc import Sequence

from embedded_aws.gate import principals
from embedded_aws.gate.organization import control_policies
from embedded_aws.policies.conditions import PolicyError
from embedded_aws.policies.decisions import BOUNDARY, CONTROL, IDENTITY, Decision, decide
from embedded_aws.policies.policy import Policy, Request, evaluate


def service_may_assume(service: str, role_arn: str, *, account: str, source_arn: str) -> Decision:
    """Decide whether a service may take a role on behalf of an account, as ``sagemaker.amazonaws.com`` for a job."""
    role = principals.find_role(role_arn)
    if role is None:
        return Decision(False, "the role does not exist")
    context = {
        "aws:sourceaccount": (account,),
        "aws:sourcearn": (source_arn,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (service,),
    }
    request = Request(service, "", "sts:AssumeRole", role_arn, context)
    trust = Policy.of(f"trust policy of {role.name}", role.assume_role_policy_document)
    try:
        finding = evaluate([trust], request, resource_policy=True)
    except PolicyError as error:
        return Decision(False, str(error))
    return Decision(finding.effect == "Allow", finding.statement, finding.statement)


def role_may(role_arn: str, action: str, resource: str, *, region: str) -> Decision:
    """Decide whether a role that a service uses may do something in its own account."""
    policies, boundary, context = principals.of_role(role_arn)
    layers: dict[str, Sequence[Policy]] = {IDENTITY: policies}
    if boundary:
        layers[BOUNDARY] = [boundary]
    if controls := control_policies():
        layers[CONTROL] = controls
    context = {**context, "aws:requestedregion": (region,), "aws:securetransport": ("true",)}
    request = Request(role_arn, role_arn.split(":")[4], action, resource, context)
    return decide(request, layers, (None, False), own=True)

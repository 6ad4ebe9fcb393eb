"""IAM's policy simulator, answered by the evaluator that decides about real calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import DeleteConflictException, NotFoundException, ValidationError
from moto.iam.responses import IamResponse

from embedded_aws.iam import documents, principals
from embedded_aws.iam.gate import IDENTITY, Decision, decide
from embedded_aws.iam.policy import Ask, Policy, Request
from embedded_aws.iam.resources import owner_of

_ENTITY = re.compile(r"arn:aws:iam::(?P<account>\d{12}):(?P<kind>user|role|group)/(?:.*/)?(?P<name>[^/]+)")
Layers = Mapping[str, Sequence[Policy]]


class Simulator(IamResponse):
    """moto's IAM, with ``SimulatePrincipalPolicy`` and ``SimulateCustomPolicy``.

    As on AWS, policies of resources count only if the request brings one, and condition keys have the values that the
    request gives them.
    """

    def create_user(self) -> ActionResult:
        """CreateUser; moto would forget a boundary, and the user could do more than was meant."""
        if self._get_param("PermissionsBoundary"):
            raise NotImplementedError("CreateUser with a PermissionsBoundary")
        return super().create_user()

    def delete_role(self) -> ActionResult:
        """DeleteRole; who trusted it trusts nobody then."""
        role = self.backend.get_role(self._get_param("RoleName"))
        told = super().delete_role()
        documents.forget(role.arn, role.id)
        return told

    def delete_user(self) -> ActionResult:
        """DeleteUser; as a role."""
        user = self.backend.get_user(self._get_param("UserName"))
        told = super().delete_user()
        documents.forget(user.arn, user.id)
        return told

    def delete_policy(self) -> ActionResult:
        """DeletePolicy; moto would delete one that somebody still has attached."""
        policy = self.backend.get_policy(self._get_param("PolicyArn"))
        if policy.attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        return super().delete_policy()

    def simulate_principal_policy(self) -> ActionResult:
        """SimulatePrincipalPolicy."""
        source = self._get_param("PolicySourceArn")
        found = _ENTITY.fullmatch(source)
        if found is None:
            raise ValidationError(f"Invalid Entity Arn: {source} does not clearly define entity type and name.")
        account = found["account"]
        if found["kind"] == "role" and principals.find_role(source):
            policies, boundary, context = principals.of_role(source)
        elif found["kind"] == "user":
            policies, boundary, context = principals.of_user(account, found["name"])
        else:
            raise NotFoundException(f"Entity {source} does not exist.")
        layers = {IDENTITY: [*policies, *self._given("PolicyInputList")]}
        if boundary:
            layers["permissions boundary"] = [boundary]
        return self._simulated(layers, source, account, context)

    def simulate_custom_policy(self) -> ActionResult:
        """SimulateCustomPolicy."""
        caller = self._get_param("CallerArn") or f"arn:aws:iam::{self.current_account}:user/anybody"
        return self._simulated({IDENTITY: self._given("PolicyInputList")}, caller, caller.split(":")[4], {})

    def _given(self, name: str) -> list[Policy]:
        documents = self._get_param(name, []) or []
        return [Policy.of(f"{name} {number}", text) for number, text in enumerate(documents, start=1)]

    def _simulated(self, layers: Layers, caller: str, account: str, context: Mapping[str, Any]) -> ActionResult:
        entries = self._get_param("ContextEntries", []) or []
        asked = {item["ContextKeyName"].lower(): tuple(item.get("ContextKeyValues", [])) for item in entries}
        text = self._get_param("ResourcePolicy")
        guard = Policy.of("ResourcePolicy", text) if text else None
        results = []
        for action in self._get_param("ActionNames", []):
            for resource in self._get_param("ResourceArns", []) or ["*"]:
                request = Request(caller, account, action, resource, {**context, **asked}, (caller,))
                own = owner_of(Ask(action, resource), account) == account or guard is None
                results.append(_result(request, decide(request, layers, (guard, False), own=own)))
        return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _result(request: Request, decision: Decision) -> dict[str, Any]:
    verdict = "allowed" if decision.allowed else "explicitDeny" if decision.explicit else "implicitDeny"
    matched = decision.statement if decision.allowed or decision.explicit else ""
    return {
        "EvalActionName": request.action,
        "EvalResourceName": request.resource,
        "EvalDecision": verdict,
        "MatchedStatements": [{"SourcePolicyId": matched}] if matched else [],
        "MissingContextValues": [],
    }

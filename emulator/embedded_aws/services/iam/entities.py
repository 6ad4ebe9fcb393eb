"""IAM requests, moto's corrected: boundaries of users, principals that are gone, policies attached twice."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iam.exceptions import DeleteConflictException
from moto.iam.responses import IamResponse

from embedded_aws.gate import documents
from embedded_aws.services.iam import aws_policies


class Entities(IamResponse):
    """Users, groups, roles and managed policies."""

    def create_user(self) -> ActionResult:
        """CreateUser; moto would forget a boundary, and the user could do more than was meant."""
        result = super().create_user()
        if boundary := self._get_param("PermissionsBoundary"):
            self._bound(boundary)
        return result

    def put_user_permissions_boundary(self) -> ActionResult:
        """PutUserPermissionsBoundary."""
        self._bound(self._get_param("PermissionsBoundary"))
        return EmptyResult()

    def delete_user_permissions_boundary(self) -> ActionResult:
        """DeleteUserPermissionsBoundary."""
        self._bound(None)
        return EmptyResult()

    def _bound(self, arn: str | None) -> None:
        user = self.backend.get_user(self._get_param("UserName"))
        user.permissions_boundary_arn = arn
        attached = {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn}
        user.permissions_boundary = attached if arn else None

    def update_assume_role_policy(self) -> ActionResult:
        """UpdateAssumeRolePolicy; moto would take no older version of the language, which trust policies may have."""
        role = self.backend.get_role(self._get_param("RoleName"))
        role.assume_role_policy_document = self._get_param("PolicyDocument")
        return EmptyResult()

    def delete_role(self) -> ActionResult:
        """DeleteRole; who trusted it trusts nobody then."""
        role = self.backend.get_role(self._get_param("RoleName"))
        result = super().delete_role()
        documents.forget(role.arn, role.id)
        return result

    def delete_user(self) -> ActionResult:
        """DeleteUser; as a role."""
        user = self.backend.get_user(self._get_param("UserName"))
        result = super().delete_user()
        documents.forget(user.arn, user.id)
        return result

    def delete_policy(self) -> ActionResult:
        """DeletePolicy; moto would delete one that somebody still has attached."""
        policy = self.backend.get_policy(self._get_param("PolicyArn"))
        if policy.attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        return super().delete_policy()

    # moto counts a policy twice that is attached twice, and would never let it be deleted.
    def attach_user_policy(self) -> ActionResult:
        """AttachUserPolicy."""
        user = self.backend.users.get(self._get_param("UserName"))
        return EmptyResult() if self._has(user) else super().attach_user_policy()

    def attach_role_policy(self) -> ActionResult:
        """AttachRolePolicy; moto knows policies of AWS's own, and loads none of them by itself."""
        aws_policies.load(self.backend, self._get_param("PolicyArn"))
        name = self._get_param("RoleName")
        role = next((role for role in self.backend.get_roles() if role.name == name), None)
        return EmptyResult() if self._has(role) else super().attach_role_policy()

    def attach_group_policy(self) -> ActionResult:
        """AttachGroupPolicy."""
        group = self.backend.groups.get(self._get_param("GroupName"))
        return EmptyResult() if self._has(group) else super().attach_group_policy()

    def _has(self, entity: Any) -> bool:
        return entity is not None and self._get_param("PolicyArn") in entity.managed_policies

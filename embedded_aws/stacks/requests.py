"""CloudFormation that refuses what it does not know, rolls back, and fails to delete what AWS would not delete.

Importing this module imports every service of moto (seconds): the server does it behind its back.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

import moto.cloudformation.urls
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack, cloudformation_backends
from moto.cloudformation.parsing import NULL_MODELS, get_model_map
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.core.responses import ActionResult
from moto.iam import models as iam
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeBucket, PublicAccessBlock, s3_backends

IAM_TYPES = "AWS::IAM::"
POLICY_VERSIONS = 5  # that IAM keeps of one policy
NAMED_IAM = {"GroupName", "InstanceProfileName", "ManagedPolicyName", "RoleName", "UserName"}
log = logging.getLogger(__name__)


class InsufficientCapabilities(CloudFormationError):
    """The template makes IAM resources, and the caller has not said that this is meant."""

    code = "InsufficientCapabilitiesException"


class Bucket(CloudFormationModel):
    """``AWS::S3::Bucket`` with the properties that moto passes over; later subclasses win in moto's map of types."""

    @staticmethod
    def cloudformation_name_type() -> str:
        """Return the property that names a bucket."""
        return FakeBucket.cloudformation_name_type()

    @staticmethod
    def cloudformation_type() -> str:
        """Return the type that this class stands for."""
        return FakeBucket.cloudformation_type()

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Tell whether ``Fn::GetAtt`` knows an attribute."""
        return FakeBucket.has_cfn_attr(attr)

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> FakeBucket:
        """Create the bucket."""
        bucket = FakeBucket.create_from_cloudformation_json(
            resource_name, cloudformation_json, account_id, region_name, **kwargs
        )
        return _configured(bucket, cloudformation_json.get("Properties", {}))

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> FakeBucket:
        """Update the bucket."""
        properties = cloudformation_json["Properties"]
        properties.setdefault("BucketName", original_resource.name)
        bucket = FakeBucket.update_from_cloudformation_json(
            original_resource, new_resource_name, cloudformation_json, account_id, region_name
        )
        return _configured(bucket, properties)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Delete the bucket, if it is empty."""
        backend = s3_backends[account_id]["aws"]
        with contextlib.suppress(MissingBucket):  # somebody was faster
            if backend.delete_bucket(resource_name) is None:
                raise ValidationError(
                    message=f"The bucket you tried to delete is not empty (Service: S3, Bucket: {resource_name})"
                )


class ManagedPolicy(CloudFormationModel):
    """``AWS::IAM::ManagedPolicy`` that is really updated and really deleted."""

    cloudformation_name_type = staticmethod(iam.ManagedPolicy.cloudformation_name_type)
    cloudformation_type = staticmethod(iam.ManagedPolicy.cloudformation_type)
    create_from_cloudformation_json = staticmethod(iam.ManagedPolicy.create_from_cloudformation_json)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: iam.ManagedPolicy,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> iam.ManagedPolicy:
        """Make the new document the policy's default version; of five versions the oldest gives way."""
        backend = iam.iam_backends[account_id]["aws"]
        document = json.dumps(cloudformation_json["Properties"]["PolicyDocument"])
        if len(original_resource.versions) >= POLICY_VERSIONS:
            oldest = next(version for version in original_resource.versions if not version.is_default)
            backend.delete_policy_version(original_resource.arn, oldest.version_id)
        backend.create_policy_version(original_resource.arn, document, True)
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Delete the policy, unless somebody outside the stack still has it attached."""
        backend = iam.iam_backends[account_id]["aws"]
        policy = backend.managed_policies.get(resource_name)
        if policy is None:
            return
        if policy.attachment_count:
            raise ValidationError(message=f"Cannot delete a policy attached to entities. (Policy: {policy.name})")
        backend.delete_policy(resource_name)


def _configured(bucket: FakeBucket, properties: dict[str, Any]) -> FakeBucket:
    if block := properties.get("PublicAccessBlockConfiguration"):
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        bucket.public_access_block = PublicAccessBlock(*(_truth(block.get(name)) for name in names))
    if versioning := properties.get("VersioningConfiguration"):
        bucket.versioning_status = versioning["Status"]
    return bucket


def _truth(value: Any) -> str:
    return "true" if str(value).lower() == "true" else "false"


class Stacks(CloudFormationBackend):
    """moto's CloudFormation of one account and region, with the ends that stacks come to on AWS."""

    @property
    def _url_module(self) -> Any:
        return moto.cloudformation.urls

    def create_stack(self, *args: Any, **kwargs: Any) -> Stack:
        """Create a stack; when a resource fails, roll back and say why in its events."""
        known = set(self.stacks)
        try:
            return super().create_stack(*args, **kwargs)
        except Exception as error:
            begun = [stack for stack_id, stack in self.stacks.items() if stack_id not in known]
            if not begun:  # the template itself was refused
                raise
            (stack,) = begun
            log.warning("stack %s is rolled back: %s", stack.name, error)
            for name in [name for name, export in self.exports.items() if export.exporting_stack_id == stack.stack_id]:
                del self.exports[name]
            _end(stack, "ROLLBACK_IN_PROGRESS", _told(error))
            try:
                stack.resource_map.delete()
            except Exception as also:
                _end(stack, "ROLLBACK_FAILED", _told(also))
            else:
                _end(stack, "ROLLBACK_COMPLETE", _told(error))
            return stack

    def delete_stack(self, name_or_stack_id: str) -> None:
        """Delete a stack; one that cannot be deleted stays, as DELETE_FAILED."""
        for stack in list(self.stacks.values()):
            if name_or_stack_id in (stack.name, stack.stack_id):
                try:
                    super().delete_stack(stack.stack_id)
                except Exception as error:
                    self.stacks[stack.stack_id] = stack
                    _end(stack, "DELETE_FAILED", _told(error))


def _end(stack: Stack, status: str, reason: str) -> None:
    stack.status, stack.status_reason = status, reason
    stack._add_stack_event(status, resource_status_reason=reason)


def _told(error: Exception) -> str:
    return str(getattr(error, "message", None) or error)


class StackRequests(CloudFormationResponse):
    """moto's requests, after a look at the template."""

    def create_stack(self) -> ActionResult:
        """CreateStack."""
        self._judge()
        return super().create_stack()

    def update_stack(self) -> ActionResult:
        """UpdateStack."""
        self._judge()
        return super().update_stack()

    def create_change_set(self) -> ActionResult:
        """CreateChangeSet."""
        self._judge()
        return super().create_change_set()

    def _judge(self) -> None:
        body = self._get_param("TemplateBody")
        if url := self._get_param("TemplateURL"):
            body = self._get_stack_from_s3_url(url)
        if not body:
            return  # the template that the stack has already
        template = Stack.parse_template(body)
        resources = template.get("Resources", {}) if isinstance(template, dict) else {}
        types = {resource.get("Type", "") for resource in resources.values()}
        if unknown := sorted(types - set(get_model_map()) - set(NULL_MODELS)):
            raise ValidationError(
                message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}] "
                "(the embedded AWS does not know them)"
            )
        given = set(self._get_param("Capabilities", []) or [])
        access = [resource for resource in resources.values() if resource["Type"].startswith(IAM_TYPES)]
        named = any(NAMED_IAM & set(resource.get("Properties", {})) for resource in access)
        if (named and "CAPABILITY_NAMED_IAM" not in given) or (
            access and not given & {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
        ):
            raise InsufficientCapabilities(f"Requires capabilities : [CAPABILITY_{'NAMED_' * named}IAM]")


def install() -> None:
    """Put these in the place of moto's; before the first request to CloudFormation."""
    cloudformation_backends.backend = Stacks
    moto.cloudformation.urls.url_paths = {
        **moto.cloudformation.urls.url_paths,
        "{0}/$": StackRequests.dispatch,
    }

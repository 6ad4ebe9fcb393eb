"""CloudFormation's API: what is in a stack, and what is in a template."""

from __future__ import annotations

import json

from moto.core.responses import ActionResult

from embedded_aws.services.cloudformation import views
from embedded_aws.services.cloudformation.asked import Asked
from embedded_aws.stacks.capabilities import capabilities
from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.state import Wanted


class ResourceRequests(Asked):
    """Questions about resources and templates."""

    def describe_stack_resources(self) -> ActionResult:
        """DescribeStackResources of a stack, or of the stack that has a physical id."""
        name, physical = self._get_param("StackName"), self._get_param("PhysicalResourceId")
        if physical and not name:
            holders = [
                s for s in self._book if any(r.there and r.physical_id == physical for r in s.resources.values())
            ]
            if not holders:
                raise ValidationError(f"Stack for {physical} does not exist")
            stack = holders[0]
        else:
            stack = self._book.find(name)
        logical = self._get_param("LogicalResourceId")
        resources = [resource for resource in list(stack.resources.values()) if logical in (None, resource.logical_id)]
        return ActionResult(
            {"StackResources": [views.of_resource(stack, resource, "Timestamp") for resource in resources]}
        )

    def describe_stack_resource(self) -> ActionResult:
        """DescribeStackResource."""
        stack, logical = self._book.find(self._get_param("StackName")), self._get_param("LogicalResourceId")
        if logical not in stack.resources:
            raise ValidationError(f"Resource {logical} does not exist for stack {stack.name}")
        resource = stack.resources[logical]
        detail = views.of_resource(stack, resource, "LastUpdatedTimestamp")
        if resource.metadata is not None:
            detail["Metadata"] = json.dumps(resource.metadata)
        return ActionResult({"StackResourceDetail": detail})

    def list_stack_resources(self) -> ActionResult:
        """ListStackResources."""
        stack = self._book.find(self._get_param("StackName"))
        summaries = [
            views.of_resource(stack, resource, "LastUpdatedTimestamp") for resource in list(stack.resources.values())
        ]
        for summary in summaries:
            del summary["StackId"], summary["StackName"]
        return self._page("StackResourceSummaries", summaries)

    def get_template(self) -> ActionResult:
        """GetTemplate of a stack or change set."""
        if change_set := self._get_param("ChangeSetName"):
            wanted = self._change_set(change_set).wanted
        else:
            wanted = self._applied(self._get_param("StackName"))
        return ActionResult({"TemplateBody": wanted.template.body, "StagesAvailable": ["Original", "Processed"]})

    def _applied(self, name: str) -> Wanted:
        wanted = self._book.find(name).wanted
        if wanted is None:
            raise ValidationError(f"Template of stack {name} does not exist")
        return wanted

    def get_template_summary(self) -> ActionResult:
        """GetTemplateSummary."""
        name = self._get_param("StackName")
        template = self._applied(name).template if name else self._read_template(self._template_body())
        needed, why = capabilities(template)
        members = {
            "Parameters": [views.declaration(name, declaration) for name, declaration in template.parameters.items()],
            "Description": template.description or None,
            "Capabilities": needed,
            "CapabilitiesReason": why,
            "ResourceTypes": sorted({resource["Type"] for resource in template.resources.values()}),
            "Metadata": json.dumps(template.metadata) if template.metadata else None,
            "Version": "2010-09-09",
        }
        return ActionResult({name: value for name, value in members.items() if value is not None})

    def validate_template(self) -> ActionResult:
        """ValidateTemplate."""
        template = self._read_template(self._template_body())
        needed, why = capabilities(template)
        members = {
            "Parameters": [
                {
                    "ParameterKey": name,
                    "NoEcho": str(declaration.get("NoEcho", False)).lower() == "true",
                    **({"DefaultValue": str(declaration["Default"])} if "Default" in declaration else {}),
                    **({"Description": declaration["Description"]} if "Description" in declaration else {}),
                }
                for name, declaration in template.parameters.items()
            ],
            "Description": template.description or None,
            "Capabilities": needed,
            "CapabilitiesReason": why,
        }
        return ActionResult({name: value for name, value in members.items() if value is not None})

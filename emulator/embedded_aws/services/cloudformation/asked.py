"""Request parameters of CloudFormation: the stack, the template and the parameters that are asked for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError
from moto.core.responses import ActionResult, BaseResponse

from embedded_aws.stacks import parameters, types
from embedded_aws.stacks.capabilities import check_capabilities
from embedded_aws.stacks.clients import Clients, clients_of, credentials_of
from embedded_aws.stacks.engine import Deployment
from embedded_aws.stacks.errors import AlreadyExists, ResourceError, ValidationError
from embedded_aws.stacks.functions import references
from embedded_aws.stacks.plan import Change, plan
from embedded_aws.stacks.state import Book, Stack, Wanted, book
from embedded_aws.stacks.template import Template

_PAGE = 100
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_STABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}


class Asked(BaseResponse):
    """A request to CloudFormation."""

    endpoint = ""  # of this AWS; ``requests.install`` sets it

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    @property
    def _book(self) -> Book:
        return book(self.current_account, self.region)

    @property
    def _clients(self) -> Clients:
        credentials = credentials_of(self.get_access_key(), self.current_account)
        return clients_of(credentials, region=self.region, endpoint=self.endpoint)

    def _plan(self, stack: Stack, wanted: Wanted, deployment: Deployment) -> list[Change]:
        """Return the changes, and refuse what cannot be compared."""
        try:
            return plan(stack, wanted, zones=deployment.zones)
        except ClientError as error:
            raise ValidationError(f"Template validation error: {error.response['Error']['Message']}") from None
        except ResourceError as error:
            raise ValidationError(str(error)) from None

    def _new_name(self) -> str:
        name = self._get_param("StackName") or ""
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
                "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        if self._book.get(name) is not None:
            raise AlreadyExists(f"Stack [{name}] already exists")
        return name

    def _check_updatable(self, stack: Stack) -> None:
        if stack.status not in _STABLE:
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _wanted(self, before: Stack | None) -> Wanted:
        """Read what the request wants; what it leaves to the stack is taken from there."""
        previous = before.wanted if before else None
        if self._get_param("UsePreviousTemplate"):
            if previous is None:
                raise ValidationError("UsePreviousTemplate needs a stack that has a template")
            template = previous.template
        else:
            template = self._read_template(self._template_body())
        given = {}
        for parameter in self._get_param("Parameters") or []:
            key = parameter["ParameterKey"]
            if parameter.get("UsePreviousValue"):
                if previous is None or key not in previous.parameters:
                    raise ValidationError(f"Parameter {key} has no previous value")
                given[key] = previous.parameters[key]
            else:
                given[key] = parameter.get("ParameterValue", "")
        values = parameters.values(template.parameters, given)
        self._check_existence(template, values, previous)
        capabilities = tuple(self._get_param("Capabilities") or ())
        check_capabilities(template, capabilities)
        tags = self._get_param("Tags")
        kept = dict(previous.tags) if previous else {}
        now = kept if tags is None else {tag["Key"]: tag["Value"] for tag in tags}
        if reserved := sorted(key for key in now if key.startswith("aws:")):
            raise ValidationError(f"aws: prefixed tag key names are not allowed for external use. ({reserved[0]})")
        return Wanted(template, values, now, capabilities, self._get_param("ClientRequestToken"))

    def _same(self, stack: Stack, wanted: Wanted) -> bool:
        """Tell whether outputs and tags are the stack's, too; the resources have been compared."""
        current = stack.wanted
        if current is None or current.template.outputs != wanted.template.outputs or current.tags != wanted.tags:
            return False
        named = {name for name, _ in references(wanted.template.outputs)}
        names = set(wanted.parameters) & named
        return all(wanted.parameters[name] == current.parameters.get(name) for name in names)

    def _check_existence(self, template: Template, values: dict[str, str], previous: Wanted | None) -> None:
        """Refuse ids of networks that the account does not have, as the parameter types promise."""
        calls = {
            "AWS::EC2::VPC::Id": ("describe_vpcs", "VpcIds"),
            "AWS::EC2::Subnet::Id": ("describe_subnets", "SubnetIds"),
            "AWS::EC2::SecurityGroup::Id": ("describe_security_groups", "GroupIds"),
        }
        for name, declaration in template.parameters.items():
            inner = declaration["Type"].removeprefix("List<").removesuffix(">")
            if inner not in calls or (previous and previous.parameters.get(name) == values[name]):
                continue
            operation, ids = calls[inner]
            items = parameters.referred(declaration, values[name])
            for item in items if isinstance(items, list) else [items]:
                try:
                    getattr(self._clients("ec2"), operation)(**{ids: [item]})
                except ClientError as error:
                    details = error.response["Error"]
                    if "NotFound" not in details["Code"]:
                        raise ValidationError(f"Parameter validation failed: {details['Message']}") from None
                    raise ValidationError(
                        f"Parameter validation failed: parameter value {item} for parameter name {name} does not exist"
                    ) from None

    def _template_body(self) -> str:
        body, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        if body and url:
            raise ValidationError("Specify exactly one of TemplateBody and TemplateURL")
        if not url:
            return body or ""
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
        virtual = re.match(r"(.+)\.s3[.-]", host)
        bucket, _, key = (virtual[1], "", path) if virtual else path.partition("/")
        if not (bucket and key):
            raise ValidationError(f"TemplateURL must be a supported URL: {url}")
        try:
            return self._clients("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        except (ClientError, UnicodeDecodeError) as error:
            raise ValidationError(f"S3 error: {error} ({url})") from None

    def _read_template(self, body: str) -> Template:
        template = Template.read(body, known_types=types.known())
        for target, attribute in references(
            [[resource.get("Properties") or {} for resource in template.resources.values()], template.outputs]
        ):
            resource = template.resources.get(target)
            if resource and attribute is not None and attribute not in types.known()[resource["Type"]].attributes:
                raise ValidationError(
                    f"Template error: resource {target} does not support attribute type {attribute} in Fn::GetAtt"
                )
        return template

    def _page(self, key: str, items: list[Any]) -> ActionResult:
        token = self._get_param("NextToken") or "0"
        if not token.isdigit():
            raise ValidationError("Invalid NextToken")
        first = int(token)
        more = {"NextToken": str(first + _PAGE)} if len(items) > first + _PAGE else {}
        return ActionResult({key: items[first : first + _PAGE], **more})

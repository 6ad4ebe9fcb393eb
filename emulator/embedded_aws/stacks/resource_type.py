"""Base class of resource types: properties, and calls to the public APIs in the caller's name."""

from __future__ import annotations

import contextlib
import json
import secrets
import string
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from botocore.model import Shape

from embedded_aws.stacks.clients import Clients
from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.functions import as_text
from embedded_aws.stacks.state import Resource, Stack
from embedded_aws.validation import complaint

_GONE = ("NotFound", "NoSuch", "RecordNotFound", "does not exist")
_RANDOM = 12


@dataclass
class Scene:
    """One resource of a stack while something is done to it."""

    stack: Stack
    resource: Resource
    clients: Clients
    told: str = ""  # why the last look at it found it failed

    def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Call an API; what is None is left out, "true" and 5 become what the API takes.

        Raises
        ------
        ResourceError
            If a value cannot be sent, or has a property that the API does not know.
        botocore.exceptions.ClientError
            As the API says.
        """
        client = self.clients(service)
        shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        request = shaped(shape, request)
        if message := complaint(shape, request):
            raise ResourceError(message)
        return ask(client, operation, **request)

    def made(self, physical_id: str) -> str:
        """Remember the resource as soon as it is there, so that a later failure takes it away again."""
        self.resource.physical_id = physical_id
        self.stack.tell(
            self.resource.logical_id,
            self.resource.type,
            physical_id,
            "CREATE_IN_PROGRESS",
            "Resource creation Initiated",
            properties=self.resource.properties,
        )
        return physical_id

    def generated(self, *, longest: int = 64, lower: bool = False) -> str:
        """Return a name as AWS makes them up: stack, logical id, random characters."""
        alphabet = (string.ascii_lowercase if lower else string.ascii_uppercase) + string.digits
        end = "".join(secrets.choice(alphabet) for _ in range(_RANDOM))
        room = longest - _RANDOM - 2
        logical = self.resource.logical_id[: max(room - len(self.stack.name), room // 2)]
        name = f"{self.stack.name[: room - len(logical)]}-{logical}-{end}"
        return name.lower() if lower else name

    @property
    def system_tags(self) -> dict[str, str]:
        """The tags that CloudFormation puts on what it makes."""
        return {
            "aws:cloudformation:logical-id": self.resource.logical_id,
            "aws:cloudformation:stack-id": self.stack.id,
            "aws:cloudformation:stack-name": self.stack.name,
        }

    def tags(self, properties: dict[str, Any], *, system: bool = True) -> list[dict[str, str]] | None:
        """Return the tags that a resource shall have, or None."""
        own = {tag["Key"]: as_text(tag["Value"]) for tag in properties.get("Tags") or []}
        wanted = {**own, **(self.system_tags if system else {})}
        return [{"Key": key, "Value": value} for key, value in wanted.items()] or None


class ResourceType:
    """One type of resource.

    Attributes
    ----------
    name : str
        ``AWS::Service::Thing``.
    fixed : tuple of str
        Properties whose change needs a new resource.
    mutable : tuple of str
        Properties that can be changed in place.
    required : tuple of str
        Properties that must be given.
    lists : tuple of str
        Properties that are lists of strings.
    named_by : str or None
        The property that gives the resource a name of the author's choice.
    attributes : tuple of str
        What ``Fn::GetAtt`` knows.
    tagged : bool
        Whether the stack's tags are put on it.
    """

    name: ClassVar[str] = ""
    fixed: ClassVar[tuple[str, ...]] = ()
    mutable: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()
    lists: ClassVar[tuple[str, ...]] = ()
    named_by: ClassVar[str | None] = None
    attributes: ClassVar[tuple[str, ...]] = ()
    tagged: ClassVar[bool] = False

    def recreation(self, name: str) -> str:
        """Return whether a changed property needs a new resource: Never or Always."""
        return "Always" if name in self.fixed else "Never"

    def known(self) -> set[str]:
        """Return the names of all properties."""
        return {*self.fixed, *self.mutable, *(["Tags"] if self.tagged else [])}

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse properties that would not take effect, missing ones and misshapen ones, before anything is made.

        Raises
        ------
        ResourceError
            Names the property.
        """
        for name in sorted(set(properties) - self.known()):
            raise ResourceError(f"Encountered unsupported property {name}")
        for name in sorted(self.required):
            if properties.get(name) in (None, "", [], {}):
                raise ResourceError(f"Property {name} cannot be empty.")
        for name in self.lists:
            items = properties.get(name, [])
            if not isinstance(items, list) or any(isinstance(item, (dict, list)) or item is None for item in items):
                raise ResourceError(f"Value of property {name} must be of type List of String")

    def check_change(self, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Refuse a change in place that the service does not make.

        Raises
        ------
        ResourceError
            Names the property.
        """

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make it and tell ``scene.made`` its physical id as soon as there is one."""
        raise NotImplementedError

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change it in place; may be called twice, or to go back."""

    def restore(self, scene: Scene, p: dict[str, Any]) -> None:
        """Give it back what its replacement, which is about to go, has taken from it."""

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Take it away; an error that says it is gone is success."""
        raise NotImplementedError

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes of ``Fn::GetAtt``."""
        return {}


def ask(client: Any, operation: str, **request: Any) -> dict[str, Any]:
    """Call an API; an error tells which service it is of."""
    try:
        return getattr(client, operation)(**request)
    except ClientError as error:
        error.service = client.meta.service_model.service_id
        raise


def is_gone(error: ClientError) -> bool:
    """Tell whether an error says that the thing is not there."""
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    return any(word in code for word in _GONE[:3]) or (
        code.startswith("Validation") and any(w in message for w in _GONE)
    )


@contextlib.contextmanager
def unless_gone():
    """Let the error pass that something is gone already."""
    try:
        yield
    except ClientError as error:
        if not is_gone(error):
            raise


def shaped(shape: Shape, value: Any, path: str = "") -> Any:
    """Return a property's value as an API's model wants it.

    Raises
    ------
    ResourceError
        Names the property that the model does not know or whose value it cannot take.
    """
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            raise ResourceError(f"Value of property {path} must be an object")
        if unknown := sorted(set(value) - set(shape.members)):
            raise ResourceError(f"Encountered unsupported property {unknown[0]}")
        return {n: shaped(shape.members[n], item, n) for n, item in value.items() if item is not None}
    if shape.type_name == "list":
        if not isinstance(value, list):
            raise ResourceError(f"Value of property {path} must be of type List")
        return [shaped(shape.member, item, path) for item in value]
    if shape.type_name == "map":
        return {key: shaped(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    return _scalar(shape, value, path)


def _scalar(shape: Shape, value: Any, path: str) -> Any:
    if shape.type_name == "boolean":
        if as_text(value).lower() not in ("true", "false"):
            raise ResourceError(f"Value of property {path} must be of type Boolean")
        return as_text(value).lower() == "true"
    if shape.type_name in ("integer", "long"):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ResourceError(f"Value of property {path} must be of type Integer, and is {value!r}") from None
    if shape.type_name == "string":
        if isinstance(value, dict) and "Policy" in path:  # a policy document
            return json.dumps(value)
        if isinstance(value, (dict, list)):
            raise ResourceError(f"Value of property {path} must be of type String")
        return as_text(value)
    return value


def truth(value: Any) -> bool:
    """Return a property's yes or no."""
    return as_text(value).lower() == "true"


def only(value: Any, *known: str) -> dict[str, Any]:
    """Return a property's object when it has no other members than these.

    Raises
    ------
    ResourceError
        Names the other.
    """
    if not isinstance(value, dict):
        raise ResourceError(
            f"Properties validation failed: an object with {', '.join(known)} is required, not {value!r}"
        )
    for name in value:
        if name not in known:
            raise ResourceError(f"Encountered unsupported property {name}")
    return value


def pick(properties: dict[str, Any], *names: str, **renamed: str) -> dict[str, Any]:
    """Return some properties as an API's parameters; ``renamed`` is parameter to property."""
    return {
        **{name: properties.get(name) for name in names},
        **{new: properties.get(old) for new, old in renamed.items()},
    }

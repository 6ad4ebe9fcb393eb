"""Stack state between two requests: its resources, its events, and where stacks are looked up."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from embedded_aws.stacks.errors import ValidationError

if TYPE_CHECKING:
    from embedded_aws.stacks.changesets import ChangeSet
    from embedded_aws.stacks.template import Template

STACK = "AWS::CloudFormation::Stack"


@dataclass
class Resource:
    """One resource of a stack, as it was last deployed."""

    logical_id: str
    type: str
    depends: set[str]
    properties: dict[str, Any]
    physical_id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    metadata: Any = None
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def there(self) -> bool:
        """Whether something has been made and not deleted again."""
        return bool(self.physical_id) and self.status not in ("DELETE_COMPLETE", "DELETE_SKIPPED")


@dataclass(frozen=True)
class Wanted:
    """What a request asks a stack to be."""

    template: Template
    parameters: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    token: str | None = None  # ClientRequestToken, told again in the events

    @property
    def secrets(self) -> set[str]:
        """The values of NoEcho parameters, which nobody is told."""
        declared = self.template.parameters
        hidden = {
            name for name, declaration in declared.items() if str(declaration.get("NoEcho", False)).lower() == "true"
        }
        return {value for name, value in self.parameters.items() if name in hidden and value}


@dataclass
class Stack:
    """A stack of one account and region."""

    name: str
    account: str
    region: str
    id: str = ""
    wanted: Wanted | None = None
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    outputs: list[dict[str, str]] = field(default_factory=list)
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    made_by: str | None = None  # the change set that was executed last
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime | None = None
    deleted: datetime | None = None
    on_failure: str = "ROLLBACK"
    retain_except_on_create: bool = False
    timeout_minutes: int | None = None
    protected: bool = False
    worker: threading.Thread | None = None

    def __post_init__(self) -> None:
        if not self.id:
            self.id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{self.name}/{uuid.uuid4()}"

    @property
    def busy(self) -> bool:
        """Whether something is being done to the stack."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def turn(self, status: str, reason: str | None = None) -> None:
        """Enter a status, with an event."""
        self.tell(self.name, STACK, self.id, status, reason)
        # Last, since a waiter that sees the status may read the events at once.
        self.reason, self.status = reason, status

    def mark(self, resource: Resource, status: str, reason: str | None = None) -> None:
        """Put a resource into a status, with an event."""
        resource.status, resource.reason, resource.changed = status, reason, datetime.now(UTC)
        self.tell(
            resource.logical_id, resource.type, resource.physical_id, status, reason, properties=resource.properties
        )

    def tell(
        self,
        logical_id: str,
        kind: str,
        physical_id: str,
        status: str,
        reason: str | None,
        *,
        properties: dict[str, Any] | None = None,
    ) -> None:
        """Add an event."""
        event = {
            "StackId": self.id,
            "StackName": self.name,
            "EventId": str(uuid.uuid4()) if kind == STACK else f"{logical_id}-{status}-{uuid.uuid4().hex[:12]}",
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": kind,
            "Timestamp": datetime.now(UTC),
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ResourceProperties": _hidden(properties, self.wanted.secrets if self.wanted else set()),
            "ClientRequestToken": self.wanted.token if self.wanted else None,
        }
        self.events.append({name: value for name, value in event.items() if value is not None})


def _hidden(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    return "****" if isinstance(value, str) and any(secret in value for secret in secrets) else value


class Book:
    """The stacks of one account and region."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stacks: dict[str, Stack] = {}

    def __iter__(self) -> Iterator[Stack]:
        """Iterate over all stacks, those deleted too, newest first."""
        with self.lock:
            return reversed(list(self._stacks.values()))

    def add(self, stack: Stack) -> None:
        """Keep a stack."""
        with self.lock:
            self._stacks[stack.id] = stack

    def forget(self, stack: Stack) -> None:
        """Drop a stack that never had resources."""
        with self.lock:
            del self._stacks[stack.id]

    def get(self, name_or_id: str | None) -> Stack | None:
        """Return the stack of this id, or the one of this name that is not deleted."""
        with self.lock:
            if name_or_id in self._stacks:
                return self._stacks[name_or_id]
            return next((s for s in self if s.name == name_or_id and s.status != "DELETE_COMPLETE"), None)

    def find(self, name_or_id: str | None) -> Stack:
        """Return a stack.

        Raises
        ------
        ValidationError
            If there is none.
        """
        if stack := self.get(name_or_id):
            return stack
        raise ValidationError(f"Stack with id {name_or_id} does not exist")


_books: dict[tuple[str, str], Book] = {}
_books_lock = threading.Lock()


def book(account: str, region: str) -> Book:
    """Return the book of an account and region."""
    with _books_lock:
        return _books.setdefault((account, region), Book())

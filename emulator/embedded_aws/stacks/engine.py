"""Deployment engine with rollback: bring a stack to what it shall be, resource by resource, and back when one fails."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError

from embedded_aws.stacks import types
from embedded_aws.stacks.clients import Clients
from embedded_aws.stacks.errors import ResourceError, ValidationError
from embedded_aws.stacks.plan import changed_properties
from embedded_aws.stacks.reasons import reason_of
from embedded_aws.stacks.scope import Scope
from embedded_aws.stacks.state import Book, Resource, Stack, Wanted
from embedded_aws.stacks.steps import Failed, Steps

log = logging.getLogger(__name__)


class _Cancelled(Exception):
    """Somebody deletes the stack while it is being made."""


def begin(stack: Stack, status: str, work: Callable[[], None], *, reason: str | None = None) -> None:
    """Turn the stack to a status and do the work in the background, after what is under way."""
    before = stack.worker
    stack.turn(status, reason)

    def run() -> None:
        if before is not None:
            before.join()
            if stack.status != status:  # its last word came after ours
                stack.turn(status, reason)
        try:
            work()
        except Exception:
            log.exception("stack %s: the engine failed", stack.name)
            stack.turn(status.replace("_IN_PROGRESS", "_FAILED"), "Internal Failure")

    stack.worker = threading.Thread(target=run, name=f"stack-{stack.name}", daemon=True)
    stack.worker.start()


class Deployment(Steps):
    """One create, update or delete of a stack in the caller's name.

    Parameters
    ----------
    stack : Stack
        The stack; its resources and events are kept up to date.
    clients : Clients
        Of the caller.
    book : Book
        Where exports of other stacks are seen.
    """

    def __init__(self, stack: Stack, clients: Clients, book: Book) -> None:
        super().__init__(stack, clients)
        self._book = book
        self._give_up: float | None = None

    def zones(self, region: str) -> list[str]:
        """Return the availability zones of a region."""
        try:
            zones = self.clients.in_region(region)("ec2").describe_availability_zones()["AvailabilityZones"]
        except BotoCoreError as error:  # no name of a region
            raise ValidationError(f"Template error: Fn::GetAZs of {region}: {error}") from None
        return sorted(zone["ZoneName"] for zone in zones)

    def create(self) -> None:
        """Make everything; when a resource fails, do what ``on_failure`` says."""
        stack = self.stack
        if stack.timeout_minutes:
            self._give_up = time.monotonic() + 60 * stack.timeout_minutes
        try:
            self._bring(stack.wanted)
        except _Cancelled:
            return
        except Failed as failed:
            reason = f"The following resource(s) failed to create: [{failed.name}]. "
            if stack.on_failure == "DO_NOTHING":
                stack.turn("CREATE_FAILED", reason)
            elif stack.on_failure == "DELETE":
                stack.turn("DELETE_IN_PROGRESS", f"{reason}Delete requested by user.")
                self._take_away(status="DELETE")
            else:
                stack.turn("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
                self._take_away(status="ROLLBACK")
        else:
            stack.turn("CREATE_COMPLETE")

    def update(self, wanted: Wanted) -> None:
        """Bring the stack to what is wanted now; when a resource fails, bring everything back."""
        stack, before = self.stack, self.stack.wanted
        resources, outputs = dict(stack.resources), stack.outputs
        stack.wanted, stack.updated = wanted, datetime.now(UTC)
        try:
            names = self._bring(wanted)
        except Failed as failed:
            stack.turn("UPDATE_ROLLBACK_IN_PROGRESS", f"The following resource(s) failed to update: [{failed.name}]. ")
            stack.wanted = Wanted(before.template, before.parameters, before.tags, before.capabilities, wanted.token)
            ok = self.go_back()
            stack.resources, stack.outputs = resources, outputs
            if not ok:
                stack.turn("UPDATE_ROLLBACK_FAILED", "A resource could not be brought back; see its event.")
                return
            stack.turn("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
            self.delete_all([resource for resource in self.fresh if resource.there])
            stack.turn("UPDATE_ROLLBACK_COMPLETE")
            return
        removed = [resource for name, resource in stack.resources.items() if name not in names and resource.there]
        if removed or self.replaced:
            stack.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            self._clean_up(removed)
        for resource in removed:
            del stack.resources[resource.logical_id]
        stack.turn("UPDATE_COMPLETE")

    def delete(self, retain: set[str]) -> None:
        """Take everything away, what others need last."""
        for name in retain & set(self.stack.resources):
            self.stack.mark(self.stack.resources[name], "DELETE_SKIPPED")
        self._take_away(status="DELETE")

    def _bring(self, wanted: Wanted) -> list[str]:
        """Make and change resources in order; return their names."""
        stack = self.stack
        try:
            scope = Scope(stack, wanted, zones=self.zones)
            for name in scope.names:
                if stack.status == "DELETE_IN_PROGRESS":
                    raise _Cancelled
                if self._give_up is not None and time.monotonic() > self._give_up:
                    raise Failed(name)
                self._one(scope, name)
            stack.outputs = scope.outputs()
            self._check_exports()
        except (Failed, _Cancelled):
            raise
        except Exception as error:  # whatever it is, what has been made is taken back
            stack.turn(stack.status, reason_of(error))
            raise Failed("Outputs") from error
        return scope.names

    def _check_exports(self) -> None:
        mine = {output.get("ExportName") for output in self.stack.outputs} - {None}
        for other in self._book:
            if other is self.stack or other.status == "DELETE_COMPLETE":
                continue
            for output in other.outputs:
                if output.get("ExportName") in mine:
                    raise ResourceError(
                        f"Export with name {output['ExportName']} is already exported by stack {other.name}. "
                    )

    def _one(self, scope: Scope, name: str) -> None:
        stack, template = self.stack, scope.wanted.template
        raw, old = template.resources[name], self.stack.resources.get(name)
        old = old if old is not None and old.there else None
        kind = types.known()[raw["Type"]]
        fresh = Resource(
            logical_id=name,
            type=raw["Type"],
            depends=template.depends(name),
            properties={},
            metadata=raw.get("Metadata"),
            deletion_policy=raw.get("DeletionPolicy", "Delete"),
            replace_policy=raw.get("UpdateReplacePolicy", "Delete"),
        )
        try:
            fresh.properties = scope.properties(name, tagged=kind.tagged)
        except Exception as error:
            fresh.physical_id = old.physical_id if old else ""
            stack.mark(fresh, "UPDATE_FAILED" if old else "CREATE_FAILED", reason_of(error))
            raise Failed(name) from error
        if old is None:
            self.make(kind, fresh)
            return
        changed = changed_properties(old, fresh.properties)
        if not changed:
            same = {name: getattr(old, name) for name in ("physical_id", "attributes", "status", "reason", "changed")}
            stack.resources[name] = dataclasses.replace(fresh, **same)
            return
        if any(kind.recreation(property_name) == "Always" for property_name in changed):
            self.replace(kind, old, fresh)
        else:
            self.change(kind, old, fresh)

    def _clean_up(self, removed: list[Resource]) -> None:
        gone = []
        for resource in removed:
            self._keep_or(resource, resource.deletion_policy, gone)
        for resource in self.replaced:
            self._keep_or(resource, resource.replace_policy, gone)
        self.delete_all(gone)

    def _keep_or(self, resource: Resource, policy: str, gone: list[Resource]) -> None:
        if policy == "Delete":
            gone.append(resource)
        else:
            self.stack.mark(resource, "DELETE_SKIPPED")

    def _take_away(self, *, status: str) -> None:
        """Delete all resources and end the stack as DELETE_... or ROLLBACK_..."""
        stack, gone = self.stack, []
        for resource in stack.resources.values():
            if not resource.there:
                if resource.status not in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
                    stack.mark(resource, "DELETE_COMPLETE")
            elif resource.deletion_policy == "Delete" or (status == "ROLLBACK" and self._only_kept_later(resource)):
                gone.append(resource)
            else:
                stack.mark(resource, "DELETE_SKIPPED")
        failed = self.delete_all(gone)
        if failed:
            reason = f"The following resource(s) failed to delete: [{', '.join(sorted(failed))}]. "
            stack.turn(f"{status}_FAILED", reason)
            return
        stack.outputs = []
        if status == "DELETE":
            stack.deleted = datetime.now(UTC)
            stack.change_sets.clear()
        stack.turn(f"{status}_COMPLETE")

    def _only_kept_later(self, resource: Resource) -> bool:
        return self.stack.retain_except_on_create or resource.deletion_policy == "RetainExceptOnCreate"

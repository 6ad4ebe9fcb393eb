"""Resource operations: one is made, replaced, changed, brought back or deleted, and its events say so."""

from __future__ import annotations

import graphlib
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks import types
from embedded_aws.stacks.clients import Clients
from embedded_aws.stacks.reasons import reason_of
from embedded_aws.stacks.resource_type import ResourceType, Scene, is_gone
from embedded_aws.stacks.state import Resource, Stack

_REPLACES = "Requested update requires the creation of a new physical resource; hence creating one."


class Failed(Exception):
    """A resource failed; its event says why."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Steps:
    """The steps of a deployment, remembered so that they can be taken back.

    Parameters
    ----------
    stack : Stack
        Its resources and events are kept up to date.
    clients : Clients
        Of the caller.
    """

    def __init__(self, stack: Stack, clients: Clients) -> None:
        self.stack, self.clients = stack, clients
        self.fresh: list[Resource] = []  # made by this deployment
        self.replaced: list[Resource] = []
        self._undo: list[tuple[Resource, Resource]] = []  # changed in place or replaced: now, before

    def make(self, kind: ResourceType, fresh: Resource, *, replaces: Resource | None = None) -> None:
        """Make a resource, in the place of another or as the first of its name."""
        stack, scene = self.stack, Scene(self.stack, fresh, self.clients)
        verb = "UPDATE" if replaces else "CREATE"
        stack.mark(fresh, f"{verb}_IN_PROGRESS", _REPLACES if replaces else None)
        stack.resources[fresh.logical_id] = fresh
        self.fresh.append(fresh)
        try:
            kind.check(fresh.properties)
            kind.create(scene, fresh.properties)
            fresh.attributes = kind.describe(scene, fresh.properties)
        except Exception as error:
            stack.mark(fresh, f"{verb}_FAILED", reason_of(error))
            raise Failed(fresh.logical_id) from error
        stack.mark(fresh, f"{verb}_COMPLETE")

    def replace(self, kind: ResourceType, old: Resource, fresh: Resource) -> None:
        """Make a new resource; the old one goes when everything else has succeeded."""
        name = kind.named_by
        if name and name in fresh.properties and fresh.properties[name] == old.properties.get(name):
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {fresh.properties[name]} and update the stack again."
            )
            self.stack.mark(old, "UPDATE_FAILED", reason)
            old.status = "UPDATE_COMPLETE"  # nothing has happened to it
            raise Failed(fresh.logical_id)
        self.replaced.append(old)
        self._undo.append((fresh, old))
        self.make(kind, fresh, replaces=old)

    def change(self, kind: ResourceType, old: Resource, fresh: Resource) -> None:
        """Change a resource in place."""
        stack, before = self.stack, old
        fresh.physical_id, fresh.attributes = old.physical_id, old.attributes
        stack.resources[fresh.logical_id] = fresh
        stack.mark(fresh, "UPDATE_IN_PROGRESS")
        scene = Scene(stack, fresh, self.clients)
        try:
            kind.check(fresh.properties)
            kind.check_change(fresh.properties, before.properties)
            self._undo.append((fresh, before))  # not earlier: what was refused has changed nothing
            kind.update(scene, fresh.properties, before.properties)
            fresh.attributes = kind.describe(scene, fresh.properties)
        except Exception as error:
            stack.mark(fresh, "UPDATE_FAILED", reason_of(error))
            raise Failed(fresh.logical_id) from error
        stack.mark(fresh, "UPDATE_COMPLETE")

    def go_back(self) -> bool:
        """Bring what was changed or replaced to its old properties; return whether that worked."""
        stack, ok = self.stack, True
        for now, before in reversed(self._undo):
            kind, replaced = types.known()[now.type], any(resource is before for resource in self.replaced)
            stack.mark(before, "UPDATE_IN_PROGRESS")
            scene = Scene(stack, before, self.clients)
            try:
                if replaced:
                    kind.restore(scene, before.properties)
                else:
                    before.physical_id = now.physical_id  # an update may have given it another
                    kind.update(scene, before.properties, now.properties)
                    before.attributes = kind.describe(scene, before.properties)
            except Exception as error:
                stack.mark(before, "UPDATE_FAILED", reason_of(error))
                ok = False
            else:
                stack.mark(before, "UPDATE_COMPLETE")
        return ok

    def delete_all(self, resources: list[Resource]) -> set[str]:
        """Delete resources, those that others need last; return the names of those that could not be."""
        failed: set[str] = set()
        kept: set[str] = set()  # what a failed one needs stays with it
        for resource in _dependents_first(resources):
            if resource.logical_id in kept:
                kept |= resource.depends
            elif not self._delete(resource):
                failed.add(resource.logical_id)
                kept |= resource.depends
        return failed

    def _delete(self, resource: Resource) -> bool:
        stack, kind = self.stack, types.known()[resource.type]
        stack.mark(resource, "DELETE_IN_PROGRESS")
        try:
            kind.delete(Scene(stack, resource, self.clients), _known(kind, resource.properties))
        except ClientError as error:
            if not is_gone(error):
                stack.mark(resource, "DELETE_FAILED", reason_of(error))
                return False
        except Exception as error:
            stack.mark(resource, "DELETE_FAILED", reason_of(error))
            return False
        stack.mark(resource, "DELETE_COMPLETE")
        return True


def _dependents_first(resources: list[Resource]) -> list[Resource]:
    # Of a replaced resource both the old and the new may be there: those of one name go together.
    named: dict[str, list[Resource]] = {}
    for resource in resources:
        named.setdefault(resource.logical_id, []).append(resource)
    graph = {
        name: {need for resource in those for need in resource.depends} & set(named) for name, those in named.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())
    return [resource for name in reversed(order) for resource in named[name]]


def _known(kind: ResourceType, properties: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a failed resource was refused for."""
    return {name: value for name, value in properties.items() if name in kind.known()}

"""Server-side apply: who set which field, and what happens when two want to.

Every write leaves an entry in ``metadata.managedFields``: an apply the fields that it names, any other write those that
it changed. Who applies what another has set to something else is refused, or forces it and takes it over. A field that
an applier names no more goes, unless somebody else has it.

Source: Kubernetes documentation, "Server-Side Apply".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from embedded_aws.kubernetes import fields
from embedded_aws.kubernetes.fields import Path
from embedded_aws.kubernetes.kinds import Kind
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.schemas import Schemas

Object = dict[str, Any]


@dataclass(frozen=True)
class Manager:
    """Whose a set of fields is, and by which operation: ``Apply`` or ``Update``."""

    name: str
    operation: str
    group_version: str
    subresource: str = ""


@dataclass(frozen=True)
class Owned:
    """The fields of one manager, since when."""

    manager: Manager
    paths: frozenset[Path]
    time: str

    def json(self) -> Object:
        """Return the entry of ``managedFields``."""
        entry = {
            "manager": self.manager.name,
            "operation": self.manager.operation,
            "apiVersion": self.manager.group_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.to_json(self.paths),
        }
        return entry | ({"subresource": self.manager.subresource} if self.manager.subresource else {})


def owners(value: Object) -> list[Owned]:
    """Read the managers of an object's fields."""
    return [
        Owned(
            Manager(entry.get("manager", ""), entry["operation"], entry["apiVersion"], entry.get("subresource", "")),
            frozenset(fields.from_json(entry.get("fieldsV1") or {})),
            entry.get("time", ""),
        )
        for entry in value.get("metadata", {}).get("managedFields") or ()
        if entry.get("operation") and entry.get("apiVersion")
    ]


def updated(new: Object, old: Object | None, kind: Kind, schemas: Schemas, *, by: Manager, now: str) -> None:
    """Note in an object who has changed what, in place; ``old`` is None when it is new."""
    node = schemas.of(kind)
    after = fields.of(new, node, schemas)
    before = fields.of(old, node, schemas) if old else {}
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = set(before) - set(after)
    # A client may send managedFields itself, as kubectl does which hands over its own; an empty list gives all up.
    base = new if (new["metadata"].get("managedFields") is not None or old is None) else old
    if not changed and not gone:
        new["metadata"]["managedFields"] = [owned.json() for owned in owners(base)]
        return
    kept = []
    mine: frozenset[Path] = frozenset()
    for owned in owners(base):
        if owned.manager == by:
            mine = owned.paths - gone
        elif left := owned.paths - gone - changed:
            kept.append(replace(owned, paths=left))
    # Items of lists are only created, never changed: who changes a field in one has not the item.
    own = mine | changed
    if own:
        kept.append(Owned(by, own, now))
    _write(new, kept)


def applied(
    live: Object, config: Object, kind: Kind, schemas: Schemas, *, by: Manager, force: bool, now: str
) -> Object:
    """Return what an object becomes when a manager applies a configuration to it.

    Raises
    ------
    Refusal
        409, if others have set a field to something else and it is not forced.
    """
    node = schemas.of(kind)
    wanted = fields.of(config, node, schemas)
    there = fields.of(live, node, schemas)
    all_owners = owners(live)
    others = [owned for owned in all_owners if owned.manager != by]
    previous = next((owned for owned in all_owners if owned.manager == by), None)
    differing = {path for path, value in wanted.items() if path in there and there[path] != value}
    # What one applies as a whole and the other in parts, differs as well.
    conflicts = [(owned.manager, path) for owned in others for path in sorted(owned.paths & differing)]
    if conflicts and not force:
        raise _refused(conflicts)
    merged = fields.combine(live, {k: v for k, v in config.items() if k != "metadata"}, node, schemas)
    own = {k: v for k, v in config.get("metadata", {}).items() if k in ("labels", "annotations", "finalizers")}
    if "ownerReferences" in config.get("metadata", {}):
        own["ownerReferences"] = config["metadata"]["ownerReferences"]
    merged["metadata"] = fields.combine(live["metadata"], own, schemas.child(node, "metadata"), schemas)
    gone = (previous.paths if previous else frozenset()) - set(wanted)
    # An item of a list stays while anybody has a field of it.
    held = {path[:length] for owned in others for path in owned.paths for length in range(1, len(path) + 1)}
    merged = fields.remove(merged, gone - held, node, schemas)
    kept = []
    for owned in others:
        if left := owned.paths - differing:
            kept.append(replace(owned, paths=left))
    same = previous is not None and previous.paths == frozenset(wanted)
    kept.append(previous if previous is not None and same else Owned(by, frozenset(wanted), now))
    _write(merged, kept)
    return merged


def _write(value: Object, kept: Iterable[Owned]) -> None:
    order = sorted(kept, key=lambda owned: (owned.manager.operation, owned.time, owned.manager.name))
    value["metadata"]["managedFields"] = [owned.json() for owned in order]


def _refused(conflicts: list[tuple[Manager, Path]]) -> Refusal:
    by_manager: dict[Manager, list[str]] = {}
    causes = []
    for manager, path in conflicts:
        by_manager.setdefault(manager, []).append(fields.shown(path))
        said = f"conflict with {_described(manager)}"
        causes.append({"reason": "FieldManagerConflict", "message": said, "field": fields.shown(path)})
    many = len(conflicts)
    if many == 1:
        listed = f"{causes[0]['message']}: {causes[0]['field']}"
    else:
        parts = [
            f"conflicts with {_described(manager)}:\n" + "\n".join(f"- {path}" for path in paths)
            for manager, paths in sorted(by_manager.items(), key=lambda item: item[0].name)
        ]
        listed = "\n".join(parts)
    message = f"Apply failed with {many} conflict{'s' if many > 1 else ''}: {listed}"
    return Refusal(409, message, details={"causes": causes})


def _described(manager: Manager) -> str:
    where = f' with subresource "{manager.subresource}"' if manager.subresource else ""
    using = f" using {manager.group_version}" if manager.operation == "Update" else ""
    return f'"{manager.name}"{where}{using}'

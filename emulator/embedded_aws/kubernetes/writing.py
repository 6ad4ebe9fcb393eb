"""Creation and change of objects: read, filled in, checked, noted whose the fields are, and stored."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from embedded_aws.kubernetes import admission, apply, bootstrap, defaults, fields, validation
from embedded_aws.kubernetes.changes import APPLY, PATCHES, begun, dry, kept, noted, patch_of, same_name
from embedded_aws.kubernetes.kinds import Kind, named
from embedded_aws.kubernetes.messages import Request, Target, read
from embedded_aws.kubernetes.rbac import Attempt, Authorizer, User
from embedded_aws.kubernetes.refusals import Cause, Refusal, already_exists, conflict, invalid, not_found, undecodable
from embedded_aws.kubernetes.schemas import Schemas
from embedded_aws.kubernetes.store import AlreadyThere, Conflict, NotThere, Store, stamp

Object = dict[str, Any]
_TRIES = 10
_GRANTS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


@dataclass(frozen=True)
class Written:
    """What has become of a request: the object, whether it is new, and what to warn of."""

    object: Object
    created: bool = False
    warnings: tuple[str, ...] = ()


class Writer:
    """Writes into one cluster's store what clients send.

    Parameters
    ----------
    store : Store
    schemas : Schemas
    authorizer : Authorizer
    """

    def __init__(self, store: Store, schemas: Schemas, authorizer: Authorizer) -> None:
        self._store, self.schemas, self._authorizer = store, schemas, authorizer

    def create(self, request: Request, target: Target) -> Written:
        """Create what the body says.

        Raises
        ------
        Refusal
        """
        by = apply.Manager(request.manager, "Update", target.kind.group_version)
        return self._create(request, target, request.object(), by)

    def _create(self, request: Request, target: Target, body: Object, by: apply.Manager) -> Written:
        kind = target.kind
        value, warnings = self._decoded(request, target, body)
        metadata, uid, now = value["metadata"], str(uuid.uuid4()), stamp(self._store.now())
        config = begun(kind, value, uid)
        if kind.namespaced and metadata["name"]:
            admission.namespace(self._store, kind, metadata["namespace"], metadata["name"])
        if causes := validation.check(kind, value, self.schemas):
            raise invalid(kind, metadata["name"], causes)
        warnings += admission.admit(self._store, kind, value)
        self._granted(request.user, kind, value)
        if self._store.find(kind, metadata.get("namespace", ""), metadata["name"]):
            raise already_exists(kind, metadata["name"])
        if by.operation == "Apply":
            own = frozenset(fields.of(config, self.schemas.of(kind), self.schemas))
            metadata["managedFields"] = [apply.Owned(by, own, now).json()]
        else:
            # What the server has filled in is the creator's, too; a status is the controllers'.
            mine = {name: inner for name, inner in value.items() if name != "status"}
            apply.updated(mine, None, kind, self.schemas, by=by, now=now)
        if dry(request):
            metadata.update(uid=uid, creationTimestamp=now, generation=1)
            return Written(value, True, warnings)
        try:
            if kind.name == "Namespace":
                return Written(bootstrap.add_namespace(self._store, value), True, warnings)
            return Written(self._store.create(value, uid=uid), True, warnings)
        except AlreadyThere:
            raise already_exists(kind, metadata["name"]) from None

    def replace(self, request: Request, target: Target) -> Written:
        """Put the body in the place of what is there.

        Raises
        ------
        Refusal
        """
        body = request.object()
        by = apply.Manager(request.manager, "Update", target.kind.group_version, noted(target))

        def how(old: Object) -> tuple[Object, tuple[str, ...]]:
            value, warnings = self._decoded(request, target, copy.deepcopy(body))
            return value, warnings

        return self._change(request, target, how, by)

    def patch(self, request: Request, target: Target) -> Written:
        """Change what is there as the body says, in one of four ways.

        Raises
        ------
        Refusal
        """
        if request.content_type == APPLY:
            return self._apply(request, target)
        if request.content_type not in PATCHES:
            accepted = ", ".join((*PATCHES, APPLY))
            message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise Refusal(415, message)
        patch = read(request.body)
        by = apply.Manager(request.manager, "Update", target.kind.group_version, noted(target))

        def how(old: Object) -> tuple[Object, tuple[str, ...]]:
            patched = patch_of(request.content_type, old, patch, self.schemas.of(target.kind), self.schemas)
            if not isinstance(patched, dict):
                raise Refusal(422, "the server rejected our request due to an error in our request")
            try:
                return self._decoded(request, target, patched)
            except Refusal as refusal:
                if refusal.code != 400 or "cannot be handled" not in refusal.message:
                    raise
                why = refusal.message.partition(f"as a {target.kind.name}: ")[2]
                cause = Cause("patch", f"Invalid value: {json.dumps(request.body.decode())}: {why}")
                message = f' "" is invalid: {cause.field}: {cause.message}'
                raise Refusal(422, message, details={"causes": [cause.json()]}) from None

        return self._change(request, target, how, by)

    def _apply(self, request: Request, target: Target) -> Written:
        kind = target.kind
        if not request.query.get("fieldManager"):
            message = (
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
            )
            raise Refusal(422, message)
        config = read(request.body, yaml=True)
        if not isinstance(config, dict):
            raise Refusal(400, "error decoding YAML: the configuration is no object")
        version = config.get("apiVersion", "")
        if version != kind.group_version:
            said = f"Specified patch version: {version}, expected: {kind.group_version}"
            raise Refusal(400, f"Incorrect version specified in apply patch. {said}")
        if config.get("kind") != kind.name:
            raise Refusal(
                400, f"the kind in the data ({config.get('kind')}) does not match the expected kind ({kind.name})"
            )
        by = apply.Manager(request.manager, "Apply", kind.group_version, noted(target))
        known, unknown = self.schemas.decode(kind, config)
        metadata = known.setdefault("metadata", {})
        if metadata.get("managedFields"):
            raise Refusal(400, "metadata.managedFields must be nil")
        metadata.setdefault("name", target.name)
        same_name(known, target)
        if unknown:
            where = f"{target.namespace}/{target.name}; {kind.group_version}, Kind={kind.name}"
            said = f"failed to create typed patch object ({where}): .{unknown[0]}: field not declared in schema"
            raise Refusal(500, said, reason="Unknown")
        if not target.subresource:
            if "status" in kind.subresources:
                known.pop("status", None)
            if self._store.find(kind, target.namespace, target.name) is None:
                if request.user is not None:
                    attempt = Attempt("create", kind.group, kind.plural, target.namespace, target.name)
                    self._authorizer.require(request.user, attempt)
                return self._create(request, target, known, by)

        def how(old: Object) -> tuple[Object, tuple[str, ...]]:
            now = stamp(self._store.now())
            force = request.flag("force")
            merged = apply.applied(old, known, kind, self.schemas, by=by, force=force, now=now)
            return merged | {"apiVersion": kind.group_version, "kind": kind.name}, ()

        return self._change(request, target, how, None)

    def change(self, request: Request, target: Target, how: Callable[[Object], None], sub: str) -> Written:
        """Have ``how`` change an object in place, as a subresource does.

        Raises
        ------
        Refusal
        """
        by = apply.Manager(request.manager, "Update", target.kind.group_version, sub)

        def changed(old: Object) -> tuple[Object, tuple[str, ...]]:
            new = copy.deepcopy(old)
            how(new)
            return new, ()

        return self._change(request, Target(target.kind, target.namespace, target.name), changed, by)

    def _change(
        self,
        request: Request,
        target: Target,
        how: Callable[[Object], tuple[Object, tuple[str, ...]]],
        by: apply.Manager | None,
    ) -> Written:
        kind = target.kind
        for _ in range(_TRIES):
            old = self._store.find(kind, target.namespace, target.name)
            if old is None:
                raise not_found(kind, target.name)
            new, warnings = how(copy.deepcopy(old))
            same_name(new, target)
            wanted = new["metadata"].get("resourceVersion")
            if wanted and wanted != old["metadata"]["resourceVersion"]:
                raise conflict(kind, target.name)
            given = new["metadata"].get("uid")
            if given and given != old["metadata"]["uid"]:
                why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {old['metadata']['uid']}"
                raise conflict(kind, target.name, why)
            new = kept(new, old, target)
            defaults.fill(kind, new)
            if causes := validation.check(kind, new, self.schemas, old):
                raise invalid(kind, target.name, causes)
            if any(new.get(name) != old.get(name) for name in ("rules", "roleRef", "subjects")):
                self._granted(request.user, kind, new)
            if kind.namespaced and (space := self._store.find(named("Namespace"), "", target.namespace)):
                warnings += admission.warnings(space["metadata"].get("labels", {}), kind, new)
            if by is not None:
                apply.updated(new, old, kind, self.schemas, by=by, now=stamp(self._store.now()))
            if dry(request):
                changed = new.get("spec") != old.get("spec")
                new["metadata"]["generation"] = old["metadata"].get("generation", 1) + int(changed)
                new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
                return Written(new, False, warnings)
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            try:
                return Written(self._store.update(new), False, warnings)
            except NotThere:
                raise not_found(kind, target.name) from None
            except Conflict:
                if wanted and by is not None and request.method == "PUT":
                    raise conflict(kind, target.name) from None
        raise conflict(kind, target.name)

    def _decoded(self, request: Request, target: Target, body: Object) -> tuple[Object, tuple[str, ...]]:
        kind = target.kind
        for name, wanted in (("apiVersion", kind.group_version), ("kind", kind.name)):
            given = body.setdefault(name, wanted)
            if given != wanted:
                what = "API version" if name == "apiVersion" else "kind"
                raise Refusal(400, f"the {what} in the data ({given}) does not match the expected {what} ({wanted})")
        value, unknown = self.schemas.decode(kind, body)
        metadata = value.setdefault("metadata", {})
        if kind.namespaced:
            if metadata.setdefault("namespace", target.namespace) != target.namespace:
                raise Refusal(
                    400, "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        strictness = request.query.get("fieldValidation") or "Warn"
        said = [f'unknown field "{name}"' for name in unknown]
        if said and strictness == "Strict":
            raise undecodable(kind, f"strict decoding error: {', '.join(said)}")
        return value, tuple(said) if strictness == "Warn" else ()

    def _granted(self, user: User | None, kind: Kind, value: Object) -> None:
        if user is not None and kind.name in _GRANTS:
            self._authorizer.may_grant(user, value)

"""The API of a cluster: what becomes of one request. Pure but for the store, and for pods' logs, which others read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from embedded_aws.kubernetes import deleting, discovery, messages, rbac, reviews, subresources, tables, watching
from embedded_aws.kubernetes.kinds import EVICTION, Kind
from embedded_aws.kubernetes.messages import Request, Response, Target, answer
from embedded_aws.kubernetes.rbac import ANONYMOUS, Attempt, Authorizer, User
from embedded_aws.kubernetes.refusals import Refusal, not_allowed, not_found, not_served
from embedded_aws.kubernetes.schemas import Schemas, schemas
from embedded_aws.kubernetes.store import Store
from embedded_aws.kubernetes.subresources import Logs
from embedded_aws.kubernetes.writing import Writer, Written

Object = dict[str, Any]
PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")  # anybody may ask these
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject"
_NOT_DONE = ("exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize", "binding")
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Authenticate = Callable[[str], User | None]  # of a bearer token


class Api:
    """Answers requests.

    Parameters
    ----------
    store : Store
    version : str
        Of Kubernetes: ``1.34``.
    logs : callable, optional
        Without it, logs are empty.
    """

    def __init__(self, store: Store, *, version: str, logs: Logs | None = None) -> None:
        self.store, self.version, self.logs = store, version, logs
        self.authorizer = Authorizer(store)
        self._closed = False
        self._writer: Writer | None = None

    def close(self) -> None:
        """Let watches end."""
        self._closed = True

    def answer(self, request: Request) -> Response:
        """Answer one request; a refusal is an answer, too."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            response = answer(refusal.status(), refusal.code)
            if refusal.code == 429:
                return Response(response.status, response.body, {**response.headers, "Retry-After": "10"})
            return response

    def _answer(self, request: Request) -> Response:
        user = request.user
        if user is None:
            if request.path not in PUBLIC:
                raise Refusal(401, "Unauthorized")
            user = ANONYMOUS
        if request.path.startswith(_REVIEWS) and request.method == "POST":
            return answer(reviews.answer(self.authorizer, self.schemas, user, request), 201)
        found = discovery.answer(request.path.rstrip("/"), request.headers.get("accept", ""), self.version)
        if found is not None:
            if request.path not in PUBLIC:
                self.authorizer.require(user, Attempt("get", path=request.path))
            if request.method not in ("GET", "HEAD"):
                raise not_allowed()
            return Response(200, found[0], {"Content-Type": found[1]})
        if not request.path.startswith(("/api/", "/apis/")):
            self.authorizer.require(user, Attempt(request.method.lower(), path=request.path))
            raise not_served()
        target = messages.target(request.path)
        self.authorizer.require(user, _attempt(request, target))
        return self._resource(request, target)

    @property
    def schemas(self) -> Schemas:
        """The definitions of its version, read when first needed."""
        return schemas(self.version)

    @property
    def writer(self) -> Writer:
        """What writes; the schemas are read when it first does."""
        if self._writer is None:
            self._writer = Writer(self.store, self.schemas, self.authorizer)
        return self._writer

    def _resource(self, request: Request, target: Target) -> Response:
        if target.subresource:
            return self._below(request, target)
        if request.method == "GET" and target.name and not request.flag("watch"):
            return self._get(request, target)
        if request.method == "GET":
            return self._list(request, target)
        if request.method == "DELETE":
            return self._delete(request, target)
        return self._write(request, target)

    def _list(self, request: Request, target: Target) -> Response:
        if request.flag("watch"):
            return watching.watch(self.store, request, target, until=lambda: self._closed)
        return watching.listed(self.store, request, target)

    def _write(self, request: Request, target: Target) -> Response:
        creates = request.method == "POST" and not target.name and bool(target.namespace) == target.kind.namespaced
        changes = request.method in ("PUT", "PATCH") and bool(target.name)
        if not creates and not changes:
            raise not_allowed()
        write = {"POST": self.writer.create, "PUT": self.writer.replace, "PATCH": self.writer.patch}[request.method]
        return self._shown(request, target.kind, write(request, target))

    def _delete(self, request: Request, target: Target) -> Response:
        wanted = deleting.options(request, self.schemas)
        if target.name:
            return answer(deleting.delete(self.store, target, wanted))
        return answer(deleting.delete_all(self.store, request, target, wanted))

    def _get(self, request: Request, target: Target) -> Response:
        value = self.store.find(target.kind, target.namespace, target.name)
        if value is None:
            raise not_found(target.kind, target.name)
        return self._shown(request, target.kind, Written(value))

    def _shown(self, request: Request, kind: Kind, written: Written) -> Response:
        value, form = written.object, request.form()
        if form == "Table":
            version = value["metadata"].get("resourceVersion", "")
            include = request.query.get("includeObject", "Metadata")
            value = tables.table(kind, [value], self.store.now(), version=version, include=include)
        elif form:
            value = tables.partial(value)
        return answer(value, 201 if written.created else 200, written.warnings)

    def _below(self, request: Request, target: Target) -> Response:
        kind, name = target.kind, target.subresource.partition("/")[0]
        if name in _NOT_DONE and kind.name in ("Pod", "Service", "Node"):
            what = f"{kind.plural}/{name}"
            raise Refusal(501, f"the embedded cluster does not do {what}: its pods are processes of this machine")
        if name == "finalize" and kind.name == "Namespace" and request.method == "PUT":
            return self._write(request, target)
        if name not in kind.subresources:
            raise not_served()
        if name == "status":
            return self._get(request, target) if request.method == "GET" else self._write(request, target)
        if name == "scale":
            return subresources.scale(self.store, self.writer, request, target)
        if name == "log" and request.method == "GET":
            response = subresources.log(self.store, self.logs, request, target)
            return replace(response, body=self._until_closed(response.body))
        if name == "eviction" and request.method == "POST":
            body = self.schemas.decode(EVICTION, request.object())[0]
            return answer(deleting.evict(self.store, target, body), 201)
        raise not_allowed()

    def _until_closed(self, pieces: Iterable[Any]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if self._closed:
                return


def _attempt(request: Request, target: Target) -> Attempt:
    verb = _VERBS.get(request.method, request.method.lower())
    if not target.name and verb in ("get", "delete"):
        verb = "deletecollection" if verb == "delete" else ("watch" if request.flag("watch") else "list")
    elif verb == "get" and request.flag("watch"):
        verb = "watch"
    below = target.subresource.partition("/")[0]
    resource = f"{target.kind.plural}/{below}" if below else target.kind.plural
    # A namespace is in itself, so that who has a role there may read it.
    space = target.name if target.kind.name == "Namespace" else target.namespace
    return rbac.Attempt(verb, target.kind.group, resource, space, target.name)

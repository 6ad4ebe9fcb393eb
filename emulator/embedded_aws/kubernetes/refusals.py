"""What an API server says when it refuses: ``Status`` objects with the code, reason and message of the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedded_aws.kubernetes.kinds import Kind

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
}


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong with a field.

    Parameters
    ----------
    field : str
        ``spec.template.spec.containers[0].name``.
    message : str
        ``Required value``, ``Invalid value: "x": must be ...``.
    reason : str
        ``FieldValueRequired``, ``FieldValueInvalid`` and so on.
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def json(self) -> dict[str, Any]:
        """Return it as an entry of ``details.causes``."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class Refusal(Exception):
    """A request is refused; the ``Status`` says why.

    Parameters
    ----------
    code : int
        HTTP status.
    message : str
    reason : str
        What clients look at; by default what belongs to the code.
    details : mapping
    """

    def __init__(self, code: int, message: str, *, reason: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details or {}
        self.reason = reason or _REASONS.get(code, "")

    def status(self) -> dict[str, Any]:
        """Return the object that is answered."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason != "Unknown":
            status["reason"] = self.reason
        return status | ({"details": self.details} if self.details else {}) | {"code": self.code}


def not_served() -> Refusal:
    """Return the refusal of a path that is no resource here."""
    return Refusal(404, "the server could not find the requested resource", details={})


def not_allowed() -> Refusal:
    """Return the refusal of a method that a path does not know."""
    return Refusal(405, "the server does not allow this method on the requested resource")


def not_found(kind: Kind, name: str) -> Refusal:
    """Return the refusal of a name that is not there."""
    return Refusal(404, f'{kind.qualified} "{name}" not found', details=_of(kind.plural, kind, name))


def already_exists(kind: Kind, name: str) -> Refusal:
    """Return the refusal of a name that is taken."""
    message = f'{kind.qualified} "{name}" already exists'
    return Refusal(409, message, reason="AlreadyExists", details=_of(kind.plural, kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refusal:
    """Return the refusal of a change to what others have changed since."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return Refusal(409, message, details=_of(kind.plural, kind, name))


def forbidden(kind: Kind, name: str, why: str) -> Refusal:
    """Return the refusal of something that this object may not be or do."""
    named = f'{kind.qualified} "{name}"' if name else kind.qualified
    return Refusal(403, f"{named} is forbidden: {why}", details=_of(kind.plural, kind, name))


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> Refusal:
    """Return the refusal of an object whose fields do not go together."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    all_said = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    typed = f"{kind.name}.{kind.group}" if kind.group else kind.name
    details = _of(kind.name, kind, name) | {"causes": [cause.json() for cause in causes]}
    return Refusal(422, f'{typed} "{name}" is invalid: {all_said}', details=details)


def undecodable(kind: Kind, why: str) -> Refusal:
    """Return the refusal of a body that is no such object."""
    return Refusal(400, f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {why}')


def _of(what: str, kind: Kind, name: str) -> dict[str, Any]:
    return ({"name": name} if name else {}) | ({"group": kind.group} if kind.group else {}) | {"kind": what}

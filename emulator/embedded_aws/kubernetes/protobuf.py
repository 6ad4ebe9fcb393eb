"""The few bodies that kubectl 1.32 and later sends as protobuf: what its ``create`` and ``auth can-i`` make.

Source: Kubernetes documentation, "API concepts", protobuf encoding; the numbers are those of the published ``.proto``
files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from embedded_aws.kubernetes.refusals import Refusal

Object = dict[str, Any]
_MAGIC = b"k8s\x00"
# A field's number -> its name and type: text, a flag, a number, a map of text or bytes, [a message] of which many.
_Message = dict[int, tuple[str, Any]]
_OWNER: _Message = {
    1: ("kind", str),
    3: ("name", str),
    4: ("uid", str),
    5: ("apiVersion", str),
    6: ("controller", bool),
}
_METADATA: _Message = {
    1: ("name", str),
    2: ("generateName", str),
    3: ("namespace", str),
    11: ("labels", {str: str}),
    12: ("annotations", {str: str}),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", [str]),
}
_RESOURCE: _Message = {
    1: ("namespace", str), 2: ("verb", str), 3: ("group", str), 4: ("version", str), 5: ("resource", str),
    6: ("subresource", str), 7: ("name", str),
}  # fmt: skip
_ASKED: _Message = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", {1: ("path", str), 2: ("verb", str)}),
}
_RULE: _Message = {
    1: ("verbs", [str]), 2: ("apiGroups", [str]), 3: ("resources", [str]), 4: ("resourceNames", [str]),
    5: ("nonResourceURLs", [str]),
}  # fmt: skip
_SUBJECT: _Message = {1: ("kind", str), 2: ("apiGroup", str), 3: ("name", str), 4: ("namespace", str)}
_REF: _Message = {1: ("apiGroup", str), 2: ("kind", str), 3: ("name", str)}
_ROLE: _Message = {1: ("metadata", _METADATA), 2: ("rules", [_RULE])}
_BINDING: _Message = {1: ("metadata", _METADATA), 2: ("subjects", [_SUBJECT]), 3: ("roleRef", _REF)}
_OPTIONS: _Message = {
    1: ("gracePeriodSeconds", int),
    2: ("preconditions", {1: ("uid", str), 2: ("resourceVersion", str)}),
    4: ("propagationPolicy", str),
    5: ("dryRun", [str]),
}
_PORT: _Message = {1: ("name", str), 3: ("containerPort", int), 4: ("protocol", str)}
_CONTAINER: _Message = {
    1: ("name", str), 2: ("image", str), 3: ("command", [str]), 4: ("args", [str]), 6: ("ports", [_PORT]),
    7: ("env", [{1: ("name", str), 2: ("value", str)}]), 14: ("imagePullPolicy", str),
}  # fmt: skip
_TEMPLATE: _Message = {
    1: ("metadata", _METADATA),
    2: ("spec", {2: ("containers", [_CONTAINER]), 3: ("restartPolicy", str), 8: ("serviceAccountName", str)}),
}
_DEPLOYMENT: _Message = {
    1: ("replicas", int), 2: ("selector", {1: ("matchLabels", {str: str})}), 3: ("template", _TEMPLATE),
}  # fmt: skip
_JOB: _Message = {1: ("parallelism", int), 2: ("completions", int), 6: ("template", _TEMPLATE)}
_RBAC = "rbac.authorization.k8s.io/v1"
_KNOWN: dict[tuple[str, str], _Message] = {
    ("v1", "Namespace"): {1: ("metadata", _METADATA)},
    ("v1", "ServiceAccount"): {1: ("metadata", _METADATA)},
    ("v1", "ConfigMap"): {
        1: ("metadata", _METADATA),
        2: ("data", {str: str}),
        3: ("binaryData", {str: bytes}),
        4: ("immutable", bool),
    },
    ("v1", "Secret"): {
        1: ("metadata", _METADATA),
        2: ("data", {str: bytes}),
        3: ("type", str),
        4: ("stringData", {str: str}),
        5: ("immutable", bool),
    },
    ("v1", "DeleteOptions"): _OPTIONS,
    ("meta.k8s.io/v1", "DeleteOptions"): _OPTIONS,
    ("apps/v1", "Deployment"): {1: ("metadata", _METADATA), 2: ("spec", _DEPLOYMENT)},
    ("batch/v1", "Job"): {1: ("metadata", _METADATA), 2: ("spec", _JOB)},
    ("policy/v1", "Eviction"): {1: ("metadata", _METADATA), 2: ("deleteOptions", _OPTIONS)},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {1: ("metadata", _METADATA), 2: ("spec", _ASKED)},
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {
        1: ("metadata", _METADATA),
        2: ("spec", {1: ("namespace", str)}),
    },
    (_RBAC, "Role"): _ROLE,
    (_RBAC, "ClusterRole"): _ROLE,
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
}


def decode(body: bytes) -> Object:
    """Read an object; fields that are not known here are refused where they say something.

    Raises
    ------
    Refusal
        415, if it is of another kind: ``kubectl apply -f`` sends JSON.
    """
    try:
        if not body.startswith(_MAGIC):
            raise ValueError("no magic number")
        envelope = _read(
            body[len(_MAGIC) :], {1: ("type", {1: ("apiVersion", str), 2: ("kind", str)}), 2: ("raw", bytes)}
        )
        said = envelope.get("type", {})
        message = _KNOWN.get((said.get("apiVersion", ""), said.get("kind", "")))
        if message is None:
            raise ValueError(f"a {said.get('kind', 'thing')}")
        return said | _read(base64.b64decode(envelope.get("raw", "")), message)
    except (ValueError, IndexError) as error:
        message_text = f"the embedded cluster does not read this as protobuf ({error}): use kubectl apply -f"
        raise Refusal(415, message_text) from None


def _read(data: bytes, message: _Message) -> Object:
    value: Object = {}
    for number, given in _fields(data):
        name, kind = message.get(number, ("", None))
        if kind is None:
            if _empty(given):  # as creationTimestamp or a status, which the server sets itself
                continue
            raise ValueError(f"field {number} of a message")
        if isinstance(kind, list):
            value.setdefault(name, []).append(_value(given, kind[0]))
        elif isinstance(kind, dict) and str in kind:
            pair = _read(given, {1: ("key", str), 2: ("value", kind[str])})
            value.setdefault(name, {})[pair.get("key", "")] = pair.get("value", "")
        else:
            found = _value(given, kind)
            if found not in ("", {}) or kind is bytes:  # what is not said travels as empty
                value[name] = found
    return value


def _empty(given: Any) -> bool:
    """Whether a field says nothing: what has no value travels as zeros, empty texts and messages of them."""
    if isinstance(given, int):
        return given == 0
    try:
        return all(_empty(inner) for _, inner in _fields(given))
    except (ValueError, IndexError):
        return False


def _value(given: Any, kind: Any) -> Any:
    if isinstance(kind, dict):
        return _read(given, kind)
    if kind is str:
        return given.decode()
    return base64.b64encode(given).decode() if kind is bytes else kind(given)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            given, at = _number(data, at)
        elif wire == 2:
            size, at = _number(data, at)
            given, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire}")
        yield number, given


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at

"""What objects, containers, labels and their values may be called.

Source: Kubernetes documentation, "Object Names and IDs" and "Labels and Selectors", syntax and character set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from embedded_aws.kubernetes.refusals import Cause

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OLD_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_DATA_KEY = "[-._a-zA-Z0-9]+"
_ENDS = "must start and end with an alphanumeric character"
_USED = "regex used for validation is"
_LABEL_RULE = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and {_ENDS} "
    f"(e.g. 'my-name',  or '123-abc', {_USED} '{_LABEL}')"
)
_OLD_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    f"and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', {_USED} '{_OLD_LABEL}')"
)
_SUBDOMAIN_RULE = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and {_ENDS} "
    f"(e.g. 'example.com', {_USED} '{_SUBDOMAIN}')"
)
_KEY_RULE = (
    f"name part must consist of alphanumeric characters, '-', '_' or '.', and {_ENDS} "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', {_USED} '{_KEY}')"
)
_VALUE_RULE = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and {_ENDS} "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', {_USED} '{_VALUE}')"
)
_DATA_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    f"(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', {_USED} '{_DATA_KEY}')"
)


def label(value: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the name of a container, a volume or a namespace."""
    yield from _is(value, path, _LABEL, _LABEL_RULE, 63)


def old_label(value: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the name of a service."""
    yield from _is(value, path, _OLD_LABEL, _OLD_RULE, 63)


def subdomain(value: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the name of most objects."""
    yield from _is(value, path, _SUBDOMAIN, _SUBDOMAIN_RULE, 253)


def segment(value: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with a name that only has to fit into a path, as those of roles do."""
    if value in (".", ".."):
        yield Cause(path, f"Invalid value: \"{value}\": may not be '{value}'")
    for letter in ("/", "%"):
        if letter in (value or ""):
            yield Cause(path, f"Invalid value: \"{value}\": may not contain '{letter}'")


def labels(value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yield what is wrong with the labels of an object or of a selector."""
    for key, given in value.items():
        yield from qualified(key, path)
        yield from _is(given, path, _VALUE, _VALUE_RULE, 63)


def qualified(key: str, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the key of a label or an annotation."""
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield Cause(path, f'Invalid value: "{key}": prefix part {_SUBDOMAIN_RULE}')
    if not re.fullmatch(_KEY, name):
        yield Cause(path, f'Invalid value: "{key}": {_KEY_RULE}')
    if len(name) > 63:
        yield Cause(path, f'Invalid value: "{key}": name part must be no more than 63 bytes')


def data_key(key: str, path: str) -> Iterator[Cause]:
    """Yield what is wrong with a key in a ConfigMap or a Secret."""
    yield from _is(key, f"{path}[{key}]", _DATA_KEY, _DATA_RULE, 253)


def _is(value: Any, path: str, pattern: str, rule: str, most: int) -> Iterator[Cause]:
    if value is None:
        return  # that it is missing, the schema says
    if len(value) > most:
        yield Cause(path, f'Invalid value: "{value}": must be no more than {most} bytes')
    if (value or pattern == _VALUE) and not re.fullmatch(pattern, value):
        yield Cause(path, f'Invalid value: "{value}": {rule}')

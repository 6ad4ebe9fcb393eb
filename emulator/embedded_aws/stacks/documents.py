"""Template text: JSON, or YAML with CloudFormation's short tags and without aliases."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar

import yaml

from embedded_aws.copies import copied
from embedded_aws.stacks.errors import ValidationError

MAX_DEPTH = 64  # of objects and lists in each other; far below what Python's stack holds


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: dates and keys are strings, keys are unique, ``!Sub`` is ``Fn::Sub``."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases, which could make gigabytes of a few lines."""
        if self.check_event(yaml.AliasEvent):
            raise ValidationError("Template error: YAML aliases are not allowed in CloudFormation templates")
        return super().compose_node(parent, index)


def _function(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = _mapping(loader, node)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


def _mapping(loader: _Loader, node: yaml.Node) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in node.value:
        at = f"(line {key.start_mark.line + 1}, column {key.start_mark.column + 1})"
        if not isinstance(key, yaml.ScalarNode):
            raise ValidationError(f"Template format error: a key must be a string {at}")
        if key.value in mapping:
            raise ValidationError(f"Template format error: duplicate key {key.value!r} {at}")
        mapping[key.value] = loader.construct_object(value, deep=True)
    return mapping


_Loader.add_multi_constructor("!", _function)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(body: str) -> Any:
    """Return the content of a template: objects, lists, text, numbers and truth values, not too deep in each other.

    Raises
    ------
    ValidationError
        Says line and column, or which part.
    """
    return copied(_parse(body))


@lru_cache(maxsize=64)  # several accounts are given the same template
def _parse(body: str) -> Any:
    try:
        content = _json(body) if body.lstrip().startswith("{") else _yaml(body)
    except RecursionError:
        raise _too_deep() from None
    _check(content)
    return content


def _json(body: str) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise ValidationError(
            f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})"
        ) from None
    except ValueError as error:  # a number of thousands of digits
        raise ValidationError(f"Template format error: JSON not well-formed: {error}") from None


def _yaml(body: str) -> Any:
    try:
        return yaml.load(body, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValidationError(f"Template format error: YAML not well-formed.{at}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValidationError(f"Template format error: YAML not well-formed: {error}") from None


def _check(content: Any) -> None:
    parts: list[tuple[str, int, Any]] = [("", 0, content)]
    while parts:
        path, depth, value = parts.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, dict):
            parts += [(f"{path}/{name}", depth + 1, item) for name, item in value.items()]
        elif isinstance(value, list):
            parts += [(f"{path}/{number}", depth + 1, item) for number, item in enumerate(value)]
        elif value is None:
            raise ValidationError(f"Template format error: [{path}] 'null' values are not allowed in templates")
        elif not isinstance(value, (str, int, float)):  # YAML has more than JSON
            raise ValidationError(f"Template format error: [{path}] a template has no {type(value).__name__}")


def _too_deep() -> ValidationError:
    return ValidationError(f"Template format error: more than {MAX_DEPTH} objects and lists in each other")

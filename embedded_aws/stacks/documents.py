"""The text of a template: JSON, or YAML with CloudFormation's short tags."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import yaml

from embedded_aws.stacks.errors import ValidationError


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: dates are strings, keys are unique, ``!Sub`` is ``Fn::Sub``."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


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
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for number, (key, (mark, _)) in enumerate(zip(keys, node.value, strict=True)):
        if key in keys[:number]:
            raise ValidationError(
                f"Template format error: duplicate key {key!r} (line {mark.start_mark.line + 1}, "
                f"column {mark.start_mark.column + 1})"
            )
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _function)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(body: str) -> Any:
    """Return the content of a template.

    Raises
    ------
    ValidationError
        Says line and column.
    """
    if body.lstrip().startswith("{"):
        try:
            return json.loads(body)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})"
            ) from None
    try:
        return yaml.load(body, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValidationError(f"Template format error: YAML not well-formed.{at}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValidationError(f"Template format error: YAML not well-formed: {error}") from None

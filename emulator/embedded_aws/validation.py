"""Validation of parameters against the service's own model: what botocore leaves to AWS, patterns and lengths too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import Shape


def complaint(shape: Shape | None, request: Mapping[str, Any]) -> str | None:
    """Return AWS's sentence about an invalid request to an operation of this input, or None.

    >>> from embedded_aws.models import service_model
    >>> stop = service_model("sagemaker").operation_model("StopTrainingJob").input_shape
    >>> complaint(stop, {"TrainingJobName": "-"}).partition(" failed")[0]
    "1 validation error detected: Value '-' at 'trainingJobName'"
    """
    errors = list(_errors(shape, request, "")) if shape else []
    if not errors:
        return None
    return f"{len(errors)} validation error{'s'[: len(errors) > 1]} detected: {'; '.join(errors)}"


def _errors(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"Value at '{_below(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            if name in shape.members and item is not None:
                yield from _errors(shape.members[name], item, _below(path, name))
    elif shape.type_name == "list":
        yield from _length(shape, value, path)
        for number, item in enumerate(value, start=1):
            yield from _errors(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        yield from _length(shape, value, path)
        for key, item in value.items():
            yield from _errors(shape.key, key, f"{path}.key")
            yield from _errors(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from _length(shape, value, path)
        yield from _spelling(shape, value, path)
    elif shape.type_name in ("integer", "long"):
        yield from _range(shape, value, value, path, "have value")


def _spelling(shape: Shape, value: str, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        must = "Member must satisfy enum value set"
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: {must}: {shape.enum}"
    # What Unicode calls letters, separators and numbers.
    pattern = shape.metadata.get("pattern", "").replace(r"\p{L}\p{Z}\p{N}", r"\w\s")
    if pattern and r"\p" not in pattern and not re.fullmatch(pattern, value, re.DOTALL):
        must = "Member must satisfy regular expression pattern"
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: {must}: {pattern}"


def _length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    yield from _range(shape, len(value), value, path, "have length")


def _range(shape: Shape, measure: int, value: Any, path: str, what: str) -> Iterator[str]:
    for bound, wrong, words in (
        ("min", lambda limit: measure < limit, "greater than or equal to"),
        ("max", lambda limit: measure > limit, "less than or equal to"),
    ):
        limit = shape.metadata.get(bound)
        if limit is not None and wrong(limit):
            yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {what} {words} {limit}"


def _below(path: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name

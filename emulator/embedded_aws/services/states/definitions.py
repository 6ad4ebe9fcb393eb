"""Validation of state machine definitions: Amazon States Language by statelint, task arguments by AWS's models.

Sources: Amazon States Language, https://states-language.net/spec.html; AWS, Step Functions developer guide,
"Integrating services with Step Functions", "Learning to use AWS service SDK integrations in Step Functions".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonata
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.model import Shape
from statelint.linter import Linter

from embedded_aws.gate import door
from embedded_aws.models import service_model

# Task resource -> the service and operation that it calls, and whether it waits for the end.
_SDK = re.compile(r"arn:aws:states:::aws-sdk:(?P<service>\w+):(?P<operation>[a-z]\w+)")
_TRAINING = re.compile(r"arn:aws:states:::sagemaker:(?P<operation>createTrainingJob)(\.sync)?")
_MACHINES = ("Branches", "ItemProcessor", "Iterator")  # fields that hold states of their own
# SDK integrations name services as AWS's Java SDK does, in small letters.
BOTO_NAMES = {"cloudwatchlogs": "logs", "servicequotas": "service-quotas", "sfn": "stepfunctions"}


class NotServed(Exception):
    """A definition that AWS would take, and this one does not."""


def problems(text: str) -> list[str]:
    """Return what is wrong with a definition; nothing of one that can be run.

    Raises
    ------
    NotServed
        If it is right and needs what is not served; says what and where.
    """
    try:
        definition = json.loads(text)
    except ValueError as error:
        return [f"INVALID_JSON_DESCRIPTION: {error}"]
    if not isinstance(definition, dict):
        return ["INVALID_JSON_DESCRIPTION: a definition is a JSON object"]
    if wrong := Linter.validate(definition):
        return [f"SCHEMA_VALIDATION_FAILED: {problem}" for problem in wrong]
    return list(_machine(definition, definition.get("QueryLanguage", "JSONPath"), "/States"))


def _machine(machine: Mapping[str, Any], language: str, where: str) -> Iterator[str]:
    for name, state in machine["States"].items():
        here = f"{where}/{name}"
        # moto would put variables into expressions as they are, and takes the role of Credentials for nothing.
        for field in {"Assign", "Credentials"} & state.keys():
            raise NotServed(f"{field} at {here}")
        spoken = state.get("QueryLanguage", language)
        if spoken == "JSONata":
            own = {name: value for name, value in state.items() if name not in _MACHINES}
            yield from (f"SCHEMA_VALIDATION_FAILED: {wrong} at {here}" for wrong in _unparsed(own))
        if state["Type"] == "Task":
            yield from _task(state, spoken, here)
        for number, branch in enumerate(state.get("Branches", [])):
            yield from _machine(branch, language, f"{here}/Branches[{number}]/States")
        if iterator := state.get("ItemProcessor", state.get("Iterator")):
            if iterator.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
                raise NotServed(f"a distributed map at {here}")
            yield from _machine(iterator, language, f"{here}/ItemProcessor/States")


def _unparsed(part: Any) -> Iterator[str]:
    """Yield the expressions that are no JSONata; statelint does not read them."""
    if isinstance(part, Mapping):
        for value in part.values():
            yield from _unparsed(value)
    elif isinstance(part, list):
        for value in part:
            yield from _unparsed(value)
    elif isinstance(part, str) and part.startswith("{%") and part.endswith("%}"):
        try:
            jsonata.Jsonata(part[2:-2])
        except Exception as error:
            yield f"the JSONata expression {part!r} cannot be parsed ({error})"


def _task(state: Mapping[str, Any], language: str, where: str) -> Iterator[str]:
    called = _called(str(state["Resource"]))
    if called is None:
        raise NotServed(f"the task {state['Resource']} at {where}")
    model, operation = called
    arguments = state.get("Arguments" if language == "JSONata" else "Parameters")
    if isinstance(arguments, Mapping):
        shape = model.operation_model(operation).input_shape
        yield from (f"SCHEMA_VALIDATION_FAILED: {wrong} at {where}" for wrong in _members(shape, arguments))


def _called(resource: str) -> tuple[Any, str] | None:
    """Return the model of the service that a task calls, and the operation; None for what is not served."""
    match = _SDK.fullmatch(resource) or _TRAINING.fullmatch(resource)
    if match is None:
        return None
    name = match.groupdict().get("service", "sagemaker")
    try:
        model = service_model(BOTO_NAMES.get(name, name))
    except UnknownServiceError:
        return None
    signed = model.metadata.get("signingName", model.metadata["endpointPrefix"])
    wanted = xform_name(match["operation"])
    operation = next((name for name in model.operation_names if xform_name(name) == wanted), "")
    return (model, operation) if operation in door.served().get(signed, {}) else None


def _members(shape: Shape | None, given: Any, path: str = "") -> Iterator[str]:
    """Yield fields that the operation does not have, and those that it needs and does not get."""
    if isinstance(given, list) and shape is not None and shape.type_name == "list":
        for item in given:
            yield from _members(shape.member, item, path)
    if not isinstance(given, Mapping) or (shape is not None and shape.type_name != "structure"):
        return
    members = shape.members if shape is not None else {}
    # SDK integrations spell fields in Pascal case, whatever the service does; ``Name.$`` is a path in JSONPath.
    known = {name[0].upper() + name[1:]: name for name in members}
    for key, value in given.items():
        name = key.removesuffix(".$")
        if name not in known:
            yield f"The field {path + name!r} is not supported by Step Functions"
        elif name == key:
            yield from _members(members[known[name]], value, f"{path}{name}.")
    there = {key.removesuffix(".$") for key in given}
    for name, member in known.items():
        if shape is not None and member in shape.required_members and name not in there:
            yield f"The field {path + name!r} is required but was missing"

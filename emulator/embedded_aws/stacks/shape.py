"""Schema of a template: every section, attribute and function has the form that AWS documents, used or not."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.functions import FUNCTIONS, check_sub, check_target
from embedded_aws.stacks.parameters import check_declaration

ATTRIBUTES = {"Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"}
POLICIES = {"DeletionPolicy": {"Delete", "Retain", "RetainExceptOnCreate"}, "UpdateReplacePolicy": {"Delete", "Retain"}}
_BOOLEAN = {"Fn::And", "Fn::Not", "Fn::Or"}  # functions of conditions
OUTPUT = {"Condition", "Description", "Export", "Value"}


def check(sections: Mapping[str, Any], known_types: Collection[str]) -> None:
    """Refuse what has not the documented shape; what names refer to is looked at elsewhere.

    Raises
    ------
    ValidationError
        In AWS's words where AWS has some: what is wrong, and where.
    """
    for section in ("parameters", "mappings", "resources", "outputs"):
        for name in sections[section]:
            if not (name.isascii() and name.isalnum()):
                kind = section.capitalize().removesuffix("s")
                raise ValidationError(f"Template format error: {kind} name {name} is non alphanumeric.")
    for name, value in sections["parameters"].items():
        check_declaration(name, value)
    for name, value in sections["mappings"].items():
        _check_mapping(name, value)
    for value in sections["conditions"].values():
        _check_condition(value)
    _check_resources(sections["resources"], known_types)
    for name, value in sections["outputs"].items():
        _check_output(name, value)
    properties = [resource.get("Properties") or {} for resource in sections["resources"].values()]
    for name, argument in functions([properties, sections["outputs"], sections["conditions"]]):
        if name in _BOOLEAN:
            _check_condition({name: argument})
        elif name in _FORMS:
            _FORMS[name](argument)
        elif name not in FUNCTIONS:
            known = ", ".join(sorted({*FUNCTIONS, "Ref", "Condition"}))
            raise ValidationError(f"Template error: the embedded AWS does not do {name}, but {known}")


def in_order(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions, each after those that it needs.

    Raises
    ------
    ValidationError
        If some need each other.
    """
    needs = {name: {n for n in named(condition) if n in conditions} for name, condition in conditions.items()}
    try:
        return {name: conditions[name] for name in graphlib.TopologicalSorter(needs).static_order()}
    except graphlib.CycleError as error:
        cycle = ", ".join(sorted(set(error.args[1])))
        raise ValidationError(f"Template format error: Circular dependency between conditions: [{cycle}]") from None


def _check_mapping(name: str, mapping: Any) -> None:
    for top, second in mapping.items() if isinstance(mapping, dict) else [(name, None)]:
        if not isinstance(second, dict) or any(isinstance(value, dict) for value in second.values()):
            raise ValidationError(
                f"Template format error: [/Mappings/{name}/{top}] Every Mappings attribute must be a String or a List."
            )


def _check_condition(condition: Any) -> None:
    if not isinstance(condition, dict) or len(condition) != 1:
        condition = {"": None}
    ((function, argument),) = condition.items()
    if function == "Condition" and isinstance(argument, str):
        return
    if function not in {*_BOOLEAN, "Fn::Equals"}:
        raise ValidationError("Template format error: Every Conditions member must be a condition function.")
    _FORMS[function](argument)
    for item in argument if function != "Fn::Equals" else []:
        _check_condition(item)


def _check_resources(resources: Mapping[str, Any], known_types: Collection[str]) -> None:
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise ValidationError(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
            )
        properties = resource.get("Properties", {})
        if not isinstance(properties, dict) or set(properties) & {*FUNCTIONS, "Ref"}:
            raise ValidationError(f"Template format error: [/Resources/{name}/Properties] must be an object")
    if unknown := sorted({resource["Type"] for resource in resources.values()} - set(known_types)):
        raise ValidationError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    for name, resource in resources.items():
        _check_attributes(name, resource)


def _check_attributes(name: str, resource: Mapping[str, Any]) -> None:
    if unknown := sorted(set(resource) - ATTRIBUTES):
        raise ValidationError(f"Invalid template resource property '{unknown[0]}' (resource {name})")
    for attribute in ("Condition", *POLICIES):
        if not isinstance(resource.get(attribute, ""), str):
            raise ValidationError(
                f"Template format error: Every {attribute} member must be a string. (resource {name})"
            )
    for attribute, allowed in POLICIES.items():
        if attribute in resource and resource[attribute] not in allowed:
            raise ValidationError(
                f"Template format error: {attribute} of resource {name} must be one of {sorted(allowed)}; "
                f"the embedded AWS does not do {resource[attribute]!r}"
            )
    on = resource.get("DependsOn", [])
    if not isinstance(on, str) and not (isinstance(on, list) and all(isinstance(item, str) for item in on)):
        raise ValidationError(
            f"Template format error: DependsOn must be a string or list of strings. (resource {name})"
        )


def _check_output(name: str, output: Any) -> None:
    if not isinstance(output, dict) or "Value" not in output:
        raise ValidationError(f"Template format error: [/Outputs/{name}] Every Outputs member must contain a Value.")
    if unknown := sorted(set(output) - OUTPUT):
        raise ValidationError(f"Invalid template output property '{unknown[0]}' (output {name})")
    if isinstance(output["Value"], list) or (
        isinstance(output["Value"], dict) and not list(functions(output["Value"]))
    ):
        raise ValidationError(
            f"Template format error: Output {name} is malformed. The Value field of every Outputs member must "
            "evaluate to a String."
        )
    for attribute in ("Condition", "Description"):
        if not isinstance(output.get(attribute, ""), str):
            raise ValidationError(f"Template format error: Every {attribute} member must be a string. ({name})")
    if "Export" in output and (not isinstance(output["Export"], dict) or set(output["Export"]) != {"Name"}):
        raise ValidationError(
            f"Template format error: Output {name} is malformed. The Name field of every Export member must be "
            "specified, and nothing else."
        )


def functions(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every function of a part of a template, with its arguments."""
    if isinstance(value, dict):
        for name, item in value.items():
            if len(value) == 1 and (name == "Ref" or name.startswith("Fn::")):
                yield name, item
            yield from functions(item)
    elif isinstance(value, list):
        for item in value:
            yield from functions(item)


def named(condition: Any) -> Iterator[str]:
    """Yield the conditions that a condition names."""
    for item in condition.values() if isinstance(condition, dict) else condition if isinstance(condition, list) else []:
        if isinstance(condition, dict) and set(condition) == {"Condition"} and isinstance(item, str):
            yield item
        yield from named(item)


def _form(name: str, message: str, *kinds: type | tuple[type, ...], least: int | None = None) -> Callable[[Any], None]:
    """Return the check of a function whose argument is a list of these kinds; those after ``least`` may be left out."""

    def check_form(argument: Any) -> None:
        enough = isinstance(argument, list) and (least or len(kinds)) <= len(argument) <= len(kinds)
        if not enough or not all(isinstance(item, kind) for item, kind in zip(argument, kinds, strict=False)):
            raise ValidationError(f"Template error: {name} {message}")

    return check_form


def _check_ref(argument: Any) -> None:
    if not isinstance(argument, str):
        raise ValidationError("Template error: every Ref object must have a single String value.")


def _check_split(argument: Any) -> None:
    _form("every Fn::Split object", "requires two parameters, (1) a string delimiter and (2) a string to be split "
          "or a function that returns a string to be split", str, (str, dict))(argument)  # fmt: skip
    if not argument[0]:
        raise ValidationError("Template error: every Fn::Split object requires a delimiter that is not empty")


_ANY = (object,)
_SCALAR = (str, int, float, dict)
_BOOLEANS = "requires a list of at least 2 and at most 10 boolean parameters"
_FORMS: dict[str, Callable[[Any], Any]] = {
    "Ref": _check_ref,
    "Fn::And": _form("every Fn::And object", _BOOLEANS, *[(dict,)] * 10, least=2),
    "Fn::Cidr": _form("Fn::Cidr", "requires ipBlock, count and, at choice, cidrBits", *[_SCALAR] * 3, least=2),
    "Fn::Equals": _form("Fn::Equals", "requires a list argument with 2 elements", _ANY, _ANY),
    "Fn::FindInMap": _form("Fn::FindInMap", "requires a list argument with 3 elements", *[_SCALAR] * 3),
    "Fn::GetAtt": check_target,
    "Fn::If": _form("Fn::If", "requires a list argument with 3 elements, first a condition's name", str, _ANY, _ANY),
    "Fn::Join": _form(
        "every Fn::Join object",
        "requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that "
        "returns a list of strings to be joined",
        str,
        (list, dict),
    ),
    "Fn::Not": _form("Fn::Not", "requires a list argument with 1 elements", dict),
    "Fn::Or": _form("every Fn::Or object", _BOOLEANS, *[(dict,)] * 10, least=2),
    "Fn::Select": _form(
        "every Fn::Select object",
        "requires two non-null parameters, (1) an integer selection index and (2) a list to be selected from",
        _SCALAR,
        (list, dict),
    ),
    "Fn::Split": _check_split,
    "Fn::Sub": check_sub,
}

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
    for name, one in sections["parameters"].items():
        check_declaration(name, one)
    for name, one in sections["mappings"].items():
        _check_mapping(name, one)
    for one in sections["conditions"].values():
        _check_condition(one)
    _check_resources(sections["resources"], known_types)
    for name, one in sections["outputs"].items():
        _check_output(name, one)
    properties = [one.get("Properties") or {} for one in sections["resources"].values()]
    for name, given in functions([properties, sections["outputs"], sections["conditions"]]):
        if name in _BOOLEAN:
            _check_condition({name: given})
        elif name in _FORMS:
            _FORMS[name](given)
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
    needs = {name: {n for n in named(one) if n in conditions} for name, one in conditions.items()}
    try:
        return {name: conditions[name] for name in graphlib.TopologicalSorter(needs).static_order()}
    except graphlib.CycleError as error:
        cycle = ", ".join(sorted(set(error.args[1])))
        raise ValidationError(f"Template format error: Circular dependency between conditions: [{cycle}]") from None


def _check_mapping(name: str, one: Any) -> None:
    for top, second in one.items() if isinstance(one, dict) else [(name, None)]:
        if not isinstance(second, dict) or any(isinstance(value, dict) for value in second.values()):
            raise ValidationError(
                f"Template format error: [/Mappings/{name}/{top}] Every Mappings attribute must be a String or a List."
            )


def _check_condition(one: Any) -> None:
    if not isinstance(one, dict) or len(one) != 1:
        one = {"": None}
    ((function, given),) = one.items()
    if function == "Condition" and isinstance(given, str):
        return
    if function not in {*_BOOLEAN, "Fn::Equals"}:
        raise ValidationError("Template format error: Every Conditions member must be a condition function.")
    _FORMS[function](given)
    for item in given if function != "Fn::Equals" else []:
        _check_condition(item)


def _check_resources(resources: Mapping[str, Any], known_types: Collection[str]) -> None:
    for name, one in resources.items():
        if not isinstance(one, dict) or not isinstance(one.get("Type"), str):
            raise ValidationError(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
            )
        properties = one.get("Properties", {})
        if not isinstance(properties, dict) or set(properties) & {*FUNCTIONS, "Ref"}:
            raise ValidationError(f"Template format error: [/Resources/{name}/Properties] must be an object")
    if unknown := sorted({one["Type"] for one in resources.values()} - set(known_types)):
        raise ValidationError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    for name, one in resources.items():
        _check_attributes(name, one)


def _check_attributes(name: str, one: Mapping[str, Any]) -> None:
    if unknown := sorted(set(one) - ATTRIBUTES):
        raise ValidationError(f"Invalid template resource property '{unknown[0]}' (resource {name})")
    for attribute in ("Condition", *POLICIES):
        if not isinstance(one.get(attribute, ""), str):
            raise ValidationError(
                f"Template format error: Every {attribute} member must be a string. (resource {name})"
            )
    for attribute, allowed in POLICIES.items():
        if attribute in one and one[attribute] not in allowed:
            raise ValidationError(
                f"Template format error: {attribute} of resource {name} must be one of {sorted(allowed)}; "
                f"the embedded AWS does not do {one[attribute]!r}"
            )
    on = one.get("DependsOn", [])
    if not isinstance(on, str) and not (isinstance(on, list) and all(isinstance(item, str) for item in on)):
        raise ValidationError(
            f"Template format error: DependsOn must be a string or list of strings. (resource {name})"
        )


def _check_output(name: str, one: Any) -> None:
    if not isinstance(one, dict) or "Value" not in one:
        raise ValidationError(f"Template format error: [/Outputs/{name}] Every Outputs member must contain a Value.")
    if unknown := sorted(set(one) - OUTPUT):
        raise ValidationError(f"Invalid template output property '{unknown[0]}' (output {name})")
    if isinstance(one["Value"], list) or (isinstance(one["Value"], dict) and not list(functions(one["Value"]))):
        raise ValidationError(
            f"Template format error: Output {name} is malformed. The Value field of every Outputs member must "
            "evaluate to a String."
        )
    for attribute in ("Condition", "Description"):
        if not isinstance(one.get(attribute, ""), str):
            raise ValidationError(f"Template format error: Every {attribute} member must be a string. ({name})")
    if "Export" in one and (not isinstance(one["Export"], dict) or set(one["Export"]) != {"Name"}):
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


def _form(name: str, told: str, *kinds: type | tuple[type, ...], least: int | None = None) -> Callable[[Any], None]:
    """Return the check of a function whose argument is a list of these kinds; those after ``least`` may be left out."""

    def check_form(given: Any) -> None:
        enough = isinstance(given, list) and (least or len(kinds)) <= len(given) <= len(kinds)
        if not enough or not all(isinstance(one, kind) for one, kind in zip(given, kinds, strict=False)):
            raise ValidationError(f"Template error: {name} {told}")

    return check_form


def _check_ref(given: Any) -> None:
    if not isinstance(given, str):
        raise ValidationError("Template error: every Ref object must have a single String value.")


def _check_split(given: Any) -> None:
    _form("every Fn::Split object", "requires two parameters, (1) a string delimiter and (2) a string to be split "
          "or a function that returns a string to be split", str, (str, dict))(given)  # fmt: skip
    if not given[0]:
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

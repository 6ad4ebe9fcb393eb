"""Template parameters: the values given for them, checked in AWS's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.functions import as_text

PLAIN = {"String", "Number", "CommaDelimitedList", "List<Number>"}
KEYS = {
    "Type",
    "Description",
    "Default",
    "AllowedPattern",
    "AllowedValues",
    "MinLength",
    "MaxLength",
    "MinValue",
    "MaxValue",
    "ConstraintDescription",
    "NoEcho",
}
# Of the types that name something of AWS, those whose spelling is checked.
_IDS = {
    "AWS::EC2::VPC::Id": r"vpc-[0-9a-f]+",
    "AWS::EC2::Subnet::Id": r"subnet-[0-9a-f]+",
    "AWS::EC2::SecurityGroup::Id": r"sg-[0-9a-f]+",
    "AWS::EC2::AvailabilityZone::Name": r"[a-z]{2}(-[a-z]+)+-\d[a-z]",
    "AWS::EC2::SecurityGroup::GroupName": r".+",
    "AWS::EC2::KeyPair::KeyName": r".+",
    "AWS::EC2::Image::Id": r"ami-[0-9a-f]+",
    "AWS::EC2::Instance::Id": r"i-[0-9a-f]+",
    "AWS::EC2::Volume::Id": r"vol-[0-9a-f]+",
    "AWS::Route53::HostedZone::Id": r"Z.+",
}


_LIMITS = {"MinLength": int, "MaxLength": int, "MinValue": float, "MaxValue": float}


def values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return every parameter's value as text: what was given, else the default.

    Raises
    ------
    ValidationError
        If one is missing, not of the template, or breaks a constraint: names it and says the constraint.
    """
    if unknown := sorted(set(given) - set(declared)):
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    result = {
        name: given[name] if name in given else as_text(declaration["Default"])
        for name, declaration in declared.items()
        if name in given or "Default" in declaration
    }
    if missing := sorted(set(declared) - set(result)):
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in result.items():
        _check(name, value, declared[name])
    return result


def referred(declaration: Mapping[str, Any], value: str) -> Any:
    """Return what ``Ref`` gives: a list for the list types, else the text.

    >>> referred({"Type": "CommaDelimitedList"}, "a, b")
    ['a', 'b']
    """
    kind = declaration["Type"]
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [item.strip() for item in value.split(",")] if value else []
    return value


def check_declaration(name: str, declaration: Any) -> None:
    """Refuse a parameter that is not declared as AWS documents.

    Raises
    ------
    ValidationError
        Names the parameter and what is wrong.
    """
    if not isinstance(declaration, dict) or not isinstance(declaration.get("Type"), str):
        raise ValidationError(f"Template format error: Every Parameters object must contain a Type member. ({name})")
    kind = declaration["Type"]
    inner = kind[5:-1] if kind.startswith("List<") else kind
    if kind not in PLAIN and inner not in _IDS:
        raise ValidationError(f"Template format error: Unrecognized parameter type: {kind} ({name})")
    if unknown := sorted(set(declaration) - KEYS):
        raise ValidationError(f"Invalid template parameter property '{unknown[0]}' ({name})")
    for key in sorted(set(declaration) - {"AllowedValues"}):
        if isinstance(declaration[key], (dict, list)):
            raise ValidationError(f"Template format error: Every {key} member must be a string. ({name})")
    allowed = declaration.get("AllowedValues", [""])
    if not isinstance(allowed, list) or not allowed or any(isinstance(item, (dict, list)) for item in allowed):
        raise ValidationError(f"Template format error: Every AllowedValues member must be a list of strings. ({name})")
    _check_constraints(name, declaration, inner)


def _check_constraints(name: str, declaration: Mapping[str, Any], inner: str) -> None:
    for key, read in _LIMITS.items():
        if key not in declaration:
            continue
        if read is float and inner != "Number":
            raise ValidationError(f"Template format error: {key} is for parameters of type Number only. ({name})")
        try:
            read(declaration[key])
        except (ValueError, OverflowError):
            raise ValidationError(f"Template format error: Every {key} member must be a number. ({name})") from None
    try:
        re.compile(str(declaration.get("AllowedPattern", "")))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValidationError(
            f"Template format error: the embedded AWS cannot read the AllowedPattern {declaration['AllowedPattern']} "
            f"of parameter {name}: {error}"
        ) from None


def _check(name: str, value: str, declaration: Mapping[str, Any]) -> None:
    items = referred(declaration, value)
    inner = declaration["Type"].removeprefix("List<").removesuffix(">")
    for item in items if isinstance(items, list) else [items]:
        if message := _complaint(name, item, inner, declaration):
            because = declaration.get("ConstraintDescription")
            raise ValidationError(f"Parameter {name} failed to satisfy constraint: {because}" if because else message)
        if inner in _IDS and not re.fullmatch(_IDS[inner], item):
            raise ValidationError(
                f"Parameter validation failed: parameter value {item} for parameter name {name} does not exist"
            )


def _complaint(name: str, item: str, inner: str, declaration: Mapping[str, Any]) -> str | None:
    message = None
    if inner == "Number" and not _is_number(item):
        message = f"Parameter '{name}' must be a number"
    elif "AllowedPattern" in declaration and not re.fullmatch(str(declaration["AllowedPattern"]), item):
        message = f"Parameter '{name}' must match pattern {declaration['AllowedPattern']}"
    elif "AllowedValues" in declaration and item not in [as_text(value) for value in declaration["AllowedValues"]]:
        message = f"Parameter '{name}' must be one of AllowedValues"
    elif len(item) < int(declaration.get("MinLength", 0)):
        message = f"Parameter '{name}' must contain at least {declaration['MinLength']} characters"
    elif "MaxLength" in declaration and len(item) > int(declaration["MaxLength"]):
        message = f"Parameter '{name}' must contain at most {declaration['MaxLength']} characters"
    elif "MinValue" in declaration and float(item) < float(declaration["MinValue"]):
        message = f"Parameter '{name}' must be a number not less than {declaration['MinValue']}"
    elif "MaxValue" in declaration and float(item) > float(declaration["MaxValue"]):
        message = f"Parameter '{name}' must be a number not greater than {declaration['MaxValue']}"
    return message


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None

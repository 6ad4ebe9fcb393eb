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
    found = {
        name: given[name] if name in given else as_text(one["Default"])
        for name, one in declared.items()
        if name in given or "Default" in one
    }
    if missing := sorted(set(declared) - set(found)):
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in found.items():
        _check(name, value, declared[name])
    return found


def referred(declaration: Mapping[str, Any], value: str) -> Any:
    """Return what ``Ref`` gives: a list for the list types, else the text.

    >>> referred({"Type": "CommaDelimitedList"}, "a, b")
    ['a', 'b']
    """
    kind = declaration["Type"]
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [item.strip() for item in value.split(",")] if value else []
    return value


def check_declaration(name: str, one: Any) -> None:
    """Refuse a parameter that is not declared as AWS documents.

    Raises
    ------
    ValidationError
        Names the parameter and what is wrong.
    """
    if not isinstance(one, dict) or not isinstance(one.get("Type"), str):
        raise ValidationError(f"Template format error: Every Parameters object must contain a Type member. ({name})")
    kind = one["Type"]
    inner = kind[5:-1] if kind.startswith("List<") else kind
    if kind not in PLAIN and inner not in _IDS:
        raise ValidationError(f"Template format error: Unrecognized parameter type: {kind} ({name})")
    if unknown := sorted(set(one) - KEYS):
        raise ValidationError(f"Invalid template parameter property '{unknown[0]}' ({name})")
    for key in sorted(set(one) - {"AllowedValues"}):
        if isinstance(one[key], (dict, list)):
            raise ValidationError(f"Template format error: Every {key} member must be a string. ({name})")
    allowed = one.get("AllowedValues", [""])
    if not isinstance(allowed, list) or not allowed or any(isinstance(item, (dict, list)) for item in allowed):
        raise ValidationError(f"Template format error: Every AllowedValues member must be a list of strings. ({name})")
    _check_constraints(name, one, inner)


def _check_constraints(name: str, one: Mapping[str, Any], inner: str) -> None:
    for key, read in _LIMITS.items():
        if key not in one:
            continue
        if read is float and inner != "Number":
            raise ValidationError(f"Template format error: {key} is for parameters of type Number only. ({name})")
        try:
            read(one[key])
        except (ValueError, OverflowError):
            raise ValidationError(f"Template format error: Every {key} member must be a number. ({name})") from None
    try:
        re.compile(str(one.get("AllowedPattern", "")))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValidationError(
            f"Template format error: the embedded AWS cannot read the AllowedPattern {one['AllowedPattern']} of "
            f"parameter {name}: {error}"
        ) from None


def _check(name: str, value: str, one: Mapping[str, Any]) -> None:
    items = referred(one, value)
    inner = one["Type"].removeprefix("List<").removesuffix(">")
    for item in items if isinstance(items, list) else [items]:
        if told := _complaint(name, item, inner, one):
            because = one.get("ConstraintDescription")
            raise ValidationError(f"Parameter {name} failed to satisfy constraint: {because}" if because else told)
        if inner in _IDS and not re.fullmatch(_IDS[inner], item):
            raise ValidationError(
                f"Parameter validation failed: parameter value {item} for parameter name {name} does not exist"
            )


def _complaint(name: str, item: str, inner: str, one: Mapping[str, Any]) -> str | None:
    told = None
    if inner == "Number" and not _is_number(item):
        told = f"Parameter '{name}' must be a number"
    elif "AllowedPattern" in one and not re.fullmatch(str(one["AllowedPattern"]), item):
        told = f"Parameter '{name}' must match pattern {one['AllowedPattern']}"
    elif "AllowedValues" in one and item not in [as_text(value) for value in one["AllowedValues"]]:
        told = f"Parameter '{name}' must be one of AllowedValues"
    elif len(item) < int(one.get("MinLength", 0)):
        told = f"Parameter '{name}' must contain at least {one['MinLength']} characters"
    elif "MaxLength" in one and len(item) > int(one["MaxLength"]):
        told = f"Parameter '{name}' must contain at most {one['MaxLength']} characters"
    elif "MinValue" in one and float(item) < float(one["MinValue"]):
        told = f"Parameter '{name}' must be a number not less than {one['MinValue']}"
    elif "MaxValue" in one and float(item) > float(one["MaxValue"]):
        told = f"Parameter '{name}' must be a number not greater than {one['MaxValue']}"
    return told


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None

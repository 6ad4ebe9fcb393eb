"""Intrinsic functions of a template: what they refer to, and their values."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from embedded_aws.stacks.errors import ValidationError

PSEUDO = {
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
}
NOTHING = object()  # AWS::NoValue: takes the property that holds it away
_MOST_BLOCKS = 256  # of Fn::Cidr
_VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
Resolve = Callable[[str, str | None], Any]


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield ``(name, attribute)`` of every Ref (attribute None), GetAtt and Sub in a part of a template.

    >>> sorted(references({"Fn::Sub": "${Bucket.Arn}/${!Literal}/*"}))
    [('Bucket', 'Arn')]
    """
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    if not isinstance(value, dict):
        return
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref":
            if not isinstance(argument, str):
                raise ValidationError("Template error: every Ref object must have a single String value.")
            yield argument, None
            return
        if name == "Fn::GetAtt":
            yield check_target(argument)
            return
        if name == "Fn::Sub":
            text, own = check_sub(argument)
            for literal, variable in _VARIABLE.findall(text):
                if not literal and variable.strip() not in own:
                    target, _, attribute = variable.strip().partition(".")
                    yield target, attribute or None
            yield from references(own)
            return
    for item in value.values():
        yield from references(item)


def check_target(argument: Any) -> tuple[str, str]:
    """Return what Fn::GetAtt names: resource and attribute; refuse other arguments."""
    if isinstance(argument, str):
        argument = argument.split(".", 1)
    if not isinstance(argument, list) or len(argument) != 2 or not all(isinstance(part, str) for part in argument):
        raise ValidationError(
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the "
            "resource attribute"
        )
    return argument[0], argument[1]


def check_sub(argument: Any) -> tuple[str, dict[str, Any]]:
    """Return the text and the own variables of Fn::Sub; refuse other arguments."""
    if isinstance(argument, str):
        return argument, {}
    if (
        isinstance(argument, list)
        and len(argument) == 2
        and isinstance(argument[0], str)
        and isinstance(argument[1], dict)
    ):
        return argument[0], argument[1]
    raise ValidationError(
        "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string "
        "as first argument, and an optional second argument to specify a mapping of values"
    )


class Values:
    """What a template's expressions come to.

    Parameters
    ----------
    resolve : callable
        ``resolve(name, attribute)`` of a parameter, pseudo parameter or resource; attribute None is ``Ref``.
    conditions, mappings : mapping
        The template's sections.
    zones : sequence of str
        The availability zones that ``Fn::GetAZs`` tells.
    """

    def __init__(
        self,
        resolve: Resolve,
        *,
        conditions: Mapping[str, Any],
        mappings: Mapping[str, Any],
        zones: Callable[[str], list[str]],
    ) -> None:
        self._resolve, self._zones = resolve, zones
        self._conditions, self._mappings = conditions, mappings
        self._known: dict[str, bool] = {}

    def condition(self, name: str) -> bool:
        """Return whether a condition of the template holds."""
        if name not in self._conditions:
            raise ValidationError(f"Template error: unresolved condition dependency {name}")
        if name not in self._known:
            self._known[name] = self._truth(self._conditions[name])
        return self._known[name]

    def of(self, value: Any) -> Any:
        """Return the value of an expression, without what is AWS::NoValue."""
        if isinstance(value, list):
            return [result for item in value if (result := self.of(item)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return NOTHING if argument == "AWS::NoValue" else self._resolve(argument, None)
            if name in FUNCTIONS:
                return _APPLY[name](self, argument)
        return {name: result for name, item in value.items() if (result := self.of(item)) is not NOTHING}

    def _truth(self, value: Any) -> bool:
        if isinstance(value, dict) and len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Condition":
                return self.condition(argument)
            if name in ("Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not"):
                return _APPLY[name](self, argument)
        raise ValidationError("Template format error: Every Conditions member must be a condition function.")

    def _get_att(self, argument: Any) -> Any:
        return self._resolve(*check_target(argument))

    def _sub(self, argument: Any) -> str:
        text, own = check_sub(argument)

        def substituted(match: re.Match[str]) -> str:
            literal, variable = match.groups()
            if literal:
                return f"${{{variable}}}"
            variable = variable.strip()
            if variable in own:
                return as_text(self.of(own[variable]))
            target, _, attribute = variable.partition(".")
            return as_text(self._resolve(target, attribute or None))

        return _VARIABLE.sub(substituted, text)

    def _join(self, argument: Any) -> str:
        delimiter, items = _arguments("Fn::Join", argument, 2)
        items = self.of(items)
        if not isinstance(delimiter, str) or not isinstance(items, list):
            raise ValidationError("Template error: every Fn::Join object requires two parameters, (1) a string "
                                  "delimiter and (2) a list of strings to be joined")  # fmt: skip
        return delimiter.join(as_text(item) for item in items)

    def _select(self, argument: Any) -> Any:
        index, items = (self.of(item) for item in _arguments("Fn::Select", argument, 2))
        if not isinstance(items, list) or not str(index).isdecimal():
            raise ValidationError("Template error: every Fn::Select object requires two non-null parameters, (1) an "
                                  "integer selection index and (2) a list to be selected from")  # fmt: skip
        if int(index) >= len(items):
            raise ValidationError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
        return items[int(index)]

    def _split(self, argument: Any) -> list[str]:
        delimiter, text = _arguments("Fn::Split", argument, 2)
        return as_text(self.of(text)).split(delimiter)

    def _if(self, argument: Any) -> Any:
        name, yes, no = _arguments("Fn::If", argument, 3)
        return self.of(yes if self.condition(name) else no)

    def _equals(self, argument: Any) -> bool:
        left, right = (self.of(item) for item in _arguments("Fn::Equals", argument, 2))
        return as_text(left) == as_text(right)

    def _and(self, argument: Any) -> bool:
        return all(self._truth(item) for item in _some("Fn::And", argument))

    def _or(self, argument: Any) -> bool:
        return any(self._truth(item) for item in _some("Fn::Or", argument))

    def _not(self, argument: Any) -> bool:
        return not self._truth(_arguments("Fn::Not", argument, 1)[0])

    def _find_in_map(self, argument: Any) -> Any:
        keys = [as_text(self.of(item)) for item in _arguments("Fn::FindInMap", argument, 3)]
        value: Any = self._mappings
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise ValidationError(
                    f"Template error: Unable to get mapping for {'::'.join(keys)} (there is no key {key})"
                )
            value = value[key]
        return value

    def _get_azs(self, argument: Any) -> list[str]:
        return self._zones(as_text(self.of(argument)))

    def _base64(self, argument: Any) -> str:
        return base64.b64encode(as_text(self.of(argument)).encode()).decode()

    def _cidr(self, argument: Any) -> list[str]:
        if not isinstance(argument, list) or len(argument) not in (2, 3):
            raise ValidationError("Template error: Fn::Cidr requires ipBlock, count and, at choice, cidrBits")
        block, count, *bits = (self.of(item) for item in argument)
        try:
            network = ipaddress.ip_network(as_text(block))
            own_bits = int(bits[0]) if bits else (8 if network.version == 4 else 64)
            subnets = network.subnets(new_prefix=network.max_prefixlen - own_bits)
            if not 1 <= int(count) <= _MOST_BLOCKS:
                raise ValueError(f"count {count} is not between 1 and {_MOST_BLOCKS}")
            blocks = [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]
        except (TypeError, ValueError) as error:
            raise ValidationError(f"Template error: Fn::Cidr of {block}: {error}") from None
        if len(blocks) < int(count):
            raise ValidationError(f"Template error: Fn::Cidr: {block} has no {count} blocks of {own_bits} bits")
        return blocks


_APPLY: dict[str, Callable[[Values, Any], Any]] = {
    "Fn::And": Values._and,
    "Fn::Base64": Values._base64,
    "Fn::Cidr": Values._cidr,
    "Fn::Equals": Values._equals,
    "Fn::FindInMap": Values._find_in_map,
    "Fn::GetAZs": Values._get_azs,
    "Fn::GetAtt": Values._get_att,
    "Fn::If": Values._if,
    "Fn::Join": Values._join,
    "Fn::Not": Values._not,
    "Fn::Or": Values._or,
    "Fn::Select": Values._select,
    "Fn::Split": Values._split,
    "Fn::Sub": Values._sub,
}
FUNCTIONS = set(_APPLY)


def as_text(value: Any) -> str:
    """Write a scalar as CloudFormation does in a string.

    >>> as_text(True), as_text(9092)
    ('true', '9092')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(as_text(item) for item in value)
    return "" if value is NOTHING else str(value)


def _arguments(name: str, argument: Any, count: int) -> list[Any]:
    if not isinstance(argument, list) or len(argument) != count:
        raise ValidationError(f"Template error: {name} requires a list argument with {count} elements")
    return argument


def _some(name: str, argument: Any) -> list[Any]:
    if not isinstance(argument, list) or not 2 <= len(argument) <= 10:
        raise ValidationError(
            f"Template error: every {name} object requires a list of at least 2 and at most 10 boolean parameters"
        )
    return argument

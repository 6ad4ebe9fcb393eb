"""Amounts as Kubernetes writes them: ``500m``, ``2``, ``1Gi``, ``1e3``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
MALFORMED = f"quantities must match the regular expression '{PATTERN}'"
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def amount(value: Any) -> Fraction | None:
    """Return what a quantity amounts to; None if it is none.

    >>> amount("500m") == Fraction(1, 2), amount("1Ki"), amount("a lot")
    (True, Fraction(1024, 1), None)
    """
    match = _NUMBER.fullmatch(str(value)) if isinstance(value, (str, int, float)) else None
    if match is None or isinstance(value, bool):
        return None
    number, exponent, suffix = match.groups()
    if exponent:
        return Fraction(number) * Fraction(10) ** int(exponent[1:])
    if suffix and suffix.endswith("i"):
        return Fraction(number) * 1024 ** ("KMGTPE".index(suffix[0]) + 1)
    return Fraction(number) * Fraction(10) ** _DECIMAL[suffix or ""]

"""Filters, order and pages of SageMaker's lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.sagemaker.exceptions import AWSValidationException

KEYS = {"Name": lambda thing: thing.name, "Status": lambda thing: thing.status}


def page(things: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    """Return a page of what a request selects, the newest first, and the token of the next one if there is one.

    Parameters
    ----------
    things : mapping
        By name; each has ``name``, ``status``, ``created`` and ``modified``.
    request : mapping
        Of the list.

    Raises
    ------
    AWSValidationException
        If the request's token is none of this list.
    """
    wanted = [
        thing
        for thing in list(things.values())
        if request.get("NameContains", "").lower() in thing.name.lower()
        and request.get("StatusEquals", thing.status) == thing.status
        and _within(request, "CreationTime", thing.created.timestamp())
        and _within(request, "LastModifiedTime", thing.modified.timestamp())
    ]
    key = KEYS.get(request.get("SortBy", ""), lambda thing: thing.created)
    wanted.sort(key=key, reverse=request.get("SortOrder", "Descending") == "Descending")
    names = [thing.name for thing in wanted]
    if (after := request.get("NextToken")) and after not in names:
        raise AWSValidationException("Invalid pagination token given.")
    first = names.index(after) + 1 if after else 0
    found = wanted[first : first + request.get("MaxResults", 10)]
    return found, {"NextToken": found[-1].name} if found and found[-1] is not wanted[-1] else {}


def _within(request: Mapping[str, Any], member: str, at: float) -> bool:
    return request.get(f"{member}After", 0) <= at <= request.get(f"{member}Before", 1e12)

"""Condition keys: which there are, which hold several values, and which the gate fills for which service.

A key that the gate does not fill would look as if the request did not bring it, and a ``Deny`` on it would never hold.

Source: AWS, IAM user guide, "AWS global condition context keys"; Service authorization reference.
"""

from __future__ import annotations

import re

from embedded_aws import service

# AWS's own keys that are known here; a service's own stand in its record.
_KEYS = re.compile(
    r"""aws:(principalarn|principalaccount|principaltype|principalisawsservice|principalservicename|principalorgid
    |userid|username|sourceaccount|sourcearn|sourceip|sourcevpc|sourcevpce|sourceidentity|sourceorgid|securetransport
    |requestedregion|resourceaccount|resourceorgid|currenttime|epochtime|tokenissuetime|useragent|referer|viaawsservice
    |calledvia|calledviafirst|calledvialast|vpcsourceip|multifactorauthpresent|multifactorauthage|tagkeys
    |(principal|request|resource)tag/.+)""",
    re.VERBOSE | re.IGNORECASE,
)
# Those that AWS lists as global, whether or not the gate fills them.
_GLOBAL = re.compile(
    r"""aws:(principal(arn|account|orgpaths|orgid|type|isawsservice|servicename|servicenameslist)|userid|username
    |assumedroot|federatedprovider|tokenissuetime|multifactorauth(age|present)|chatbotsourcearn|sourceidentity
    |ec2instancesource(vpc|privateipv4)|sourceip|sourcevpc|sourcevpce|sourcevpcarn|vpcsourceip|vpce(account|orgid|orgpaths)
    |resource(account|orgid|orgpaths)|calledvia(first|last)?|viaawsservice|viaawsmcpservice|calledviaawsmcp|currenttime
    |epochtime|referer|requestedregion|securetransport|source(account|arn|orgid|orgpaths|owner)|tagkeys|useragent
    |ismcpserviceaction|(principal|request|resource)tag/.+)""",
    re.VERBOSE | re.IGNORECASE,
)
_MULTIVALUED = {"aws:calledvia", "aws:tagkeys"}
_UNFILLED = re.compile(r"aws:(calledvia\w*|vpcsourceip)")
_TAGS = re.compile(r"\w+:(resourcetag/.+|requesttag/.+|tagkeys)")


def known(key: str) -> bool:
    """Tell whether there is such a key, in whatever case it is spelt."""
    return bool(_KEYS.fullmatch(key)) or any(aws_service.knows(key) for aws_service in service.served().values())


def is_global(key: str) -> bool:
    """Tell whether AWS lists a key as one that any service may bring."""
    return bool(_GLOBAL.fullmatch(key))


def is_multivalued(key: str) -> bool:
    """Tell whether a key holds several values in one request, so that a policy must say how to compare them."""
    prefix, _, name = key.lower().partition(":")
    own = service.served().get(prefix)
    return f"{prefix}:{name}" in _MULTIVALUED or bool(own and name in own.keys.multivalued)


def filled(key: str, action: str) -> bool:
    """Tell whether the gate knows a key's value, or that it has none, for an action.

    Of a service that is not served no tags are read: ``aws:ResourceTag/team`` is filled for ``ec2:DeleteVpc``, and not
    for ``sqs:DeleteQueue``.
    """
    prefix, _, name = key.lower().partition(":")
    called = service.served().get(action.partition(":")[0].lower())
    if _UNFILLED.fullmatch(f"{prefix}:{name}"):
        return False
    if called and prefix == called.name and re.fullmatch(called.keys.unfilled, name):
        return False
    return bool(called and called.tags) or not _TAGS.fullmatch(f"{prefix}:{name}")

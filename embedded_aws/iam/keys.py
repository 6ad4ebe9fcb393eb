"""Condition keys: which there are, which of them hold several values, and which the gate fills for which service.

A key that the gate does not fill would look as if the request did not bring it, and a ``Deny`` on it would never hold.

Source: AWS, IAM user guide, "AWS global condition context keys"; Service authorization reference.
"""

from __future__ import annotations

import re

_KEYS = re.compile(
    r"""aws:(principalarn|principalaccount|principaltype|principalisawsservice|principalservicename|principalorgid
    |userid|username|sourceaccount|sourcearn|sourceip|sourcevpc|sourcevpce|sourceidentity|sourceorgid|securetransport
    |requestedregion|resourceaccount|resourceorgid|currenttime|epochtime|tokenissuetime|useragent|referer|viaawsservice
    |calledvia|calledviafirst|calledvialast|vpcsourceip|multifactorauthpresent|multifactorauthage|tagkeys
    |(principal|request|resource)tag/.+)
    |sts:(externalid|rolesessionname|sourceidentity|transitivetagkeys)
    |iam:(passedtoservice|associatedresourcearn|permissionsboundary|policyarn|resourcetag/.+)
    |sagemaker:(vpcsubnets|vpcsecuritygroupids|instancetypes|networkisolation|intercontainertrafficencryption
    |outputkmskey|volumekmskey|maxruntimeinseconds|directinternetaccess|rootaccess|minimuminstancemetadataserviceversion
    |keepaliveperiod|resourcetag/.+)
    |s3:(prefix|delimiter|max-keys|versionid|x-amz-acl|x-amz-server-side-encryption
    |x-amz-server-side-encryption-aws-kms-key-id|x-amz-storage-class|x-amz-copy-source|resourceaccount|tlsversion
    |signatureversion|signatureage|authtype|x-amz-content-sha256|locationconstraint)
    |kms:(viaservice|calleraccount|grantisforawsresource|keyorigin|requestalias|resourcealiases|encryptioncontext:.+)
    |ec2:(accepter|requester)vpc|ec2:(vpc|region|vpceservicename|vpcpeeringconnectionid|subnet|resourcetag/.+)""",
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
# These hold several values in one request, so that a policy must say how to compare them.
MULTIVALUED = {"sagemaker:vpcsubnets", "sagemaker:vpcsecuritygroupids", "sagemaker:instancetypes", "aws:tagkeys"}
MULTIVALUED |= {"aws:calledvia", "sts:transitivetagkeys", "kms:resourcealiases"}
# Service, or * for all -> what the gate does not fill for its actions.
_UNFILLED = {
    "*": r"aws:(calledvia\w*|vpcsourceip)",
    "iam": r"iam:associatedresourcearn",
    "kms": r"kms:(grantisforawsresource|keyorigin|requestalias|resourcealiases|encryptioncontext:.+)",
    "sts": r"sts:transitivetagkeys",
}
_TAGS = re.compile(r"\w+:(resourcetag/.+|requesttag/.+|tagkeys)")
# Services whose tags, of a request and of what is there, the gate reads.
TAGGED = {"ec2", "iam", "kms", "logs", "sagemaker", "sts"}


def known(key: str) -> bool:
    """Tell whether there is such a key, in whatever case it is spelt."""
    return bool(_KEYS.fullmatch(key))


def is_global(key: str) -> bool:
    """Tell whether AWS lists a key as one that any service may bring."""
    return bool(_GLOBAL.fullmatch(key))


def filled(key: str, action: str) -> bool:
    """Tell whether the gate knows a key's value, or that it has none, for an action.

    >>> filled("aws:ResourceTag/team", "ec2:DeleteVpc"), filled("aws:ResourceTag/team", "sqs:DeleteQueue")
    (True, False)
    """
    key, service = key.lower(), action.partition(":")[0].lower()
    if any(re.fullmatch(_UNFILLED[name], key) for name in ("*", service) if name in _UNFILLED):
        return False
    return service in TAGGED or not _TAGS.fullmatch(key)

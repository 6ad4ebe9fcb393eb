"""ResourceStatusReason: why a resource failed, as CloudFormation words what a service has refused.

The error's code is added to AWS's own words, which leave it out.

Source: AWS, CloudFormation CLI user guide, "Handler error codes"; the form is that of the events its users report.
"""

from __future__ import annotations

import logging
import uuid

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.stacks.errors import ResourceError, ValidationError

_HANDLER_CODES = {  # handler error code: what is in the code of the service's error
    "AccessDenied": ("AccessDenied", "Unauthorized", "AuthFailure"),
    "NotFound": ("NotFound", "NoSuch", "DoesNotExist"),
    "AlreadyExists": ("AlreadyExists", "AlreadyOwned", ".Duplicate"),
    "Throttling": ("Throttling", "RequestLimitExceeded", "TooManyRequests"),
    "ServiceLimitExceeded": ("LimitExceeded",),
    "ResourceConflict": ("OperationAborted", "ConcurrentModification", "ResourceInUse"),
}
log = logging.getLogger(__name__)


def reason_of(error: Exception) -> str:
    """Return the reason that an event gives."""
    if isinstance(error, ClientError):
        said, meta = error.response["Error"], error.response.get("ResponseMetadata", {})
        message, code, status = said.get("Message", ""), said.get("Code", ""), meta.get("HTTPStatusCode", 400)
        return handled(getattr(error, "service", ""), status, code, message, request_id=meta.get("RequestId", ""))
    if isinstance(error, (ResourceError, ValidationError, BotoCoreError)):
        return str(getattr(error, "message", None) or error)
    log.error("a resource handler failed", exc_info=error)
    return f"Internal Failure: {type(error).__name__}: {error}"


def handled(service: str, status: int, code: str, message: str, *, request_id: str = "") -> str:
    """Return what the handler of a resource says of a service's refusal.

    Parameters
    ----------
    service : str
        As the service's model calls it: ``EC2``, ``CloudWatch Logs``.
    status, code, message : int, str, str
        Of the service's answer.
    request_id : str
        Of the request; without one it is made up.
    """
    name = "".join(word.capitalize() if word.isupper() else word for word in service.split())
    about = f"Service: {name}, Status Code: {status}, Request ID: {request_id or uuid.uuid4()}, Error Code: {code}"
    tokens = f"RequestToken: {uuid.uuid4()}, HandlerErrorCode: {handler_code(code, status)}"
    return f'Resource handler returned message: "{message} ({about})" ({tokens})'


def handler_code(code: str, status: int) -> str:
    """Return the handler error code that stands for a service's error.

    >>> handler_code("InvalidGroup.NotFound", 400), handler_code("DependencyViolation", 400), handler_code("Oops", 500)
    ('NotFound', 'InvalidRequest', 'ServiceInternalError')
    """
    for name, signs in _HANDLER_CODES.items():
        if any(sign in code for sign in signs):
            return name
    if status >= 500:
        return "ServiceInternalError"
    return "AccessDenied" if status == 403 else "InvalidRequest"

"""Error codes of requests that are not admitted, by kind of service."""

from __future__ import annotations

from werkzeug.wrappers import Response

from embedded_aws import answers

# Reason -> protocol -> code and HTTP status; the query protocol's stand for every other.
_CODES = {
    "missing": {
        "json": ("MissingAuthenticationTokenException", 400),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("AccessDenied", 403),
        "query": ("MissingAuthenticationToken", 403),
    },
    "malformed": {"ec2": ("AuthFailure", 401), "query": ("IncompleteSignature", 400)},
    "region": {"ec2": ("AuthFailure", 401), "query": ("SignatureDoesNotMatch", 403)},
    "unsigned": {
        "json": ("InvalidSignatureException", 400),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("AccessDenied", 403),
        "query": ("SignatureDoesNotMatch", 403),
    },
    "unknown key": {
        "json": ("UnrecognizedClientException", 400),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("InvalidAccessKeyId", 403),
        "query": ("InvalidClientTokenId", 403),
    },
    "mismatch": {
        "json": ("InvalidSignatureException", 400),
        "ec2": ("AuthFailure", 401),
        "query": ("SignatureDoesNotMatch", 403),
    },
    "clock": {
        "json": ("InvalidSignatureException", 400),
        "ec2": ("RequestExpired", 400),
        "rest-xml": ("RequestTimeTooSkewed", 403),
        "query": ("SignatureDoesNotMatch", 403),
    },
    "expired": {
        "json": ("ExpiredTokenException", 400),
        "ec2": ("RequestExpired", 400),
        "rest-xml": ("ExpiredToken", 400),
        "query": ("ExpiredToken", 403),
    },
    "operation": {
        "json": ("UnknownOperationException", 400),
        "rest-xml": ("MethodNotAllowed", 405),
        "query": ("InvalidAction", 400),
    },
    "validation": {
        "json": ("ValidationException", 400),
        "rest-json": ("ValidationException", 400),
        "ec2": ("InvalidParameterValue", 400),
        "rest-xml": ("InvalidArgument", 400),
        "query": ("ValidationError", 400),
    },
    "policy": {
        "json": ("MalformedPolicyDocumentException", 400),
        "rest-xml": ("MalformedPolicy", 400),
        "ec2": ("InvalidPolicyDocument", 400),
        "query": ("MalformedPolicyDocument", 400),
    },
    "limit": {"json": ("LimitExceededException", 400), "query": ("LimitExceeded", 409)},
    "exists": {"query": ("EntityAlreadyExists", 409)},
    "entity": {"query": ("NoSuchEntity", 404)},
    "packed policy": {"query": ("PackedPolicyTooLarge", 400)},
    "acl": {"query": ("AccessControlListNotSupported", 400)},
    "bucket acl": {"query": ("InvalidBucketAclWithObjectOwnership", 400)},
    "dry run": {"query": ("DryRunOperation", 412)},
    "not served": {"query": ("NotImplemented", 501)},
    "ciphertext": {"query": ("InvalidCiphertextException", 400)},
    "key": {"query": ("KMS.DisabledException", 400)},
    "unreachable": {"query": ("EndpointUnreachable", 504)},
    "denied": {
        "json": ("AccessDeniedException", 400),
        "rest-json": ("AccessDeniedException", 403),
        "ec2": ("UnauthorizedOperation", 403),
        "query": ("AccessDenied", 403),
    },
}


class Refused(Exception):
    """A request that is not admitted; ``reason`` is a key of the table above, ``code`` takes the place of its code."""

    def __init__(self, reason: str, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.code = reason, code

    def response(self, protocol: str) -> Response:
        """Return the refusal in the words of a protocol."""
        codes = _CODES[self.reason]
        code, status = codes.get(protocol) or codes["query"]
        message = str(self)
        if protocol == "ec2" and self.reason == "denied":
            message = f"You are not authorized to perform this operation. {message}"
        return answers.error(protocol, self.code or code, message, status=status)

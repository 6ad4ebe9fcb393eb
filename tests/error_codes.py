"""Error codes of AWS: what a call is answered with, for tables of calls that are refused."""

from botocore.exceptions import ClientError


def code(call, **request):
    """Return the error code of a call, or "allowed"."""
    try:
        call(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"

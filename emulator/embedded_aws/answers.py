"""Error responses in the words and the wire format of the service that was asked."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

_XML = {
    "rest-xml": "<Error><Code>{0}</Code><Message>{1}</Message></Error>",
    "ec2": "<Response><Errors><Error><Code>{0}</Code><Message>{1}</Message></Error></Errors></Response>",
    "query": "<ErrorResponse><Error><Code>{0}</Code><Message>{1}</Message></Error></ErrorResponse>",
}


def error(protocol: str, code: str, message: str, *, status: int) -> Response:
    """Return an error response of a protocol: ``json``, ``rest-json``, ``query``, ``ec2`` or ``rest-xml``."""
    if protocol in _XML:
        return Response(_XML[protocol].format(code, escape(message)), status=status, mimetype="text/xml")
    kind = "application/x-amz-json-1.1" if protocol == "json" else "application/json"
    text = json.dumps({"__type": code, "message": message})
    return Response(text, status, {"x-amzn-errortype": code}, content_type=kind)

"""Error responses in the words and the wire format of the service that was asked."""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

_XML = {
    "rest-xml": "<Error><Code>{0}</Code><Message>{1}</Message><RequestId>{2}</RequestId></Error>",
    "ec2": "<Response><Errors><Error><Code>{0}</Code><Message>{1}</Message></Error></Errors>"
    "<RequestID>{2}</RequestID></Response>",
    "query": "<ErrorResponse><Error><Code>{0}</Code><Message>{1}</Message></Error>"
    "<RequestId>{2}</RequestId></ErrorResponse>",
}


def error(protocol: str, code: str, message: str, *, status: int) -> Response:
    """Return an error response of a protocol: ``json``, ``rest-json``, ``query``, ``ec2`` or ``rest-xml``."""
    request_id = str(uuid.uuid4())
    headers = {"x-amz-request-id" if protocol == "rest-xml" else "x-amzn-requestid": request_id}
    if protocol in _XML:
        text = _XML[protocol].format(code, escape(message), request_id)
        return Response(text, status, headers, mimetype="text/xml")
    kind = "application/x-amz-json-1.1" if protocol == "json" else "application/json"
    text = json.dumps({"__type": code, "message": message})
    return Response(text, status, headers | {"x-amzn-errortype": code}, content_type=kind)

"""What moto gets to see of an admitted request: what was verified, and nothing that could say something else.

moto takes a call's account, region, service and operation from whatever header, argument or part of the address seems
to tell them. Here it takes all of them from the gate.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from moto.core.responses import BaseResponse
from moto.moto_server.werkzeug_app import BackendRequest

from embedded_aws import bodies
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.gate.signature import Signature

_KEY = "embedded_aws.admitted"
_REGION = re.compile(r"region/\S*")


_denied: ContextVar[frozenset[str]] = ContextVar("denied", default=frozenset())


@dataclass(frozen=True)
class Admitted:
    """A request that the gate let through.

    Parameters
    ----------
    call : Call
        What it calls.
    account : str
        In whose resources moto carries it out: the caller's, but for a key that another account lends.
    denied : frozenset of str
        ARNs of the objects that a call may not delete, of those that it names.
    """

    call: Call
    principal: Principal
    signed: Signature
    account: str
    denied: frozenset[str] = frozenset()


def admitted(request: Any) -> Admitted | None:
    """Return what the gate let through as this request of moto's."""
    return request.environ.get(_KEY)


def denied() -> frozenset[str]:
    """Return what the request that is being carried out may not delete."""
    return _denied.get()


def hand_over(environ: dict[str, Any], admitted: Admitted) -> None:
    """Make a request say what was verified of it, and only that."""
    call, signed = admitted.call, admitted.signed
    environ[_KEY] = admitted
    _denied.set(admitted.denied)
    environ["HTTP_AUTHORIZATION"] = (
        f"AWS4-HMAC-SHA256 Credential={signed.access_key_id}/{signed.scope}, "
        f"SignedHeaders={';'.join(signed.signed_headers)}, Signature={signed.value}"
    )
    environ["HTTP_X_MOTO_ACCOUNT_ID"] = admitted.account
    environ["HTTP_USER_AGENT"] = _REGION.sub("", environ.get("HTTP_USER_AGENT", ""))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    body = call.body
    if call.protocol != "json":
        environ.pop("HTTP_X_AMZ_TARGET", None)
    if call.protocol == "json":
        environ["CONTENT_TYPE"] = "application/x-amz-json-1.1"
    elif call.protocol in ("query", "ec2"):
        body = urlencode(call.fields).encode()
        environ |= {"REQUEST_METHOD": "POST", "RAW_URI": "/", "REQUEST_URI": "/", "PATH_INFO": "/", "QUERY_STRING": ""}
        environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded; charset=utf-8"
    if call.protocol != "rest-xml":
        environ.pop("HTTP_CONTENT_ENCODING", None)
    bodies.put_back(environ, body)


def install() -> None:
    """Have moto ask the gate; before the first request."""
    plain = {
        name: getattr(BaseResponse, name)
        for name in ("get_region_from_url", "get_access_key", "get_current_account", "_get_action", "setup_class")
    }

    def admitted_of(response: BaseResponse) -> Admitted | None:
        request = getattr(response, "normalized_request", None)
        return request.environ.get(_KEY) if request is not None else None

    def region(self: BaseResponse, request: Any, full_url: str) -> str:
        admission = request.environ.get(_KEY)
        return admission.call.region if admission else plain["get_region_from_url"](self, request, full_url)

    def access_key(self: BaseResponse) -> str:
        admission = admitted_of(self)
        return admission.signed.access_key_id if admission else plain["get_access_key"](self)

    def account(self: BaseResponse) -> str:
        admission = admitted_of(self)
        return admission.account if admission else plain["get_current_account"](self)

    def action(self: BaseResponse) -> str:
        admission = admitted_of(self)
        # S3's responses name the operation themselves, after it is done; those of REST read the path on the way.
        plain_action = (
            plain["_get_action"](self) if not admission or admission.call.protocol.startswith("rest-") else ""
        )
        return admission.call.operation if admission and admission.call.protocol != "rest-xml" else plain_action

    def setup(self: BaseResponse, request: Any, *args: Any, **kwargs: Any) -> None:
        plain["setup_class"](self, request, *args, **kwargs)
        admission = request.environ.get(_KEY)
        if admission and admission.call.protocol not in ("query", "ec2"):
            # moto would read a body, a form or headers as arguments, too.
            self.querystring = self.data = {name: [value] for name, value in admission.call.fields.items()}

    BaseResponse.get_region_from_url = region
    BaseResponse.get_access_key = access_key
    BaseResponse.get_current_account = account
    BaseResponse._get_action = action
    BaseResponse.setup_class = setup
    BackendRequest.want_form_data_parsed = property(_takes_a_form)


def _takes_a_form(request: BackendRequest) -> bool:
    admission = request.environ.get(_KEY)
    return bool(request.environ.get("CONTENT_TYPE")) and (not admission or admission.call.protocol in ("query", "ec2"))

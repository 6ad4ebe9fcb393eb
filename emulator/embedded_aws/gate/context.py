"""Global condition keys: those that every request has, whatever it calls."""

from __future__ import annotations

from datetime import UTC, datetime

from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal


def context_of(call: Call, principal: Principal) -> dict[str, tuple[str, ...]]:
    """Return the global condition keys, in lower case, but for those that the principal brings."""
    now = datetime.now(UTC)
    return {
        "aws:requestedregion": (call.region,),
        "aws:currenttime": (f"{now:%Y-%m-%dT%H:%M:%SZ}",),
        "aws:epochtime": (str(int(now.timestamp())),),
        # The endpoint on loopback stands for AWS's own, which speak TLS 1.2 or later and nothing else.
        "aws:securetransport": ("true",),
        "s3:tlsversion": ("1.3",),
        "aws:sourceip": ("127.0.0.1",),
        "aws:principalisawsservice": ("false",),
        "aws:viaawsservice": ("false",),
        "aws:useragent": (call.headers.get("user-agent", ""),),
        "kms:calleraccount": (principal.account,),
        **({"aws:referer": (call.headers["referer"],)} if "referer" in call.headers else {}),
    }

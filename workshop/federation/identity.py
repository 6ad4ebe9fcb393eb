"""Authentication of clients: which AWS account and role a connection belongs to, as STS says.

The client's side is ``client_code/identity.py``. No secret is handed out, and nothing that a client sends is believed
before STS has confirmed it.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

import boto3
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from client_code.identity import QUESTION

# What a client may have signed and we pass on; header values without line breaks.
PASSED_ON = ("authorization", "content-type", "x-amz-date", "x-amz-security-token")
BOUND = ("x-fl-nonce", "x-fl-federation", "x-fl-job")
LONGEST = 4096  # characters of one header; session tokens have less
TRIES = 3
_ROLE = re.compile(r"arn:[a-z-]+:sts::(?P<account>\d{12}):assumed-role/(?P<role>[\w+=,.@-]+)/[\w+=,.@-]+")


class IdentityError(Exception):
    """Why a proof is refused, in our own words; ``again`` if the same client may be believed later."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class Caller(NamedTuple):
    """Who STS says a client is, and for which training job it has signed."""

    account: str
    role: str
    job: str


class Verifier:
    """Check proofs with STS.

    Parameters
    ----------
    session : boto3.Session
        The server's; says which STS to ask. Its credentials are not used: STS believes the client's signature.
    federation : str
        Fingerprint of this federation's authority, which every proof must be made for.
    """

    def __init__(self, session: boto3.Session, federation: str) -> None:
        self.endpoint = session.client("sts").meta.endpoint_url.rstrip("/") + "/"
        self.federation = federation
        # As the session's own clients would ask: with a company's authority, through its proxy.
        bundle = session._session.get_config_variable("ca_bundle")
        self.http = URLLib3Session(verify=bundle or True, proxies=get_environ_proxies(self.endpoint), timeout=3)

    def caller(self, proof: Mapping[str, object], nonce: str) -> Caller:
        """Return who has signed.

        Parameters
        ----------
        proof : mapping
            Header values, by name; whatever the client has sent.
        nonce : str
            What this very connection was told to sign.

        Raises
        ------
        IdentityError
            If the proof is missing, made for something else, altered, expired or not confirmed by STS.
        """
        headers = {str(name).lower(): str(value) for name, value in proof.items()}
        headers = {name: headers[name] for name in (*PASSED_ON, *BOUND) if name in headers}
        if "authorization" not in headers or any(name not in headers for name in BOUND):
            raise IdentityError("it brings no proof of its account")
        if any(len(value) > LONGEST or not (value.isascii() and value.isprintable()) for value in headers.values()):
            raise IdentityError("its proof is malformed")
        signed = re.search(r"SignedHeaders=([a-z0-9;-]+)", headers["authorization"])
        if not signed or not {"host", "x-amz-date", *BOUND} <= set(signed[1].split(";")):
            raise IdentityError("its proof does not sign what it must")
        if not hmac.compare_digest(headers["x-fl-nonce"].encode(), nonce.encode()):
            raise IdentityError("its proof was made for another connection (replayed)")
        if not hmac.compare_digest(headers["x-fl-federation"].encode(), self.federation.encode()):
            raise IdentityError("its proof was made for another federation")
        match = _ROLE.fullmatch(self._arn(headers))
        if not match:
            raise IdentityError("its credentials are not those of a role")
        return Caller(match["account"], match["role"], headers["x-fl-job"])

    def _arn(self, headers: Mapping[str, str]) -> str:
        """Have STS execute the signed question; try again while STS itself is in trouble."""
        for attempt in range(1, TRIES + 1):
            try:
                request = AWSRequest("POST", self.endpoint, data=QUESTION, headers=dict(headers)).prepare()
                answer = self.http.send(request)
            except BotoCoreError:
                answer = None
            if answer is not None and answer.status_code == 200:
                arn = re.search(r"<Arn>([^<]+)</Arn>", answer.text)
                return arn[1] if arn else ""
            code = re.search(r"<Code>(\w+)</Code>", answer.text) if answer is not None else None
            if answer is not None and answer.status_code < 500 and (not code or "Throttl" not in code[1]):
                raise IdentityError(f"STS does not confirm its proof ({code[1] if code else answer.status_code})")
            if attempt < TRIES:
                time.sleep(0.3 * 2**attempt)
        raise IdentityError("STS does not answer, so nobody can be admitted", again=True)

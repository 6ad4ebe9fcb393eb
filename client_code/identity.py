"""Authentication by a signed STS request: prove account and role to the server without handing out a secret.

The job signs a question to STS, ``GetCallerIdentity``, with its own credentials; the server has STS answer it. The
signature covers the host, so it is worth nothing elsewhere, and what the server sent and expects, so it is worth
nothing a second time or to another federation.
Source: AWS, STS API reference, GetCallerIdentity; IAM user guide, "Signature Version 4 for API requests".
"""

from __future__ import annotations

import logging
import os
import time
from functools import cache

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import CredentialRetrievalError

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds after which credentials that did not come are asked for again
QUESTION = "Action=GetCallerIdentity&Version=2011-06-15"


class NoIdentity(Exception):
    """This process has no AWS credentials, or does not know its region."""


@cache
def own_session() -> botocore.session.Session:
    """Return the session with this process's credentials, if there are any to be had; it renews them by itself.

    In a container they come from an agent beside it, which may be starting or busy: botocore asks three times within
    some seconds, and fails. So it is asked again.

    Raises
    ------
    NoIdentity
        If they do not come.
    """
    for pause in (*PAUSES, None):
        session = botocore.session.get_session()
        try:
            session.get_credentials()
        except CredentialRetrievalError as error:
            if pause is None:
                raise NoIdentity("whoever hands out the role's credentials does not answer") from error
            logging.info("the role's credentials do not come: asking again in %.1f s", pause)
            time.sleep(pause)
        else:
            break
    return session


def sts_endpoint(region: str) -> str:
    """Return the address of STS in a region: the one that ``AWS_ENDPOINT_URL`` names, or AWS's own.

    Never one that a server told: whoever receives a signed question may ask it, and only there.
    """
    override = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return (override or f"https://sts.{region}.{suffix}").rstrip("/") + "/"


def prove(nonce: str, *, federation: str, job: str, session: botocore.session.Session | None = None) -> dict[str, str]:
    """Sign the question.

    Parameters
    ----------
    nonce : str
        What the server sent, for this connection alone.
    federation : str
        Fingerprint of the authority that this job trusts: another server cannot pass the answer on.
    job : str
        Name of this training job.
    session : botocore.session.Session, optional
        Whose credentials sign; by default those of :func:`own_session`.

    Returns
    -------
    dict of str
        The signed headers; STS's answer to a request with these is this job's account and role.

    Raises
    ------
    NoIdentity
        If there is nothing to sign with.
    """
    signer = session or own_session()
    credentials = signer.get_credentials()
    region = signer.get_config_variable("region") or os.environ.get("SAGEMAKER_REGION") or os.environ.get("AWS_REGION")
    if credentials is None:
        raise NoIdentity(
            "there are no AWS credentials here: a job needs its execution role, an agent's service account a role of "
            "its own (Pod Identity)"
        )
    if not region:
        raise NoIdentity("this job does not know its region: start it with the hyperparameter sagemaker_region")
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "X-Fl-Nonce": nonce,
        "X-Fl-Federation": federation,
        "X-Fl-Job": job,
    }
    request = AWSRequest("POST", sts_endpoint(region), data=QUESTION, headers=headers)
    SigV4Auth(credentials.get_frozen_credentials(), "sts", region).add_auth(request)
    return dict(request.headers.items())

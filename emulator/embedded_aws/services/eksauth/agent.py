"""The pod identity agent: tokens of pods, and the page at which their processes get credentials for them.

On a node of AWS the kubelet puts a service account's token, for the audience ``pods.eks.amazonaws.com``, into each pod,
and the agent at 169.254.170.23 passes it to the EKS Auth API. Here a token means a pod until the kubelet takes it back.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.wrappers import Response

from embedded_aws.services.eks import places, state
from embedded_aws.services.eks.state import Cluster
from embedded_aws.services.eksauth import sessions
from embedded_aws.services.eksauth.sessions import NoCredentials, Pod

PAGE = "/_embedded_aws/pod-identity/v1/credentials"
AUDIENCE = "pods.eks.amazonaws.com"
_tokens: dict[str, tuple[Cluster, Pod]] = {}
_lock = threading.Lock()


def issue_token(
    cluster: Cluster, namespace: str, service_account: str, pod_name: str, pod_uid: str, *, node: str = ""
) -> str:
    """Return a token with which a pod's processes get credentials; for the file that their environment names.

    Parameters
    ----------
    cluster : Cluster
        From ``services.eks.state.find``.
    node : str
        Name of the node on which the pod runs, whose role asks for the credentials.
    """
    subject = f"system:serviceaccount:{namespace}:{service_account}"
    parts = [{"alg": "RS256"}, {"aud": [AUDIENCE], "sub": subject}]
    # Of the form that EKS Auth asks for, a JWT's; nobody can guess the end.
    told = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    token = ".".join((*told, secrets.token_urlsafe(48)))
    with _lock:
        _tokens[token] = (cluster, Pod(namespace, service_account, pod_name, pod_uid, node))
    return token


def withdraw_token(token: str) -> None:
    """Forget a token; its pod has ended."""
    with _lock:
        _tokens.pop(token, None)


def environment(token_file: str) -> dict[str, str]:
    """Return the variables that EKS puts into the containers of a pod with an association."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{places.setting[0].endpoint}{PAGE}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file,
    }


def of_token(token: str) -> tuple[Cluster, Pod] | None:
    """Return whose token it is, as long as its cluster is there."""
    with _lock:
        found = _tokens.get(token)
    return found if found and found[0] in state.everything() else None


def credentials(
    cluster: Cluster, namespace: str, service_account: str, pod_name: str, pod_uid: str, *, node: str = ""
) -> dict[str, Any]:
    """Return temporary credentials of the role that a pod's service account is associated with.

    Raises
    ------
    NoCredentials
        If it gets none; says why.
    """
    with state.lock:
        return sessions.told(sessions.lend(cluster, Pod(namespace, service_account, pod_name, pod_uid, node)))


def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a pod's process; unsigned: what it shows is its token."""
    found = of_token(environ.get("HTTP_AUTHORIZATION", ""))
    if environ["REQUEST_METHOD"] != "GET":
        return _error(405, "MethodNotAllowed", "GET only")(environ, start_response)
    if found is None:
        return _error(400, "InvalidTokenException", "The token is none of a pod that runs")(environ, start_response)
    try:
        with state.lock:
            told = sessions.told(sessions.lend(*found))
    except NoCredentials as refused:
        status = 503 if refused.code == "ServiceUnavailableException" else 400
        return _error(status, refused.code, str(refused))(environ, start_response)
    return Response(json.dumps(told), content_type="application/json")(environ, start_response)


def _error(status: int, code: str, message: str) -> Response:
    return Response(json.dumps({"Code": code, "Message": message}), status, content_type="application/json")

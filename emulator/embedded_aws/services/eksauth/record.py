"""The service record of the EKS Auth API, whose one operation the pod identity agent calls for pods.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon EKS Auth"; EKS Auth API
reference, AssumeRoleForPodIdentity.
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.service import Service
from embedded_aws.services.eks.errors import EksError
from embedded_aws.services.eks.requests import Answer, Asked, application
from embedded_aws.services.eksauth import agent, sessions


def _asks(call: Call, caller: Principal) -> Iterator[Ask]:
    name = call.parameters.get("clusterName", "")
    yield Ask(call.action, f"arn:aws:eks:{call.region}:{caller.account}:cluster/{name}")


def _assume(asked: Asked) -> Answer:
    """AssumeRoleForPodIdentity."""
    found = agent.of_token(asked.p["token"])
    if found is None or (found[0].account, found[0].name) != (asked.account, asked.p["clusterName"]):
        raise EksError("InvalidTokenException", "The token is none of a pod that runs in this cluster")
    cluster, pod = found
    try:
        lent = sessions.lend(cluster, pod)
    except sessions.NoCredentials as refused:
        raise EksError(refused.code, str(refused)) from None
    session, association = lent.session, lent.association
    return {
        "subject": {"namespace": pod.namespace, "serviceAccount": pod.service_account},
        "audience": agent.AUDIENCE,
        "podIdentityAssociation": {name: association[name] for name in ("associationArn", "associationId")},
        "assumedRoleUser": {"arn": session.arn, "assumeRoleId": session.user_id},
        "credentials": {
            "accessKeyId": session.access_key_id, "secretAccessKey": session.secret_access_key,
            "sessionToken": session.session_token, "expiration": lent.expires,
        },
    }  # fmt: skip


EKS_AUTH = Service(
    name="eks-auth",
    asks=_asks,
    application=lambda: application("eks-auth", {"AssumeRoleForPodIdentity": _assume}),
)

"""What an API call asks permission for: actions, resources and condition keys, as the service says.

Source: AWS, Service authorization reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from embedded_aws.iam.calls import Call
from embedded_aws.iam.ec2_asks import ec2_asks
from embedded_aws.iam.iam_asks import iam_asks, sts_asks
from embedded_aws.iam.kms_asks import kms_asks
from embedded_aws.iam.policy import Ask
from embedded_aws.iam.principals import Principal
from embedded_aws.iam.roles_passed import passed_roles
from embedded_aws.iam.s3_asks import s3_asks
from embedded_aws.iam.sagemaker_asks import sagemaker_asks
from embedded_aws.iam.service_asks import cloudformation_asks, logs_asks, quota_asks, trail_asks

# Anybody who can sign may ask who he is; no policy takes that away.
FREE = {"sts:GetCallerIdentity"}
_ASKS: dict[str, Callable[[Call, Principal], Iterator[Ask]]] = {
    "cloudformation": cloudformation_asks,
    "cloudtrail": trail_asks,
    "ec2": ec2_asks,
    "iam": iam_asks,
    "kms": kms_asks,
    "logs": logs_asks,
    "s3": s3_asks,
    "sagemaker": sagemaker_asks,
    "servicequotas": quota_asks,
    "sts": sts_asks,
}
SERVICES = tuple(_ASKS)


def asks(call: Call, caller: Principal) -> list[Ask]:
    """Return every permission that a call needs; none for what is free.

    Parameters
    ----------
    call : Call
        From ``calls.decode``.
    caller : Principal
        Whose resources are meant where a name does not say.

    Raises
    ------
    CallError
        If the call means something that cannot be asked for.
    """
    if call.action in FREE:
        return []
    return [*_ASKS[call.service](call, caller), *passed_roles(call, caller.account)]

"""In front of every service call: who signed it, and do the policies allow it.

Source: AWS, IAM user guide, "Policy evaluation logic" and "Cross-account policy evaluation logic".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from embedded_aws.iam import (
    calls,
    documents,
    door,
    kms_states,
    names,
    principals,
    published,
    s3_access,
    signature,
    tags,
)
from embedded_aws.iam.asks import asks
from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.conditions import Context, PolicyError
from embedded_aws.iam.context import context_of
from embedded_aws.iam.handover import Admitted
from embedded_aws.iam.policy import Ask, Finding, Policy, Request, evaluate
from embedded_aws.iam.principals import Principal
from embedded_aws.iam.refusals import Refused
from embedded_aws.iam.resources import carried_out_in, owner_of, resource_policy, resources_own
from embedded_aws.iam.trail import Entry, Trail
from embedded_aws.models import session

Layers = Mapping[str, Sequence[Policy]]  # by kind of policy; each kind has to allow
IDENTITY, RESOURCE, ENDPOINT = "identity-based policy", "resource-based policy", "VPC endpoint policy"
BOUNDARY, SESSION = "permissions boundary", "session policy"
# How a resource policy of the same account names who asks -> the kinds of policies that need not allow it, too.
# Source: AWS, IAM user guide, "How AWS enforcement code logic evaluates requests", resource-based policies.
_SPARED = {"role": (IDENTITY,), "self": (IDENTITY, BOUNDARY, SESSION)}

REGIONS = frozenset(session().get_available_regions("ec2"))


@dataclass(frozen=True)
class Incoming:
    """An HTTP request as it came in; path and query as they were sent, headers by lower-case name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Decision:
    """Whether one thing is allowed; why not, in AWS's words; and the statement that decided or came closest."""

    allowed: bool
    why: str = ""
    statement: str = ""
    explicit: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A VPC endpoint that requests come through: its policy, and the condition keys that tell of it."""

    policy: Policy
    context: Context


class Gate:
    """Admits requests, and keeps a trail of what it decided.

    Parameters
    ----------
    way : callable
        ``way(access_key_id, service)`` returns the VPC endpoint through which a caller's requests come; None for who
        stands in no VPC. It raises :class:`Refused` where none of them would arrive.
    """

    def __init__(self, way: Callable[[str, str], Endpoint | None] = lambda *_: None) -> None:
        self.trail = Trail()
        self.way = way

    def admit(self, incoming: Incoming) -> Admitted:
        """Return the call that a request makes, and who made it, if they may.

        Raises
        ------
        Refused
            If it is not signed well, calls nothing that there is, or is denied.
        """
        signed, principal = authenticate(incoming)
        try:
            call = calls.decode(
                signed.service, signed.region, method=incoming.method, path=incoming.path, query=incoming.query,
                headers=incoming.headers, body=incoming.body,
            )  # fmt: skip
            door.check(call)
            asked = asks(call, principal)
            account = carried_out_in(call, asked, principal)
        except CallError as error:
            raise Refused(error.reason, str(error)) from None
        endpoint = None
        if names.comes_from_a_vpc(incoming.headers.get("host", "")):
            endpoint = self.way(signed.access_key_id, signed.service)
        context = context_of(call, principal) | (endpoint.context if endpoint else {})
        denied = set()

        def judge(ask: Ask) -> None:
            layers = layers_of(principal)
            if endpoint and ask.action.startswith(f"{call.service}:"):  # not what the service asks of other services
                layers[ENDPOINT] = [endpoint.policy]
            self._judge(call, principal, ask, context, layers)

        for ask in asked:
            try:
                judge(ask)
            except Refused:
                denied.add(ask.resource)
                # That call answers for every object; one that may delete none of them is refused as a whole.
                if call.action != "s3:DeleteObjects" or denied >= {one.resource for one in asked}:
                    raise
        for ask in s3_access.missing(call):
            judge(ask)
        try:
            calls.check(call)
            s3_access.check(call)
            documents.check(call, principal)
        except CallError as error:
            raise Refused(error.reason, str(error)) from None
        if call.service == "logs" and "kmsKeyId" in call.parameters:
            _check_key_of_logs(call, account)
        if call.service == "ec2" and call.parameters.get("DryRun"):
            raise Refused("dry run", "Request would have succeeded, but DryRun flag is set.")
        return Admitted(call, principal, signed, account, frozenset(denied))

    def _judge(self, call: Call, principal: Principal, ask: Ask, context: Context, layers: Layers) -> None:
        owner = owner_of(ask, principal.account)
        about = {"aws:resourceaccount": (owner,), **tags.of_resource(ask.resource)}
        told = {**context, **about, **principal.context, **ask.context}
        told = published.brought(ask.action, ask.resource, told)
        request = Request(
            principal.arn, principal.account, ask.action, ask.resource, told, principal.aliases,
            bounded=principal.boundary is not None,
        )  # fmt: skip
        # Foreign roles to pass are refused below; who chains roles needs leave for the source identity on both sides.
        own = (owner == principal.account or ask.action == "iam:PassRole") and ask.action != "sts:SetSourceIdentity"
        decision = decide(request, layers, resource_policy(request), own=own)
        if decision.allowed and s3_access.is_cut_off(request):
            decision = Decision(False, "because the bucket's policy is public and RestrictPublicBuckets is on")
        message = ""
        if not decision.allowed:
            message = f"User: {principal.arn} is not authorized to perform: {ask.action} on resource: {ask.resource}"
            message += f" {decision.why}" if decision.why else ""
        entry = Entry(
            account=principal.account, owner=owner, principal=principal.arn, region=call.region,
            service=call.service, operation=call.operation, action=ask.action, resource=ask.resource,
            allowed=decision.allowed, message=message, statement=decision.statement,
        )  # fmt: skip
        self.trail.add(entry)
        if not decision.allowed:
            raise Refused("denied", message)
        if owner != principal.account and ask.action == "iam:PassRole":
            raise Refused("validation", f"{ask.resource}: Cross-account pass role is not allowed.")
        if "kms:viaservice" in ask.context and (told := kms_states.complaint(ask.resource)):
            raise Refused("key", told[1], code=f"KMS.{told[0]}")


def authenticate(incoming: Incoming) -> tuple[signature.Signature, Principal]:
    """Return the signature of a request and who made it.

    Raises
    ------
    Refused
        If nobody did, the key is nobody's, or the request is not the one that was signed.
    """
    now = datetime.now(UTC)
    try:
        signed = signature.read(incoming.headers, incoming.query)
        if signed.region not in REGIONS:
            raise Refused("region", f"Credential should be scoped to a valid region, not {signed.region}.")
        principal = principals.find(signed.access_key_id)
        if principal is None or signed.token != principal.token:
            raise Refused("unknown key", "The security token included in the request is invalid.")
        _verify(incoming, signed, principal, now)
    except signature.SignatureError as error:
        raise Refused(error.kind, str(error)) from None
    if principal.expires and now > principal.expires:
        raise Refused("expired", "The security token included in the request is expired")
    return signed, principal


def _verify(incoming: Incoming, signed: signature.Signature, principal: Principal, now: datetime) -> None:
    first: signature.SignatureError | None = None
    for host in names.as_signed(incoming.headers.get("host", "")):
        try:
            signature.verify(
                signed, secret=principal.secret, method=incoming.method, path=incoming.path, query=incoming.query,
                headers={**incoming.headers, "host": host}, body=incoming.body, now=now,
            )  # fmt: skip
            return
        except signature.SignatureError as error:
            first = first or error
    raise first


def decide(
    request: Request,
    layers: Layers,
    resource: tuple[Policy | None, bool],
    *,
    own: bool,
) -> Decision:
    """Put together what all policies that matter say of one request.

    Parameters
    ----------
    layers : mapping
        Kind of policy -> policies; each kind has to allow the request.
    resource : tuple
        The policy of what is asked for, and whether it has to allow the request even in its own account.
    own : bool
        Whether what is asked for belongs to the account of who asks.
    """
    policy, required = resource
    try:
        found = {
            kind: evaluate(policies, request, resource_policy=kind == ENDPOINT) for kind, policies in layers.items()
        }
        guard = evaluate([policy], request, resource_policy=True) if policy else Finding(None)
    except PolicyError as error:
        return Decision(False, f"because the embedded AWS does not know what to make of {error}", str(error))
    for kind, finding in {**found, RESOURCE: guard}.items():
        if finding.effect == "Deny":
            article = "an" if kind == IDENTITY else "a"
            return Decision(False, f"with an explicit deny in {article} {kind}", finding.statement, explicit=True)
    if guard.effect != "Allow" and (required or not own):
        return _not_allowed(RESOURCE, request, guard)
    spared = _SPARED.get(guard.names, ()) if guard.effect == "Allow" and own else ()
    for kind, finding in found.items():
        if finding.effect != "Allow" and kind not in spared:
            return _not_allowed(kind, request, finding)
    return Decision(True, "", guard.statement if IDENTITY in spared else found[IDENTITY].statement)


def layers_of(principal: Principal) -> dict[str, Sequence[Policy]]:
    """Return the kinds of policies that have to allow whatever a principal asks for."""
    layers: dict[str, Sequence[Policy]] = {IDENTITY: principal.policies}
    if principal.boundary:
        layers[BOUNDARY] = [principal.boundary]
    if principal.session_policies:
        layers[SESSION] = principal.session_policies
    return layers


def _not_allowed(kind: str, request: Request, finding: Finding) -> Decision:
    # STS does not say which side refused.
    why = "" if request.action == "sts:AssumeRole" else f"because no {kind} allows the {request.action} action"
    return Decision(False, why, finding.statement)


def service_may_assume(service: str, role_arn: str, *, account: str, source_arn: str) -> Decision:
    """Decide whether a service may take a role on behalf of an account, as ``sagemaker.amazonaws.com`` for a job."""
    role = principals.find_role(role_arn)
    if role is None:
        return Decision(False, "the role does not exist")
    context = {
        "aws:sourceaccount": (account,),
        "aws:sourcearn": (source_arn,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (service,),
    }
    request = Request(service, "", "sts:AssumeRole", role_arn, context)
    trust = resources_own(f"trust policy of {role.name}", role.assume_role_policy_document)
    try:
        finding = evaluate([trust], request, resource_policy=True)
    except PolicyError as error:
        return Decision(False, str(error))
    return Decision(finding.effect == "Allow", finding.statement, finding.statement)


_USED_BY_LOGS = ("GenerateDataKey", "Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo")


def _check_key_of_logs(call: Call, account: str) -> None:
    """Refuse a key that CloudWatch Logs could not encrypt a log group with; it asks in its own name.

    AWS's page lists five groups of actions for the key's policy, and does not say which the service tries at once: all
    that carry the encryption context are tried here.
    Source: AWS, CloudWatch Logs user guide, "Encrypt log data in CloudWatch Logs using AWS KMS".
    """
    key, group = call.parameters["kmsKeyId"], f"log-group:{call.parameters.get('logGroupName')}"
    arn = f"arn:aws:logs:{call.region}:{account}:{group}"
    context = {
        "aws:sourceaccount": (account,),
        "aws:sourcearn": (arn,),
        "aws:principalisawsservice": ("true",),
        "kms:encryptioncontext:aws:logs:arn": (arn,),
    }

    def refused(action: str) -> tuple[str, ...]:
        request = Request(f"logs.{call.region}.amazonaws.com", "", action, key, context)
        decision = decide(request, {}, (resource_policy(request)[0], True), own=True)
        return () if decision.allowed else (decision.why, decision.statement)

    answers = (refused(f"kms:{action}") for action in _USED_BY_LOGS)
    if told := kms_states.complaint(key) or next(filter(None, answers), ()):
        why = ", ".join(filter(None, told))
        message = f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}' ({why})"
        raise Refused("validation", message, code="InvalidParameterException")


def role_may(role_arn: str, action: str, resource: str) -> Decision:
    """Decide whether a role that a service uses may do something in its own account."""
    policies, boundary, context = principals.of_role(role_arn)
    layers: dict[str, Sequence[Policy]] = {IDENTITY: policies}
    if boundary:
        layers[BOUNDARY] = [boundary]
    request = Request(role_arn, role_arn.split(":")[4], action, resource, context)
    return decide(request, layers, (None, False), own=True)

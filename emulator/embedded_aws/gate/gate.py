"""Request admission: authentication and authorization in front of every call, and a trail of the decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from embedded_aws import models, names, service
from embedded_aws.gate import calls, documents, door, principals, signature, tags
from embedded_aws.gate.asks import asks
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.context import context_of
from embedded_aws.gate.handover import Admitted
from embedded_aws.gate.organization import control_policies
from embedded_aws.gate.principals import Principal
from embedded_aws.gate.refusals import Refused
from embedded_aws.gate.resources import carried_out_in, owner_of, resource_policy
from embedded_aws.gate.trail import Entry, Trail
from embedded_aws.policies import published
from embedded_aws.policies.conditions import Context
from embedded_aws.policies.decisions import (
    BOUNDARY,
    CONTROL,
    ENDPOINT,
    IDENTITY,
    SESSION,
    Decision,
    Layers,
    decide,
)
from embedded_aws.policies.policy import Ask, Policy, Request


@dataclass(frozen=True)
class Incoming:
    """An HTTP request as it came in; path and query as they were sent, headers by lower-case name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


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
            endpoint = self.way(signed.access_key_id, call.service)
        context = context_of(call, principal) | (endpoint.context if endpoint else {})
        denied = set()

        def judge(ask: Ask) -> None:
            layers = layers_of(principal)
            if endpoint and ask.action.startswith(f"{call.prefix}:"):  # not what the service asks of other services
                layers[ENDPOINT] = [endpoint.policy]
            self._judge(call, principal, ask, context, layers)

        called = service.served()[call.service]
        for ask in asked:
            try:
                judge(ask)
            except Refused:
                denied.add(ask.resource)
                # That call answers for every object; one that may delete none of them is refused as a whole.
                if call.operation not in called.may_delete_some or denied >= {other.resource for other in asked}:
                    raise
        for ask in called.also_asks(call):
            judge(ask)
        try:
            calls.check(call)
            called.check(call, principal)
            documents.check(call, principal)
        except CallError as error:
            raise Refused(error.reason, str(error)) from None
        if call.parameters.get(called.dry_run):
            raise Refused("dry run", f"Request would have succeeded, but {called.dry_run} flag is set.")
        return Admitted(call, principal, signed, account, frozenset(denied))

    def _judge(self, call: Call, principal: Principal, ask: Ask, context: Context, layers: Layers) -> None:
        owner = owner_of(ask, principal.account)
        about = {"aws:resourceaccount": (owner,), **tags.of_resource(ask.resource)}
        request_context = {**context, **about, **principal.context, **ask.context}
        request_context = published.brought(ask.action, ask.resource, request_context)
        request = Request(
            principal.arn, principal.account, ask.action, ask.resource, request_context, principal.aliases,
            bounded=principal.boundary is not None,
        )  # fmt: skip
        # Foreign roles to pass are refused below; who chains roles needs leave for the source identity on both sides.
        own = (owner == principal.account or ask.action == "iam:PassRole") and ask.action != "sts:SetSourceIdentity"
        decision = decide(request, layers, resource_policy(request), own=own)
        asked_of = service.served()[ask.action.partition(":")[0]]
        if decision.allowed and (why := asked_of.cut_off(request)):
            decision = Decision(False, why)
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
        if "aws:viaawsservice" in ask.context and (complaint := asked_of.complaint(ask.resource)):
            raise Refused("key", complaint[1], code=f"{asked_of.name.upper()}.{complaint[0]}")


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    return models.regions()


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
        if signed.region not in _regions():
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


def layers_of(principal: Principal) -> dict[str, Sequence[Policy]]:
    """Return the kinds of policies that have to allow whatever a principal asks for."""
    layers: dict[str, Sequence[Policy]] = {IDENTITY: principal.policies}
    if principal.boundary:
        layers[BOUNDARY] = [principal.boundary]
    if principal.session_policies:
        layers[SESSION] = principal.session_policies
    if controls := control_policies():
        layers[CONTROL] = controls
    return layers

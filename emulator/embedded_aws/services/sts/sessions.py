"""STS sessions: temporary credentials that know which role lent them, when, and with which session policies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import moto.sts.urls
from moto.core.responses import ActionResult
from moto.sts.exceptions import STSValidationError
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from moto.sts.responses import TokenResponse

from embedded_aws.gate import principals
from embedded_aws.policies.policy import Policy
from embedded_aws.service import Setting

CHAINED_SECONDS = 3600  # AWS: a role taken by a role's session is good for an hour at most


class Sessions(STSBackend):
    """moto's STS of one account; a session knows which role it was lent by, when, and what it was given."""

    @property
    def _url_module(self) -> Any:
        return moto.sts.urls

    def assume_role(self, *args: Any, **kwargs: Any) -> AssumedRole:
        """Make a session."""
        session = super().assume_role(*args, **kwargs)
        role = principals.find_role(session.role_arn)
        session.role_id, session.issued = role.id if role else "", datetime.now(UTC)
        inline = [Policy.of("session policy", session.policy)] if session.policy else []
        session.policies, session.tags, session.source_identity = tuple(inline), [], ""
        return session


class RoleTokens(TokenResponse):
    """moto's STS; who may take which role was decided at the gate, for how long is decided here."""

    def assume_role(self) -> ActionResult:
        """AssumeRole; the credentials belong to the role's account."""
        role = principals.find_role(self._get_param("RoleArn"))
        duration = int(self._get_param("DurationSeconds", 3600))
        longest = int(role.max_session_duration or 3600)
        caller = principals.find(self.get_access_key())
        if caller and caller.role and duration > CHAINED_SECONDS:
            raise STSValidationError(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
            )
        if duration > longest:
            raise STSValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        narrowing = [
            self._policy(policy["arn"], role.arn.split(":")[4]) for policy in self._get_param("PolicyArns") or []
        ]
        lent = super().assume_role()
        session: AssumedRole = lent.result["Credentials"]
        session.policies += tuple(narrowing)
        session.tags = list(self._get_param("Tags") or [])
        # Who somebody is stays with them, from session to session.
        (inherited,) = caller.context.get("aws:sourceidentity", ("",)) if caller else ("",)
        session.source_identity = inherited or self._get_param("SourceIdentity") or ""
        return lent

    @staticmethod
    def _policy(arn: str, account: str) -> Policy:
        policy = principals.managed_policy(arn, account)
        if policy is None:
            raise STSValidationError(f"Policy {arn} does not exist in account {account}")
        return policy


def install(_: Setting) -> None:
    """Put these in the place of moto's; before the first request."""
    sts_backends.backend = Sessions
    moto.sts.urls.url_paths = {"{0}/$": RoleTokens.dispatch}

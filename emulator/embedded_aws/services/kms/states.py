"""KMS backend, moto's corrected: keys named by their ARN, disabled, or about to be deleted."""

from __future__ import annotations

from typing import Any

import moto.kms.urls
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import NotFoundException, ValidationException
from moto.kms.models import KmsBackend, kms_backends
from moto.kms.responses import KmsResponse

from embedded_aws.service import Setting
from embedded_aws.services.kms.asks import find


class Keys(KmsBackend):
    """moto's KMS of one account and region, which would look for an ARN among its ids, and use a key in any state."""

    @property
    def _url_module(self) -> Any:
        return moto.kms.urls

    def disable_key(self, key_id: str) -> None:
        """DisableKey."""
        self._turnable(key_id)
        super().disable_key(self.get_key_id(key_id))

    def enable_key(self, key_id: str) -> None:
        """EnableKey."""
        self._turnable(key_id)
        super().enable_key(self.get_key_id(key_id))

    def cancel_key_deletion(self, key_id: str) -> None:
        """CancelKeyDeletion."""
        super().cancel_key_deletion(self.get_key_id(key_id))

    def schedule_key_deletion(self, key_id: str, pending_window_in_days: int) -> float:
        """ScheduleKeyDeletion."""
        self._turnable(key_id)
        if not 7 <= pending_window_in_days <= 30:
            raise ValidationException("PendingWindowInDays must be between 7 and 30")
        return super().schedule_key_deletion(self.get_key_id(key_id), pending_window_in_days)

    def encrypt(self, key_id: str, *args: Any, **kwargs: Any) -> tuple[bytes, str]:
        """Encrypt, and what makes data keys."""
        self._usable(key_id)
        return super().encrypt(key_id, *args, **kwargs)

    def decrypt(self, *args: Any, **kwargs: Any) -> tuple[bytes, str]:
        """Decrypt."""
        plaintext, arn = super().decrypt(*args, **kwargs)
        self._usable(arn)
        return plaintext, arn

    def _usable(self, key_id: str) -> None:
        key = self.keys.get(self.any_id_to_key_id(key_id))
        if key is None:
            raise NotFoundException(f"Key '{key_id}' does not exist")
        if error := _unusable(key.key_state, key.arn):
            raise JsonRESTError(*error)

    def _turnable(self, key_id: str) -> None:
        key = self.keys[self.get_key_id(key_id)]
        if key.key_state == "PendingDeletion":
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")


class KeyRequests(KmsResponse):
    """moto's KMS requests; a key has one policy, whose name may be left out."""

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        return super()._get_param(param_name, "default" if param_name == "PolicyName" else if_none)


def _unusable(state: str, arn: str) -> tuple[str, str] | None:
    if state == "Disabled":
        return "DisabledException", f"{arn} is disabled."
    return None if state == "Enabled" else ("KMSInvalidStateException", f"{arn} is pending deletion.")


def complaint(arn: str) -> tuple[str, str] | None:
    """Return code and words why a service cannot use a key for a caller; None if it can."""
    key = find(arn)
    return _unusable(key.key_state, arn) if key else ("NotFoundException", f"Key '{arn}' does not exist")


def install(_: Setting) -> None:
    """Put these in the place of moto's; before the first request."""
    kms_backends.backend = Keys
    moto.kms.urls.url_paths = {"{0}/$": KeyRequests.dispatch}

"""The use cases of TOTP: set it up, remove it, and verify the code of a log-in."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import structlog

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.auth.recency import RECENT, require_recent_log_in
from chassis.auth.secret_keys import UnknownKeyError
from chassis.errors import FieldError
from users.accounts.repository import AccountRepository
from users.security_events.service import Factor, FactorChange, SecurityEvents
from users.totp.errors import (
    TotpAlreadyOn,
    TotpNotPending,
    TotpNotSetUp,
    TotpUnavailable,
    WrongTotpCode,
)
from users.totp.models import (
    PENDING_FOR,
    SecretKeys,
    Totp,
    is_code,
    matching_step,
    new_recovery_codes,
    new_secret,
    normalised,
    provisioning_uri,
    recovery_hash,
    secret_text,
)
from users.totp.repository import Removed, TotpRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunSetup:
    """A secret that is not confirmed yet, in two forms."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpStatus:
    """Whether TOTP is on, and the number of unused recovery codes."""

    enabled: bool
    recovery_codes_left: int


class Accepted(StrEnum):
    """What was accepted as the second factor of a log-in."""

    CODE = "code"
    RECOVERY_CODE = "recovery_code"


class TotpService:
    """The use cases of an account's owner on TOTP, within one transaction.

    Args:
        totp: the transaction's repository.
        accounts: the transaction's accounts.
        audit: the transaction's audit log.
        events: publishes changes in the transaction.
        keys: encrypt the secrets; None if the settings hold none.
        issuer: the name that authenticator apps show.
    """

    def __init__(
        self,
        *,
        totp: TotpRepository,
        accounts: AccountRepository,
        audit: AuditLog,
        events: SecurityEvents,
        keys: SecretKeys | None,
        issuer: str,
    ) -> None:
        self._totp = totp
        self._accounts = accounts
        self._audit = audit
        self._events = events
        self._keys = keys
        self._issuer = issuer

    async def begin(self, owner: Actor) -> BegunSetup:
        """Store a new secret, and return it. Log-ins need no code until the secret is confirmed.

        Raises:
            AccountNotFound: the account was deleted.
            EmailNotVerified: the account's address is not verified.
            ReauthenticationNeeded: the log-in is older than RECENT.
            TotpAlreadyOn: TOTP is on.
            TotpUnavailable: the settings hold no key.
        """
        user_id = require_recent_log_in(owner)
        if self._keys is None:
            message = "This system has no TOTP_KEYS. Ask its operator to set them."
            raise TotpUnavailable(message)
        # The lock keeps the account from being deleted before this transaction ends.
        account = await self._accounts.lock_verified_person(owner)
        secret = new_secret()
        sealed = self._keys.seal(secret, owner=user_id)
        if not await self._totp.begin(user_id, secret=sealed):
            message = "TOTP is on for this account. Remove it first: send DELETE to the same path."
            raise TotpAlreadyOn(message)
        return BegunSetup(
            secret=secret_text(secret),
            uri=provisioning_uri(secret, email=account.email, issuer=self._issuer),
        )

    async def confirm(self, owner: Actor, code: str) -> list[str]:
        """Turn TOTP on, and return the recovery codes.

        The log-in may be as old as the setup can be: a person needs some minutes for the app.

        Raises:
            AccountNotFound: the account was deleted.
            EmailNotVerified: the account's address is not verified.
            ReauthenticationNeeded: the log-in is older than RECENT and PENDING_FOR together.
            TotpNotPending: there is nothing to confirm.
            TotpUnavailable: the settings do not hold the secret's key.
            WrongTotpCode: the code does not fit the secret.
        """
        account = await self._accounts.lock_verified_person(owner, within=RECENT + PENDING_FOR)
        pending = await self._totp.lock_pending(account.id)
        if pending is None:
            message = "There is no setup of TOTP to confirm, or it has expired. Begin a new one."
            raise TotpNotPending(message)
        secret = _unsealed(pending, self._keys)
        step = matching_step(secret, normalised(code), now=time.time(), after=None)
        if step is None:
            message = "The code does not fit the secret. Check the clock of the app's device."
            raise WrongTotpCode(message, errors=[FieldError(detail=message, pointer="#/code")])
        codes = new_recovery_codes()
        await self._totp.confirm(account.id, step=step, recovery_codes=_hashes(codes))
        self._audit.append("totp.enabled", actor=owner, subject=f"user:{account.id}")
        await self._events.second_factor_changed(account, Factor.TOTP, FactorChange.ADDED)
        return codes

    async def replace_recovery_codes(self, owner: Actor) -> list[str]:
        """Replace the recovery codes, used or not, and return the new ones.

        Raises:
            ReauthenticationNeeded: the log-in is older than RECENT.
            TotpNotSetUp: TOTP is not on.
        """
        account = await self._accounts.lock_person(owner)
        codes = new_recovery_codes()
        if not await self._totp.replace_recovery_codes(account.id, _hashes(codes)):
            message = "TOTP is not on for this account, so it has no recovery codes. Set it up."
            raise TotpNotSetUp(message)
        self._audit.append(
            "totp.recovery_codes_replaced", actor=owner, subject=f"user:{account.id}"
        )
        await self._events.second_factor_changed(
            account, Factor.RECOVERY_CODES, FactorChange.REPLACED
        )
        return codes

    async def remove(self, owner: Actor) -> None:
        """Remove TOTP, on or only begun.

        Raises:
            ReauthenticationNeeded: the log-in is older than RECENT.
            TotpNotSetUp: there is none.
        """
        account = await self._accounts.lock_person(owner)
        removed = await self._totp.delete(account.id)
        if removed is None:
            message = "TOTP is not set up for this account, so there is nothing to remove."
            raise TotpNotSetUp(message)
        self._audit.append("totp.removed", actor=owner, subject=f"user:{account.id}")
        if removed is Removed.ON:
            await self._events.second_factor_changed(account, Factor.TOTP, FactorChange.REMOVED)

    async def status(self, user_id: UUID) -> TotpStatus:
        """Return whether TOTP is on for an account."""
        found = await self._totp.find_confirmed(user_id)
        if found is None:
            return TotpStatus(enabled=False, recovery_codes_left=0)
        return TotpStatus(enabled=True, recovery_codes_left=len(found.recovery_codes))


class TotpVerifier:
    """Verifies the second factor of log-ins, within one transaction.

    Args:
        totp: the transaction's repository.
        keys: decrypt the secrets; None if the settings hold none.
    """

    def __init__(self, *, totp: TotpRepository, keys: SecretKeys | None) -> None:
        self._totp = totp
        self._keys = keys

    async def is_on(self, user_id: UUID) -> bool:
        """Return whether a log-in to the account with a password needs a second factor."""
        return await self._totp.find_confirmed(user_id) is not None

    async def accept(self, user_id: UUID, given: str) -> Accepted | None:
        """Use up a code or a recovery code of an account whose TOTP is on.

        Returns:
            What was accepted; None if `given` is wrong or was accepted before.

        Raises:
            TotpUnavailable: `given` is a code, and the settings do not hold the secret's key.
        """
        text = normalised(given)
        if is_code(text):
            return Accepted.CODE if await self._accept_code(user_id, text) else None
        left = await self._totp.use_recovery_code(user_id, recovery_hash(text))
        return None if left is None else Accepted.RECOVERY_CODE

    async def _accept_code(self, user_id: UUID, code: str) -> bool:
        totp = await self._totp.find_confirmed(user_id)
        if totp is None:
            return False
        secret = _unsealed(totp, self._keys)
        step = matching_step(secret, code, now=time.time(), after=totp.last_step)
        if step is None or self._keys is None:
            return False
        # Encrypted again, so that an old key can be removed from the settings some time.
        sealed = self._keys.seal(secret, owner=user_id)
        return await self._totp.use_step(user_id, step, secret=sealed)


def _hashes(codes: Sequence[str]) -> list[bytes]:
    return [recovery_hash(code) for code in codes]


def _unsealed(totp: Totp, keys: SecretKeys | None) -> bytes:
    try:
        return (keys or SecretKeys([])).unseal(totp.secret, owner=totp.user_id)
    except UnknownKeyError as error:
        log.exception("totp secret unreadable", user_id=str(totp.user_id))
        message = (
            "Codes of authenticator apps can't be verified at present. Use a recovery code, or "
            "ask support."
        )
        raise TotpUnavailable(message) from error

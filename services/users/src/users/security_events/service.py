"""The use case of security events: publish a change that an account's owner must be told of."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from chassis.messaging import Outbox
from contracts.users import UserApiKeyCreated, UserPasswordChanged, UserSecondFactorChanged
from users.accounts.models import Account
from users.accounts.repository import AccountRepository


class PasswordMethod(StrEnum):
    """What allowed a user to replace the password."""

    CHANGE = "change"
    RESET = "reset"


class Factor(StrEnum):
    """A second factor of an account."""

    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY_CODES = "recovery_codes"


class FactorChange(StrEnum):
    """What happened to a second factor."""

    ADDED = "added"
    REMOVED = "removed"
    REPLACED = "replaced"


class SecurityEvents:
    """Publishes security events of accounts, within one transaction (ADR 45).

    Each event raises the account's version by one. So the account's row must be locked.

    Args:
        accounts: the transaction's accounts.
        outbox: the transaction's outbox.
    """

    def __init__(self, *, accounts: AccountRepository, outbox: Outbox) -> None:
        self._accounts = accounts
        self._outbox = outbox

    async def change_password(
        self, account: Account, new_hash: str, *, method: PasswordMethod
    ) -> None:
        """Store the hash of a new password of a locked account, and publish the change."""
        changed = await self._accounts.change(account, password_hash=new_hash)
        self._outbox.add(
            UserPasswordChanged(
                version=changed.version,
                user_id=changed.id,
                method=method,
                changed_at=datetime.now(UTC),
            )
        )

    async def second_factor_changed(
        self, account: Account, factor: Factor, change: FactorChange
    ) -> None:
        """Publish that a second factor of a locked account was added, removed or replaced."""
        changed = await self._accounts.change(account)
        self._outbox.add(
            UserSecondFactorChanged(
                version=changed.version,
                user_id=changed.id,
                factor=factor,
                change=change,
                changed_at=datetime.now(UTC),
            )
        )

    async def api_key_created(
        self, account: Account, api_key_id: UUID, *, expires_at: datetime
    ) -> None:
        """Publish that a locked account has a new API key."""
        changed = await self._accounts.change(account)
        self._outbox.add(
            UserApiKeyCreated(
                version=changed.version,
                user_id=changed.id,
                api_key_id=api_key_id,
                expires_at=expires_at,
                created_at=datetime.now(UTC),
            )
        )

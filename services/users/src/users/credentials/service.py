"""The use case that ends credentials of an account."""

from collections.abc import Collection
from uuid import UUID

from chassis.database.unit import Unit
from users.accounts.models import Occasion
from users.api_keys.service import ApiKeyRevoker
from users.credentials.models import ENDINGS, Keys
from users.passkeys.repository import PasskeyRepository
from users.security_events.service import Factor
from users.sessions.service import SessionRevoker
from users.totp.repository import Removed, TotpRepository


class CredentialEnder:
    """Ends credentials of an account and publishes it, within one transaction.

    Args:
        unit: the transaction.
        sessions: ends sessions in the transaction.
        keys: revokes API keys in the transaction.
        passkeys: the transaction's passkeys.
        totp: the transaction's TOTP secrets.
    """

    def __init__(
        self,
        *,
        unit: Unit,
        sessions: SessionRevoker,
        keys: ApiKeyRevoker,
        passkeys: PasskeyRepository,
        totp: TotpRepository,
    ) -> None:
        self._unit = unit
        self._sessions = sessions
        self._keys = keys
        self._passkeys = passkeys
        self._totp = totp

    async def end(
        self, user_id: UUID, occasion: Occasion, *, but: UUID | None = None
    ) -> Collection[Factor]:
        """End the credentials of an account that ``ENDINGS`` names for the occasion.

        The account's row must be locked, so that no session is opened and no key is created. If the
        account is deleted, call this before: the deletion removes the rows.

        Args:
            user_id: the account.
            occasion: what happens to it.
            but: the session of the request, which stays if the occasion keeps it.

        Returns:
            The factors that were removed; none if the account had none, or they stay.
        """
        ending = ENDINGS[occasion]
        await self._sessions.revoke_all(user_id, but=but if ending.keep_own_session else None)
        if ending.keys is Keys.ALL:
            await self._keys.revoke_all(user_id)
        elif ending.keys is Keys.UNENTITLED:
            # It depends on the account as it is at the commit. The use case may still change it.
            self._unit.before_commit(lambda _: self._keys.revoke_unentitled(user_id))
        return await self._remove_factors(user_id) if ending.factors else ()

    async def _remove_factors(self, user_id: UUID) -> Collection[Factor]:
        removed = {
            Factor.PASSKEY: await self._passkeys.delete_all(user_id) > 0,
            Factor.TOTP: await self._totp.delete(user_id) is Removed.ON,
        }
        return [factor for factor, had in removed.items() if had]

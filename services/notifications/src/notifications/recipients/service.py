"""Use cases of recipients: keep up with what the users service announces."""

from uuid import UUID

from notifications.recipients.repository import RecipientRepository


class RecipientService:
    """Recipients in one transaction.

    Args:
        recipients: their repository.
    """

    def __init__(self, *, recipients: RecipientRepository) -> None:
        self._recipients = recipients

    async def registered(self, user_id: UUID, *, email: str, full_name: str, version: int) -> None:
        """Take in a new account."""
        await self._recipients.upsert(user_id, version=version, email=email, full_name=full_name)

    async def profile_updated(self, user_id: UUID, *, full_name: str, version: int) -> None:
        """Take in a user's changed data."""
        await self._recipients.upsert(user_id, version=version, full_name=full_name)

    async def learn(self, user_id: UUID, *, email: str, full_name: str, version: int) -> None:
        """Take in all of a user at `version`."""
        await self._recipients.upsert(
            user_id, version=version, whole=True, email=email, full_name=full_name
        )

"""Use cases of recipients: store what the events of the users service say."""

from uuid import UUID

from chassis.jobs import Jobs
from notifications.feed.service import Feed
from notifications.preferences.service import PreferenceService
from notifications.recipients.models import EraseUserData
from notifications.recipients.repository import RecipientRepository


class RecipientService:
    """Recipients in one transaction.

    Args:
        recipients: their repository.
        feed: closes the feed of a deleted account.
        preferences: erases its preferences.
        jobs: enqueues the erasure of its data.
    """

    def __init__(
        self,
        *,
        recipients: RecipientRepository,
        feed: Feed,
        preferences: PreferenceService,
        jobs: Jobs,
    ) -> None:
        self._recipients = recipients
        self._feed = feed
        self._preferences = preferences
        self._jobs = jobs

    async def registered(self, user_id: UUID, *, email: str, full_name: str, version: int) -> None:
        """Store a new account."""
        await self._recipients.upsert(user_id, version=version, email=email, full_name=full_name)

    async def profile_updated(self, user_id: UUID, *, full_name: str, version: int) -> None:
        """Store a user's changed name."""
        await self._recipients.upsert(user_id, version=version, full_name=full_name)

    async def learn(self, user_id: UUID, *, email: str, full_name: str, version: int) -> None:
        """Store all data of a user at `version`."""
        await self._recipients.upsert(
            user_id, version=version, whole=True, email=email, full_name=full_name
        )

    async def deleted(self, user_id: UUID, *, version: int) -> None:
        """Erase what is known of a deleted account, close its feed, and have the rest erased.

        From the commit on, no notification is written for the user. So the job that deletes the
        existing ones, page by page, leaves none.
        """
        erased = await self._recipients.upsert(user_id, version=version, email=None, full_name="")
        if erased:
            await self._feed.close(user_id)
            await self._preferences.close(user_id)
            await self._jobs.enqueue(EraseUserData(user_id=user_id))

    async def email_changed(self, user_id: UUID, *, email: str, version: int) -> None:
        """Store a user's new address, even if nothing else is known of the user."""
        await self._recipients.change_email(user_id, email=email, version=version)

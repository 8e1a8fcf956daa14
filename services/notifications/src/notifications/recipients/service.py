"""Use cases of recipients: store what the events of the users service say."""

from datetime import datetime
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

    async def registered(
        self, user_id: UUID, *, email: str, full_name: str, version: int, at: datetime
    ) -> None:
        """Store a new account, which was registered `at` a time."""
        await self._recipients.upsert(
            user_id, version=version, email=email, full_name=full_name, joined_at=at
        )

    async def email_was_verified(self, user_id: UUID, *, email: str, version: int) -> None:
        """Store that mails to an address arrive."""
        await self._recipients.upsert(
            user_id, version=version, email=email, email_verified=True, email_refused_at=None
        )

    async def profile_updated(self, user_id: UUID, *, full_name: str, version: int) -> None:
        """Store a user's changed name."""
        await self._recipients.upsert(user_id, version=version, full_name=full_name)

    async def activity_changed(self, user_id: UUID, *, is_active: bool, version: int) -> None:
        """Store whether a user's account can be used."""
        await self._recipients.upsert(user_id, version=version, is_active=is_active)

    async def learn(
        self,
        user_id: UUID,
        *,
        email: str,
        email_verified: bool,
        full_name: str,
        is_active: bool,
        version: int,
    ) -> None:
        """Store all data of a user at `version`."""
        await self._recipients.upsert(
            user_id,
            version=version,
            whole=True,
            email=email,
            email_verified=email_verified,
            full_name=full_name,
            is_active=is_active,
        )

    async def deleted(self, user_id: UUID, *, version: int) -> None:
        """Erase what is known of a deleted account, close its feed, and have the rest erased.

        From the commit on, no notification is written for the user. So the job that deletes the
        existing ones, page by page, leaves none.
        """
        erased = await self._recipients.upsert(
            user_id, version=version, email=None, email_verified=False, full_name=""
        )
        if erased:
            await self._feed.close(user_id)
            await self._preferences.close(user_id)
            await self._jobs.enqueue(EraseUserData(user_id=user_id))

    async def email_changed(self, user_id: UUID, *, email: str, version: int) -> None:
        """Store a user's new address, even if nothing else is known of the user."""
        await self._recipients.change_email(user_id, email=email, version=version)

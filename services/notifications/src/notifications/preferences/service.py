"""Use cases of preferences: read them, replace them, and erase those of a deleted account."""

from collections.abc import Iterable
from uuid import UUID

from chassis.errors import FieldError
from chassis.versions import Expected
from notifications.feed.errors import AccountDeleted
from notifications.kinds.models import Channel
from notifications.preferences.errors import SecurityNotificationsRequired
from notifications.preferences.models import REQUIRED, Preferences, StoredPreferences
from notifications.preferences.repository import PreferenceRepository


class PreferenceService:
    """The preferences of users in one transaction.

    Args:
        preferences: their repository.
    """

    def __init__(self, *, preferences: PreferenceRepository) -> None:
        self._preferences = preferences

    async def get(self, user_id: UUID) -> StoredPreferences:
        """Return a user's preferences."""
        return await self._preferences.find(user_id)

    async def replace(
        self, user_id: UUID, wanted: Preferences, *, expected: Iterable[Expected]
    ) -> StoredPreferences:
        """Store a user's preferences and return them. What is no change keeps the version.

        Notifications that are written after the commit follow them. One that is written at the same
        time follows either the new or the old ones, on all of its channels.

        Raises:
            SecurityNotificationsRequired: `wanted` switches a channel of security off.
            PreconditionFailed: one of `expected` does not accept their version.
            AccountDeleted: the user was deleted.
        """
        _check(wanted)
        stored = await self._preferences.lock(user_id)
        if stored.is_closed:
            message = "The account was deleted, so it has no preferences. Log in with another one."
            raise AccountDeleted(message)
        for each in expected:
            each.check(stored.version)
        if stored.preferences == wanted:
            return stored
        return await self._preferences.store(user_id, wanted)

    async def close(self, user_id: UUID) -> None:
        """Erase the preferences of a deleted account; see ``PreferenceRepository.close``."""
        await self._preferences.close(user_id)


def _check(wanted: Preferences) -> None:
    off = [channel for channel in Channel if not wanted.has(REQUIRED, channel)]
    if off:
        message = (
            f"Security notifications can't be switched off: {', '.join(off)}. They warn you of "
            "what somebody else may have done to your account. Leave them on."
        )
        raise SecurityNotificationsRequired(
            message,
            errors=[
                FieldError(pointer=f"#/{REQUIRED}/{channel}", detail="must be true")
                for channel in off
            ],
        )

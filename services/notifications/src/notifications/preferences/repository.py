"""All SQL on preferences."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any
from uuid import UUID

from asyncpg import Record

from chassis.database.unit import Unit
from notifications.preferences.models import (
    Preferences,
    StoredPreferences,
    muted_of,
    names_of,
)

WANTED = """
    wanted AS (
        SELECT draft.*, CASE WHEN preferences.muted IS NULL THEN draft.channels ELSE ARRAY(
            SELECT channel FROM unnest(draft.channels) AS channel
            WHERE draft.category || '.' || channel <> ALL (preferences.muted)
        ) END AS wanted
        FROM draft LEFT JOIN preferences USING (user_id)
    )
"""
"""A part of a statement that decides on which channels notifications are sent.

Its part ``draft`` has the columns user_id, category and channels (text[]). The part ``wanted`` has
its rows with the column ``wanted``: those of ``channels`` that the user has not switched off.
"""
MAY_HAVE_NONE = """
    SELECT user_id AS position, CASE
        WHEN is_closed OR muted <> '{}' OR updated_at > now() - interval '4 days'
        THEN user_id::text
    END AS key
    FROM preferences WHERE user_id > $1 ORDER BY user_id LIMIT $2
"""
"""The users for whom an event may make no notification, for ``slipway verify``.

Their accounts were deleted, or they have switched channels off. Who changed preferences while the
topics kept the event may have had others when it came.
"""
_FIND = "SELECT muted, locale, version, is_closed FROM preferences WHERE user_id = $1"
# The change of nothing locks the row, also one that another transaction has just inserted.
_LOCK = """
    INSERT INTO preferences (user_id) VALUES ($1)
    ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id
    RETURNING muted, locale, version, is_closed
"""
_STORE = """
    UPDATE preferences SET muted = $2, locale = $3, version = version + 1, updated_at = now()
    WHERE user_id = $1
    RETURNING muted, locale, version, is_closed
"""
_LOCALES = """
    SELECT user_id, locale FROM preferences
    WHERE user_id = ANY ($1::uuid[]) AND locale IS NOT NULL
"""
_CHOSEN = """
    SELECT muted, locale, created_at, updated_at FROM preferences
    WHERE user_id = $1 AND NOT is_closed
"""
_CLOSE = """
    INSERT INTO preferences (user_id, is_closed) VALUES ($1, true)
    ON CONFLICT (user_id) DO UPDATE
    SET muted = '{}', locale = NULL, is_closed = true, updated_at = now()
"""
_DEFAULTS = StoredPreferences(preferences=Preferences(), version=0, is_closed=False)


class PreferenceRepository:
    """Reads and writes preferences in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def find(self, user_id: UUID) -> StoredPreferences:
        """Return a user's preferences; the defaults at version 0 if they were never changed."""
        rows = await self._unit.fetch(_FIND, user_id)
        return _stored(rows[0]) if rows else _DEFAULTS

    async def lock(self, user_id: UUID) -> StoredPreferences:
        """Return a user's preferences, which no other transaction changes before the commit."""
        [row] = await self._unit.fetch(_LOCK, user_id)
        return _stored(row)

    async def store(self, user_id: UUID, preferences: Preferences) -> StoredPreferences:
        """Change preferences that are locked; return them with their new version."""
        [row] = await self._unit.fetch(
            _STORE, user_id, names_of(preferences.muted), preferences.locale
        )
        return _stored(row)

    async def locales(self, user_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return the languages of those users who have chosen one."""
        rows = await self._unit.fetch(_LOCALES, list(user_ids))
        return {row["user_id"]: row["locale"] for row in rows}

    async def close(self, user_id: UUID) -> None:
        """Erase a user's preferences, and accept no others from now on."""
        await self._unit.execute(_CLOSE, user_id)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what a user has chosen, if they have."""
        for row in await self._unit.fetch(_CHOSEN, user_id):
            yield dict(row)


def _stored(row: Record) -> StoredPreferences:
    return StoredPreferences(
        preferences=Preferences(muted=frozenset(muted_of(row["muted"])), locale=row["locale"]),
        version=row["version"],
        is_closed=row["is_closed"],
    )

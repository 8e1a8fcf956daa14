"""A user's preferences over HTTP."""

from typing import Annotated

from chassis.auth import Principal, require_scope
from chassis.errors import PreconditionFailed
from chassis.http import ExpectedVersion, Router, problems
from notifications.feed.errors import AccountDeleted
from notifications.kinds.wiring import SCOPE
from notifications.preferences.errors import SecurityNotificationsRequired
from notifications.preferences.schemas import NewPreferences, PreferencesOut
from notifications.preferences.wiring import PreferencesDep

router = Router(prefix="/api/v1/notifications/preferences", tags=["notifications"])

Reader = Annotated[Principal, require_scope(SCOPE)]


@router.get(
    "",
    operation_id="getNotificationPreferences",
    summary="Read your preferences",
    description="The channels that are on for each category of notifications, with the version of "
    "the preferences as `ETag`. A notification uses those channels of its type that are on; "
    "the types are at `GET /api/v1/notifications`.",
    versioned=True,
)
async def get_preferences(caller: Reader, preferences: PreferencesDep) -> PreferencesOut:
    """Return the caller's preferences."""
    return PreferencesOut.of(await preferences.get(caller.user_id))


@router.put(
    "",
    operation_id="replaceNotificationPreferences",
    summary="Replace your preferences",
    description="Replaces your preferences as a whole: what the body leaves out gets its default. "
    "With `If-Match`, or a `version` in the body, only if they still have that version. Security "
    "notifications can't be switched off.\n\nA channel that is off gets no further notifications "
    "of the category. With `in_app` off, they are in neither the list nor the live feed.",
    versioned=True,
    responses=problems(SecurityNotificationsRequired, AccountDeleted, PreconditionFailed),
)
async def replace_preferences(
    body: NewPreferences,
    caller: Reader,
    expected: ExpectedVersion,
    preferences: PreferencesDep,
) -> PreferencesOut:
    """Replace the caller's preferences."""
    stored = await preferences.replace(
        caller.user_id, body.chosen(), expected=[expected, body.expected]
    )
    return PreferencesOut.of(stored)

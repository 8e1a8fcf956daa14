"""Jobs that change many rows of a user in small transactions, and the retention of the list."""

from chassis.database.unit import Unit
from chassis.jobs import OutsideRun
from chassis.messaging import erase_parked
from chassis.wiring import ServiceResources
from notifications.feed.wiring import feed
from notifications.kinds.wiring import NotifyingResources
from notifications.notifications.models import MarkAllRead
from notifications.notifications.repository import NotificationRepository
from notifications.notifications.wiring import notifications
from notifications.outcomes.wiring import outcomes
from notifications.recipients.models import EraseUserData

_PAGE = 1000


async def erase_user_data(arguments: EraseUserData, run: OutsideRun[NotifyingResources]) -> None:
    """Delete all notifications, feed entries, outcomes and parked messages of a deleted account.

    The user's feed is closed by then, so no further rows are written. A job that was killed runs
    again, and deletes what is left.
    """
    resources, user_id = run.resources, arguments.user_id
    rows = _PAGE
    while rows:
        async with resources.database.transaction() as unit:
            rows = await notifications(resources, unit).erase(user_id, limit=_PAGE)
            rows += await feed(resources, unit).erase(user_id, limit=_PAGE)
            rows += await outcomes(resources, unit).erase(user_id, limit=_PAGE)
    async with resources.database.transaction() as unit:
        await erase_parked(unit, consumer=resources.service, key=str(user_id))


async def mark_all_read(arguments: MarkAllRead, run: OutsideRun[ServiceResources]) -> None:
    """Mark what one request did not: all further notifications up to the place that it named."""
    marked = _PAGE
    while marked == _PAGE:
        async with run.resources.database.transaction() as unit:
            found = await NotificationRepository(unit).mark_all_read(
                arguments.user_id, last_event_id=arguments.last_event_id, limit=_PAGE
            )
        marked = found.count


async def prune_notifications(unit: Unit, limit: int) -> int:
    """Delete notifications that are older than NOTIFICATIONS_KEPT, and return how many."""
    return await NotificationRepository(unit).prune(limit=limit)

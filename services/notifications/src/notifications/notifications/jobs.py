"""The job that erases the data of a deleted account, in small transactions."""

from chassis.jobs import OutsideRun
from chassis.messaging import erase_parked
from chassis.wiring import ServiceResources
from notifications.feed.wiring import feed
from notifications.notifications.wiring import notifications
from notifications.recipients.models import EraseUserData

_PAGE = 1000


async def erase_user_data(arguments: EraseUserData, run: OutsideRun[ServiceResources]) -> None:
    """Delete all notifications, feed entries and parked messages of a deleted account.

    The user's feed is closed by then, so no further rows are written. A job that was killed runs
    again, and deletes what is left.
    """
    resources, user_id = run.resources, arguments.user_id
    rows = _PAGE
    while rows:
        async with resources.database.transaction() as unit:
            rows = await notifications(resources, unit).erase(user_id, limit=_PAGE)
            rows += await feed(resources, unit).erase(user_id, limit=_PAGE)
    async with resources.database.transaction() as unit:
        await erase_parked(unit, consumer=resources.service, key=str(user_id))

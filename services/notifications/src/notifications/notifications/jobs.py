"""Jobs that change many rows of a user in small transactions, and the retention of the list.

Also the task of an API process that takes announcements in for its sockets.
"""

import asyncio
from collections.abc import Callable, Collection
from itertools import batched
from uuid import UUID

from chassis.database import is_infrastructure_error
from chassis.database.unit import Unit
from chassis.http.idempotency import erase_stored_responses
from chassis.jobs import InsideRun, OutsideRun
from chassis.loops import Failures, for_ever
from chassis.messaging import erase_parked
from chassis.wiring import ServiceResources
from notifications.announcements.repository import AnnouncementRepository
from notifications.deliveries.wiring import deliveries
from notifications.feed.wiring import feed
from notifications.kinds.wiring import NotifyingResources
from notifications.mails.wiring import mails
from notifications.notifications.models import MarkAllRead
from notifications.notifications.repository import NotificationRepository
from notifications.notifications.wiring import (
    intake,
    notifications,
    notifier,
    write_notifications,
)
from notifications.outcomes.wiring import outcomes
from notifications.recipients.models import EraseUserData
from notifications.webhooks.models import TellWebhookDisabled

_PAGE = 1000
_USERS = 500  # whose feeds one transaction locks; others who write to them wait for its end


async def erase_user_data(arguments: EraseUserData, run: OutsideRun[NotifyingResources]) -> None:
    """Delete what is stored of a deleted account, also its parked messages and stored responses.

    The user's feed is closed and the webhooks are gone by then, so no further rows are written. A
    job that was killed runs again, and deletes what is left.
    """
    resources, user_id = run.resources, arguments.user_id
    rows = _PAGE
    while rows:
        async with resources.database.transaction() as unit:
            rows = await notifications(resources, unit).erase(user_id, limit=_PAGE)
            rows += await feed(resources, unit).erase(user_id, limit=_PAGE)
            rows += await deliveries(resources, unit).erase(user_id, limit=_PAGE)
            rows += await outcomes(resources, unit).erase(user_id, limit=_PAGE)
            rows += await mails(resources, unit).erase(user_id, limit=_PAGE)
    async with resources.database.transaction() as unit:
        await erase_parked(unit, consumer=resources.service, key=str(user_id))
        await erase_stored_responses(unit, caller=user_id)


async def tell_webhook_disabled(
    arguments: TellWebhookDisabled, run: InsideRun[NotifyingResources]
) -> None:
    """Notify a user that a webhook of theirs was disabled because of its receiver."""
    notifier(run.resources, run.unit).notify(
        "webhook.disabled",
        user_id=arguments.user_id,
        source_event_id=f"webhook:{arguments.webhook_id}:{arguments.version}",
        data={"webhook_id": str(arguments.webhook_id), "reason": arguments.reason.value},
    )
    await write_notifications(run.unit, run.resources)


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


class AnnouncementReader:
    """Takes new announcements in for the users whose sockets a process holds.

    The hints that follow have the reader of the feed send the items.

    Args:
        resources: the process's database and wake-ups.
        connected: returns the users.

    Attributes:
        seen: the number of the last announcement that all these users have taken in.
    """

    def __init__(
        self, *, resources: NotifyingResources, connected: Callable[[], Collection[UUID]]
    ) -> None:
        self.seen = 0
        self._resources = resources
        self._connected = connected
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Take in what is new, soon."""
        self._woken.set()

    async def take_in_for(self, unit: Unit, user_id: UUID) -> None:
        """Take in what a user has missed, as the first step of a transaction."""
        await intake(self._resources, unit).take_in_for(user_id)

    async def run(self) -> None:
        """Take in whenever the reader is woken, until cancelled."""
        await for_ever(
            self._take_in_when_woken,
            every=0,
            name="announcements",
            passes=is_infrastructure_error,
            failures=Failures(),
        )

    async def _take_in_when_woken(self) -> None:
        await self._woken.wait()
        self._woken.clear()
        try:
            await self.take_in()
        except Exception:
            self._woken.set()
            raise

    async def take_in(self) -> None:
        """Take in what the connected users have missed, page by page.

        Who connects later than the newest announcement was read takes it in when connecting. So it
        is read before the users are listed.
        """
        if not self._connected():
            return
        async with self._resources.database.transaction() as unit:
            newest = await AnnouncementRepository(unit).newest()
        for users in batched(sorted(self._connected()), _USERS):
            async with self._resources.database.transaction() as unit:
                await intake(self._resources, unit).take_in(users)
        self.seen = newest

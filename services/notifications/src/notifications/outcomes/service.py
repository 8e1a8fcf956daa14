"""The use case of the channels: announce what became of notifications."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from chassis.database.unit import Unit
from chassis.messaging import Outbox
from contracts.notifications import NotificationDelivered, NotificationEvent, NotificationFailed
from notifications.kinds.models import Outcome
from notifications.kinds.service import NotificationMetrics
from notifications.outcomes.models import ChannelOutcome
from notifications.outcomes.repository import OutcomeRepository


class OutcomeService:
    """The outcomes of one transaction.

    Args:
        unit: the transaction.
        outcomes: their repository.
        outbox: the outbox of the same transaction.
        metrics: counts the outcomes once they are committed.
    """

    def __init__(
        self,
        *,
        unit: Unit,
        outcomes: OutcomeRepository,
        outbox: Outbox,
        metrics: NotificationMetrics,
    ) -> None:
        self._unit = unit
        self._outcomes = outcomes
        self._outbox = outbox
        self._metrics = metrics

    async def announce(self, outcomes: Sequence[ChannelOutcome]) -> None:
        """Publish what became of notifications on a channel, and count it, after the commit.

        Call it once for each outcome, in the transaction that records it, and after the statements
        that lock the channel's own rows. It is one statement for any number of outcomes, and none
        for no outcome; the events are written at the end of the transaction.
        """
        if not outcomes:
            return
        settled_at = datetime.now(UTC)
        versions = await self._outcomes.take_versions(outcomes)
        for outcome, version in zip(outcomes, versions, strict=True):
            self._outbox.add(_event(outcome, version=version, settled_at=settled_at))
        self._unit.after_commit(lambda: self._count(outcomes))

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete what is kept of a user's outcomes, at most `limit` rows; return how many."""
        return await self._outcomes.erase(user_id, limit=limit)

    def _count(self, outcomes: Sequence[ChannelOutcome]) -> None:
        for one in outcomes:
            outcome = Outcome.DELIVERED if one.failure is None else Outcome.FAILED
            self._metrics.count(one.channel, outcome)


def _event(outcome: ChannelOutcome, *, version: int, settled_at: datetime) -> NotificationEvent:
    if outcome.failure is None:
        return NotificationDelivered(
            version=version,
            notification_id=outcome.notification_id,
            user_id=outcome.user_id,
            channel=outcome.channel.value,
            delivered_at=settled_at,
        )
    return NotificationFailed(
        version=version,
        notification_id=outcome.notification_id,
        user_id=outcome.user_id,
        channel=outcome.channel.value,
        reason=outcome.failure,
        failed_at=settled_at,
    )

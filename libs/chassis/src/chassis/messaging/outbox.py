"""The outbox: an event is written in the transaction that it tells of, and nowhere else.

Rows are inserted at the end of the unit of work, after the flush, when the aggregate's row lock is
held; the relay publishes them once they are committed.
"""

from typing import TypedDict, cast
from uuid import UUID

from sqlalchemy import LargeBinary, Text, Uuid, column, insert, table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.models import new_id
from chassis.database.transaction import after_commit, before_commit
from chassis.messaging.events import PublicEvent, cloud_event_headers
from chassis.messaging.wakeup import Wakeups, relay_channel
from chassis.telemetry.tracing import current_trace_headers

MAX_PAYLOAD_BYTES = 900_000  # below the broker's limit of 1 MiB for a batch, headers included

_ROWS = "chassis.outbox_rows"

_outbox = table(
    "outbox",
    column("id", Uuid),
    column("topic", Text),
    column("key", Text),
    column("type", Text),
    column("headers", JSONB),
    column("payload", LargeBinary),
)


class EventTooLargeError(ValueError):
    """An event's data is larger than Kafka would take; its transaction must not commit."""


class _Row(TypedDict):
    id: UUID
    topic: str
    key: str
    type: str
    headers: dict[str, str]
    payload: bytes


class Outbox:
    """Collects the events of one transaction.

    Args:
        session: the transaction.
        source: the producing service, as a CloudEvents source: ``/slipway/orders``.
        service: the service's name, for the relay's channel.
        wakeups: tells the relay after the commit.
    """

    def __init__(
        self, *, session: AsyncSession, source: str, service: str, wakeups: Wakeups
    ) -> None:
        self._session = session
        self._source = source
        self._channel = relay_channel(service)
        self._wakeups = wakeups

    def add(self, event: PublicEvent) -> UUID:
        """Publish `event` if, and only if, the transaction commits; answers its id.

        Raises:
            EventTooLargeError: the data is over MAX_PAYLOAD_BYTES.
        """
        payload = event.to_json()
        if len(payload) > MAX_PAYLOAD_BYTES:
            message = (
                f"{event.type} about {event.subject} has {len(payload)} bytes of data, and "
                f"{MAX_PAYLOAD_BYTES} are allowed: send a reference in place of the content"
            )
            raise EventTooLargeError(message)
        # One list for all outboxes of the session: their events keep the order of the calls.
        rows = cast("list[_Row]", self._session.info.setdefault(_ROWS, []))
        if not rows:
            before_commit(self._session, self._write)
        event_id = new_id()
        headers = cloud_event_headers(
            event, event_id=event_id, source=self._source, trace=current_trace_headers()
        )
        rows.append(
            _Row(
                id=event_id,
                topic=event.topic.name,
                key=event.key,
                type=event.type,
                headers=headers,
                payload=payload,
            )
        )
        return event_id

    async def _write(self, session: AsyncSession) -> None:
        await session.execute(insert(_outbox), session.info.pop(_ROWS))
        after_commit(session, lambda: self._wakeups.hint(self._channel))

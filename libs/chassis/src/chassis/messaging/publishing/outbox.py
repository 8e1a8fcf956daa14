"""The outbox: an event is written in the transaction that it tells of, and nowhere else.

Rows are inserted at the end of the unit of work, after the flush, when the aggregate's row lock is
held; the relay publishes them once they are committed.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import SessionTransaction

from chassis.database.models import new_id
from chassis.database.statements import fetch
from chassis.database.transaction import after_commit, before_commit
from chassis.messaging.events import PublicEvent, cloud_event_headers
from chassis.messaging.spans import outbox_span
from chassis.messaging.wakeup import Wakeups, relay_channel
from chassis.telemetry.tracing import current_trace_headers

MAX_PAYLOAD_BYTES = 900_000  # below the broker's limit of 1 MiB for a batch, headers included

_ROWS = "chassis.outbox_rows"

_INSERT = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT id, topic, key, type, headers::jsonb, payload
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        WITH ORDINALITY AS r (id, topic, key, type, headers, payload, place)
    ORDER BY place
"""


class EventTooLargeError(ValueError):
    """An event's data is larger than Kafka would take; its transaction must not commit."""


class _Row(NamedTuple):
    id: UUID
    topic: str
    key: str
    type: str
    headers: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Added:
    row: _Row
    within: SessionTransaction | None


class _Rows:
    """The events of one session; those of a savepoint that is rolled back are forgotten with it.

    One list for all outboxes of the session: their events keep the order of the calls.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session.sync_session
        self._added: list[_Added] = []
        event.listen(self._session, "after_soft_rollback", self._forget)

    @classmethod
    def of(cls, session: AsyncSession) -> "_Rows":
        rows = session.info.get(_ROWS)
        if not isinstance(rows, cls):
            rows = session.info[_ROWS] = cls(session)
        return rows

    def add(self, row: _Row) -> bool:
        """Say whether it is the first."""
        self._added.append(_Added(row, self._session.get_nested_transaction()))
        return len(self._added) == 1

    def take(self) -> list[_Row]:
        added, self._added = self._added, []
        return [one.row for one in added]

    def _forget(self, _: object, rolled_back: SessionTransaction) -> None:
        if rolled_back.parent is None:
            self._added = []
        self._added = [one for one in self._added if not _is_part(one.within, rolled_back)]


def _is_part(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    """Whether a savepoint is `outer` or was set inside it; one that was released still counts."""
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer


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
        event_id = new_id()
        with outbox_span(event.topic.name, event.key, str(event_id)):
            trace = current_trace_headers()
        headers = cloud_event_headers(event, event_id=event_id, source=self._source, trace=trace)
        row = _Row(
            id=event_id,
            topic=event.topic.name,
            key=event.key,
            type=event.type,
            headers=json.dumps(headers),
            payload=payload,
        )
        if _Rows.of(self._session).add(row):
            before_commit(self._session, self._write)
        return event_id

    async def _write(self, session: AsyncSession) -> None:
        rows = _Rows.of(session).take()
        if not rows:  # all in savepoints that were rolled back, or written by an earlier step
            return
        await fetch(session, _INSERT, *map(list, zip(*rows, strict=True)))
        after_commit(session, lambda: self._wakeups.hint(self._channel))

"""The outbox: an event is written in the same transaction as the change that it announces.

The rows are inserted at the end of the unit of work, after the flush. By then the aggregate's row
lock is held. The relay publishes them after the commit: at once, or together with others after the
topic's ``publish_delay``.
"""

import json
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database.ids import new_id
from chassis.database.unit import Unit
from chassis.messaging.events import PublicEvent, cloud_event_headers
from chassis.messaging.spans import outbox_span
from chassis.messaging.wakeup import Wakeups, relay_channel
from chassis.telemetry.tracing import current_trace_headers

MAX_PAYLOAD_BYTES = 900_000  # below the broker's limit of 1 MiB for a batch with its headers

_INSERT = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT id, topic, key, type, headers::jsonb, payload
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        WITH ORDINALITY AS r (id, topic, key, type, headers, payload, place)
    ORDER BY place
"""
_INSERT_FROM = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT o.id, o.topic, o.key, o.type, o.headers, convert_to(o.payload, 'UTF8')
    FROM {source} AS s CROSS JOIN LATERAL json_to_record(s.event) AS o (
        id uuid, topic text, key text, type text, headers jsonb, payload text
    )
    ORDER BY s.place
"""


def insert_events(source: str) -> str:
    """Return the part of a statement that inserts outbox rows, and saves them a round trip.

    The rows are in the column ``event`` (json) of `source`, as ``Outbox.row`` returns them. They
    are inserted in the order of the column ``place``. `source` must depend on the part of the
    statement that locks the aggregate's row: ``seq`` then follows the order of commits.

    Args:
        source: the name of a table expression of that statement; it becomes part of the SQL.
    """
    return _INSERT_FROM.replace("{source}", source)


class EventTooLargeError(ValueError):
    """An event's data is larger than Kafka accepts; its transaction must not commit."""


class _Row(NamedTuple):
    id: UUID
    topic: str
    key: str
    type: str
    headers: dict[str, str]
    payload: bytes
    delay: timedelta


class Outbox:
    """Collects the events of one transaction.

    Args:
        unit: the transaction.
        source: the producing service, as a CloudEvents source: ``/slipway/orders``.
        service: the service's name, for the relay's channel.
        wakeups: wakes the relay after the commit.
    """

    def __init__(self, *, unit: Unit, source: str, service: str, wakeups: Wakeups) -> None:
        self._unit = unit
        self._source = source
        self._channel = relay_channel(service)
        self._wakeups = wakeups

    def add(self, event: PublicEvent) -> UUID:
        """Publish `event` if, and only if, the transaction commits; return the event's id.

        Raises:
            EventTooLargeError: the data is over MAX_PAYLOAD_BYTES.
        """
        row = self._row(event)
        rows = self._unit.collected(_Row)
        if not rows:
            self._unit.before_commit(self._write)
        rows.append(row)
        return row.id

    def row(self, event: PublicEvent) -> dict[str, Any]:
        """Return the row of `event` as JSON, for a statement that contains ``insert_events``.

        The relay is woken after the commit.

        Raises:
            EventTooLargeError: the data is over MAX_PAYLOAD_BYTES.
        """
        row = self._row(event)
        self._unit.after_commit(partial(self._wake_relay, row.delay))
        return {
            "id": str(row.id),
            "topic": row.topic,
            "key": row.key,
            "type": row.type,
            "headers": row.headers,
            "payload": row.payload.decode(),
        }

    def _row(self, event: PublicEvent) -> _Row:
        payload = event.to_json()
        if len(payload) > MAX_PAYLOAD_BYTES:
            message = (
                f"The event {event.type} about {event.subject} has {len(payload)} bytes of data; "
                f"{MAX_PAYLOAD_BYTES} are allowed. Send a reference in place of the content."
            )
            raise EventTooLargeError(message)
        event_id = new_id()
        with outbox_span(event.topic.name, event.key, str(event_id)):
            trace = current_trace_headers()
        headers = cloud_event_headers(event, event_id=event_id, source=self._source, trace=trace)
        return _Row(
            id=event_id,
            topic=event.topic.name,
            key=event.key,
            type=event.type,
            headers=headers,
            payload=payload,
            delay=event.topic.publish_delay,
        )

    async def _write(self, unit: Unit) -> None:
        rows = unit.collected(_Row)
        if not rows:  # their savepoints were rolled back, or an earlier step wrote them
            return
        written = [(*row[:4], json.dumps(row.headers), row.payload) for row in rows]
        delay = min(row.delay for row in rows)
        rows.clear()
        unit.defer(_INSERT, *map(list, zip(*written, strict=True)))
        await unit.run_deferred()
        unit.after_commit(partial(self._wake_relay, delay))

    def _wake_relay(self, delay: timedelta) -> None:
        self._wakeups.hint(self._channel, delay=delay)

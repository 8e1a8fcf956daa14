"""The outbox: an event is written in the same transaction as the change that it announces.

The rows are inserted at the end of the unit of work, after the flush. By then the aggregate's row
lock is held. The relay publishes them after the commit: at once, or together with others after the
topic's ``publish_delay``.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database.ids import new_id
from chassis.database.unit import Unit
from chassis.messaging.events import PublicEvent, cloud_event_headers
from chassis.messaging.spans import outbox_headers
from chassis.messaging.wakeup import Wakeups, relay_channel

MAX_PAYLOAD_BYTES = 900_000  # below the broker's limit of 1 MiB for a batch with its headers

_INSERT_FROM = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT o.id, o.topic, o.key, o.type, o.headers, convert_to(o.payload, 'UTF8')
    FROM {source} CROSS JOIN LATERAL json_to_record(s.event) AS o (
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
    return _INSERT_FROM.replace("{source}", f"{source} AS s")


# JSON, as asyncpg needs several checks for each element of an array.
_ROWS = "json_array_elements($1::json) WITH ORDINALITY AS s (event, place)"
_INSERT = _INSERT_FROM.replace("{source}", _ROWS)


class EventTooLargeError(ValueError):
    """An event's data is larger than Kafka accepts; its transaction must not commit."""


class _Row(NamedTuple):
    columns: dict[str, Any]
    delay: timedelta


@dataclass(slots=True)
class _Written:
    deferred: bool = False


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
        event_id = new_id()
        rows = self._unit.collected(_Row)
        row = _Row(self._columns(event, event_id), event.topic.publish_delay)
        if not rows:
            self._unit.before_commit(self._write)
        rows.append(row)
        return event_id

    def row(self, event: PublicEvent) -> dict[str, Any]:
        """Return the row of `event` as JSON, for a statement that contains ``insert_events``.

        The relay is woken after the commit.

        Raises:
            EventTooLargeError: the data is over MAX_PAYLOAD_BYTES.
        """
        columns = self._columns(event, new_id())
        self._unit.after_commit(partial(self._wake_relay, event.topic.publish_delay))
        return columns

    def _columns(self, event: PublicEvent, event_id: UUID) -> dict[str, Any]:
        payload = event.to_json()
        if len(payload) > MAX_PAYLOAD_BYTES:
            message = (
                f"The event {event.type} about {event.subject} has {len(payload)} bytes of data; "
                f"{MAX_PAYLOAD_BYTES} are allowed. Send a reference in place of the content."
            )
            raise EventTooLargeError(message)
        text = str(event_id)
        trace = outbox_headers(event.topic.name, event.key, text)
        return {
            "id": text,
            "topic": event.topic.name,
            "key": event.key,
            "type": event.type,
            "headers": cloud_event_headers(
                event, event_id=event_id, source=self._source, trace=trace
            ),
            "payload": payload.decode(),
        }

    async def _write(self, unit: Unit) -> None:
        rows = unit.collected(_Row)
        if not rows:  # their savepoints were rolled back, or an earlier step wrote them
            return
        written = json.dumps([row.columns for row in rows])
        delay = min(row.delay for row in rows)
        rows.clear()
        earlier = unit.only(_Written, _Written)
        if earlier.deferred:  # parts of one statement run in no set order
            await unit.run_deferred()
        unit.defer(_INSERT, written)
        earlier.deferred = True
        unit.after_commit(partial(self._wake_relay, delay))

    def _wake_relay(self, delay: timedelta) -> None:
        self._wakeups.hint(self._channel, delay=delay)

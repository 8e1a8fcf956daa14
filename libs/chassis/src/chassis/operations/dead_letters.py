"""Dead letters: to look at them, to try them again, to give them up. Each action is recorded.

A queue of parked messages is changed under its row's lock FOR UPDATE, which waits for a retry of
its head and for who appends to it; see ``chassis.messaging.consuming.parking``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Counter
from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import Conflict, NotFound
from chassis.messaging.consuming.inbox import DISCARDED, Inbox
from chassis.messaging.consuming.parking import DEAD, RETRYING, UNKNOWN, Parking

REDRIVEN = "redriven"
STATES = (DEAD, UNKNOWN, RETRYING)

_LOCK_NOT_AVAILABLE = "55P03"

_LETTER = """
    SELECT k.id AS queue, k.state, k.blocking, k.next_attempt_at, k.key, m.seq, m.topic,
           m.partition, m.log_offset, m.source, m.id AS message_id, m.type, m.attempts, m.error,
           m.sent_at, m.parked_at, m.attempted_at, m.headers, m.payload,
           (SELECT count(*) FROM parked_messages AS w
            WHERE w.parked_key_id = k.id AND w.seq > m.seq) AS behind,
           (SELECT count(*) FROM parked_messages AS w
            WHERE w.parked_key_id = k.id AND w.seq < m.seq) AS before
"""
_LIST = text(
    f"""
    {_LETTER}
    FROM parked_keys AS k
    CROSS JOIN LATERAL (
        SELECT * FROM parked_messages WHERE parked_key_id = k.id ORDER BY seq LIMIT 1
    ) AS m
    WHERE k.consumer = :consumer AND k.id > :after AND k.state = ANY (:states)
      AND (cast(:topic AS text) IS NULL OR k.topic = :topic)
      AND (cast(:type AS text) IS NULL OR m.type = :type)
      AND (cast(:key AS text) IS NULL OR k.key = :key)
      AND (cast(:error AS text) IS NULL OR strpos(lower(m.error), lower(:error)) > 0)
      AND m.parked_at <= now() - cast(:min_age AS interval)
    ORDER BY k.id LIMIT :limit
    """  # noqa: S608 - of constants
).bindparams(bindparam("after", type_=BigInteger))
_FIND = text(
    f"""
    {_LETTER}
    FROM parked_messages AS m JOIN parked_keys AS k ON k.id = m.parked_key_id
    WHERE m.seq = :seq AND k.consumer = :consumer
    """
)
_FORGET_ATTEMPTS = text("UPDATE parked_messages SET attempts = 0 WHERE seq = :seq")
_RECORD = text(
    """
    INSERT INTO dead_letter_actions (actor, action, reason, topic, key, type, source, message_id)
    VALUES (:actor, :action, :reason, :topic, :key, :type, :source, :message_id)
    """
)


class DeadLetterNotFound(NotFound):
    """No message of that number is parked."""

    name = "dead-letter-not-found"
    title = "No such message is parked."


class NotHead(Conflict):
    """The message waits behind another one of its key."""

    name = "not-the-head-of-its-key"
    title = "An earlier message of the same key comes first."


class BeingTried(Conflict):
    """The message's queue is at work for longer than is waited."""

    name = "being-tried"
    title = "The message is being tried now."


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant; None: no matter."""

    states: Sequence[str] = (DEAD, UNKNOWN)
    topic: str | None = None
    type: str | None = None
    key: str | None = None
    error: str | None = None
    min_age: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A parked message; ``behind`` and ``before`` count the others of its queue."""

    queue: int
    state: str
    blocking: bool
    next_attempt_at: datetime | None
    seq: int
    topic: str
    partition: int
    log_offset: int
    source: str
    message_id: str
    type: str | None
    key: str | None
    attempts: int
    error: str | None
    sent_at: datetime | None
    parked_at: datetime
    attempted_at: datetime | None
    headers: Sequence[tuple[str, str | None]]
    payload: bytes | None
    behind: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Who does something, and why."""

    actor: str
    reason: str


class DeadLetters:
    """The dead letters of one consumer.

    Args:
        consumer: the service's name.
        counter: of actions, by what was done.
    """

    def __init__(self, *, consumer: str, counter: Counter) -> None:
        self._consumer = consumer
        self._counter = counter
        self._inbox = Inbox(consumer=consumer)
        self._parking = Parking(consumer=consumer)

    async def page(
        self, session: AsyncSession, wanted: Filter, *, limit: int, after: int = 0
    ) -> Sequence[DeadLetter]:
        """List the heads of queues, in the order in which the queues were opened."""
        values = {
            "consumer": self._consumer,
            "after": after,
            "states": list(wanted.states),
            "topic": wanted.topic,
            "type": wanted.type,
            "key": wanted.key,
            "error": wanted.error,
            "min_age": wanted.min_age,
            "limit": limit,
        }
        return [_letter(row) for row in (await session.execute(_LIST, values)).mappings()]

    async def get(self, session: AsyncSession, seq: int) -> DeadLetter:
        """Give one parked message, the head of its queue or not; or DeadLetterNotFound."""
        result = await session.execute(_FIND, {"seq": seq, "consumer": self._consumer})
        row = result.mappings().one_or_none()
        if row is None:
            message = (
                f"no message {seq} is parked in {self._consumer}: it took effect, was discarded, "
                "or never was there; list them to see what is"
            )
            raise DeadLetterNotFound(message)
        return _letter(row)

    async def redrive(self, session: AsyncSession, seq: int, action: Action) -> DeadLetter:
        """Have the head of a queue tried again at once, with all its attempts.

        It stays where it is, so that one that fails again is in its place.

        Raises:
            DeadLetterNotFound: see ``get``.
            NotHead: an earlier one of its key comes first.
            BeingTried: a retry takes too long to wait for.
        """
        letter = await self._take(session, seq)
        if letter.before:
            message = (
                f"message {seq} waits behind {letter.before} earlier of its key {letter.key!r}: "
                "redrive or discard the first of them"
            )
            raise NotHead(message)
        await session.execute(_FORGET_ATTEMPTS, {"seq": seq})
        await self._parking.reschedule(session, letter.queue, state=RETRYING)
        await self._record(session, letter, REDRIVEN, action)
        return letter

    async def discard(self, session: AsyncSession, seq: int, action: Action) -> DeadLetter:
        """Give a message up: it will take no effect, also where it comes again.

        What waited behind it goes on at once.

        Raises:
            DeadLetterNotFound: see ``get``.
            BeingTried: a retry takes too long to wait for.
        """
        letter = await self._take(session, seq)
        await self._parking.remove(session, seq)
        await self._inbox.settle(session, letter.source, letter.message_id, DISCARDED)
        if not letter.before:
            # An empty queue, too: the retry loop closes it, in a transaction of its own.
            await self._parking.reschedule(session, letter.queue, state=RETRYING)
        await self._record(session, letter, DISCARDED, action)
        return letter

    async def _take(self, session: AsyncSession, seq: int) -> DeadLetter:
        """Lock a message's queue, and read the message as it is then."""
        letter = await self.get(session, seq)
        try:
            await self._parking.lock(session, letter.queue)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            message = f"message {seq} or one before it is being tried now: do it again in a moment"
            raise BeingTried(message) from error
        return await self.get(session, seq)

    async def _record(
        self, session: AsyncSession, letter: DeadLetter, action: str, by: Action
    ) -> None:
        await session.execute(
            _RECORD,
            {
                "actor": by.actor,
                "action": action,
                "reason": by.reason,
                "topic": letter.topic,
                "key": letter.key,
                "type": letter.type,
                "source": letter.source,
                "message_id": letter.message_id,
            },
        )
        self._counter.labels(action).inc()


def _letter(row: Mapping[Any, Any]) -> DeadLetter:
    headers = row["headers"]
    if isinstance(headers, str):
        headers = json.loads(headers)
    return DeadLetter(**{**row, "headers": headers})

"""Where the relay reads next, and which partitions wait because Kafka refused a batch of theirs.

Without a refusal it always reads from the lowest row, as what was sent is deleted. With one, it
goes past the rows that wait, so that the other partitions go on, however many wait; and it begins
anew every second, since a row that commits late may have a lower ``seq``.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from chassis.messaging.publisher import (
    UNKNOWN_PARTITION,
    OutboxRow,
    Place,
    Published,
    Refused,
)

_SCAN_SECONDS = 1.0
_FORGET_SECONDS = 60.0
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(slots=True)
class _Wait:
    failures: int = 0
    until: float = 0.0


class Scan:
    """The relay's position, and the places that wait."""

    def __init__(self) -> None:
        self._floor = 0
        self._at_end = True
        self._next_scan = 0.0
        self._waits: dict[Place, _Wait] = {}
        self._waiting: set[Place] = set()
        self._singly: set[Place] = set()

    @property
    def waiting(self) -> Collection[Place]:
        """The places of which nothing is sent now."""
        return self._waiting

    @property
    def singly(self) -> Collection[Place]:
        """The places where a batch was too large: one row at a time finds the one that is."""
        return self._singly

    def start(self) -> int:
        """Answer the ``seq`` behind which to read next."""
        now = time.monotonic()
        if not self._waits or (self._at_end and now >= self._next_scan):
            self._begin(now)
        return self._floor

    def _begin(self, now: float) -> None:
        """Read from the lowest row again.

        A place stops waiting only here: in the middle of a scan its later rows would overtake.
        """
        self._floor = 0
        self._next_scan = now + _SCAN_SECONDS
        self._waits = {
            place: wait for place, wait in self._waits.items() if now < wait.until + _FORGET_SECONDS
        }
        self._waiting = {place for place, wait in self._waits.items() if wait.until > now}

    def advance(self, rows: Sequence[OutboxRow], published: Published, *, more: bool) -> None:
        """Take in what came of a page; `more` says whether rows may be behind it."""
        for topic, partition in published.places:
            self._waits.pop((topic, partition), None)
            self._waits.pop((topic, UNKNOWN_PARTITION), None)
            self._singly.discard((topic, partition))
        self._at_end = not more
        for refused in published.refused:
            self._refuse(refused)
        if self._waits and rows:
            self._floor = rows[-1].seq

    def _refuse(self, refused: Refused) -> None:
        now = time.monotonic()
        if refused.rows > 1 and isinstance(refused.error, _TOO_LARGE):
            self._singly.add(refused.place)
            self._waits[refused.place] = _Wait()
            self._at_end, self._next_scan = True, now
        else:
            wait = self._waits.setdefault(refused.place, _Wait())
            wait.until = now + _BACKOFF_SECONDS[min(wait.failures, len(_BACKOFF_SECONDS) - 1)]
            wait.failures += 1
        self._waiting.add(refused.place)

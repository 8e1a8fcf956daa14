"""Where the relay reads next, and which partitions wait because Kafka refused a batch of theirs.

Published rows are deleted. While an old snapshot keeps vacuum away, each scan from the start would
read their dead rows again. So the relay reads on from its position, but never beyond the *settled*
``seq``. A row that commits late has a lower ``seq`` than rows that were read already. The next
event of its key, which begins only after that commit, must not be read before it. Every second the
relay reads from the start; then partitions stop waiting.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from chassis.backoff import pause_by_share
from chassis.loops import BACKOFF, Failures
from chassis.messaging.publishing.publisher import (
    UNKNOWN_PARTITION,
    PartitionId,
    Published,
    Refused,
)
from chassis.messaging.publishing.unsent import OutboxPage

_FULL_SECONDS = 1.0
_FULL_SHARE = 0.05  # the maximum share of the time, as dead rows may make a full scan slow
_FULL_LONGEST_SECONDS = 10.0  # a row that is committed late waits for a full scan
_SCAN_SECONDS = 10.0  # then a scan that has not reached the table's end starts again
_FORGET_SECONDS = 60.0
_BACKOFF = (*BACKOFF, 10.0)
_UNLIMITED_ROWS = 10_000


@dataclass(slots=True)
class _Wait:
    failures: Failures = field(default_factory=lambda: Failures(_BACKOFF))
    until: float = 0.0


class Settled:
    """The ``seq`` up to which no row can appear any more.

    A transaction takes a ``seq`` when it already has an id, as it holds the lock of its aggregate's
    row. So every ``seq`` below one that was seen belongs to a transaction that had begun by then.
    Once those transactions have ended, no new row appears below it.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._candidate = 0
        self._candidate_before = 0

    def learn(self, page: OutboxPage) -> None:
        """Update from what the snapshot of `page` showed."""
        if page.oldest_running < self._candidate_before:
            return
        self.seq = self._candidate
        self._candidate, self._candidate_before = page.newest, page.next_transaction
        if page.oldest_running >= page.next_transaction:
            self.seq = page.newest


class Scan:
    """The relay's position, and the places that wait."""

    def __init__(self) -> None:
        self._settled = Settled()
        self._position = 0
        self._at_end = True
        self._begun = 0.0
        self._next_full = 0.0
        self._waits: dict[PartitionId, _Wait] = {}
        self._waiting: set[PartitionId] = set()
        self._limits: dict[PartitionId, int] = {}

    @property
    def waiting(self) -> Collection[PartitionId]:
        """The places to which nothing is sent now."""
        return self._waiting

    @property
    def waiting_topics(self) -> Collection[str]:
        """The topics to which nothing is sent now, because Kafka does not know them."""
        return [topic for topic, partition in self._waiting if partition == UNKNOWN_PARTITION]

    @property
    def limits(self) -> Mapping[PartitionId, int]:
        """The maximum rows of a batch, for places where one was refused; halving finds the row."""
        return self._limits

    def restart(self) -> None:
        """Read from the start next, as rows behind the position may be sent now."""
        self._at_end, self._next_full = True, 0.0

    def start(self) -> int:
        """Return the ``seq`` after which to read next."""
        now = time.monotonic()
        if now >= (self._next_full if self._at_end else self._begun + _SCAN_SECONDS):
            self._begin(now)
        return self._position

    def _begin(self, now: float) -> None:
        """Read from the lowest row again.

        A place stops waiting only here: in the middle of a scan its later rows would overtake.
        """
        self._position = 0
        self._begun = now
        self._next_full = now + _FULL_SECONDS
        self._waits = {
            place: wait for place, wait in self._waits.items() if now < wait.until + _FORGET_SECONDS
        }
        self._waiting = {place for place, wait in self._waits.items() if wait.until > now}

    def advance(self, page: OutboxPage, published: Published, *, seconds: float) -> bool:
        """Update from a page that was read in `seconds`; return whether to read on at once."""
        if not self._position:
            pause = pause_by_share(
                seconds, share=_FULL_SHARE, shortest=_FULL_SECONDS, longest=_FULL_LONGEST_SECONDS
            )
            self._next_full = self._begun + seconds + pause
        for topic, partition in published.places:
            self._waits.pop((topic, partition), None)
            self._waits.pop((topic, UNKNOWN_PARTITION), None)
            self._widen((topic, partition))
        self._at_end = not page.more
        for refused in published.refused:
            self._refuse(refused)
        if not page.newest:
            return False
        before = self._position
        self._settled.learn(page)
        self._position = max(before, min(page.end, self._settled.seq))
        return page.more and (self._position > before or bool(published.acknowledged))

    def _widen(self, place: PartitionId) -> None:
        if place in self._limits:
            self._limits[place] *= 2
            if self._limits[place] >= _UNLIMITED_ROWS:
                del self._limits[place]

    def _refuse(self, refused: Refused) -> None:
        if refused.of_the_row:
            self.restart()
        elif refused.of_the_batch:
            self._limits[refused.place] = refused.rows // 2
            self.restart()
        else:
            now = time.monotonic()
            wait = self._waits.setdefault(refused.place, _Wait())
            wait.until = now + wait.failures.count()
            self._waiting.add(refused.place)

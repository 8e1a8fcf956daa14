"""Where the relay reads next, and which partitions wait because Kafka refused a batch of theirs.

What was published is deleted, and yet its dead rows must be passed over again and again while an
old snapshot keeps vacuum away. So the relay reads on from where it was, but never beyond what is
*settled*: a row that commits late has a lower ``seq`` than others that were read, and the next
event of its key, which begins only after that commit, must not be met first. Every second it reads
in full: a partition stops waiting then.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chassis.messaging.publishing.publisher import UNKNOWN_PARTITION, Place, Published, Refused
from chassis.messaging.publishing.unsent import Page

_FULL_SECONDS = 1.0
_FULL_SHARE = 0.05  # of the time, at most, where dead rows make a full scan slow
_SCAN_SECONDS = 10.0  # the longest that a scan takes which does not come to the table's end
_FORGET_SECONDS = 60.0
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_UNLIMITED_ROWS = 10_000


@dataclass(slots=True)
class _Wait:
    failures: int = 0
    until: float = 0.0


class Settled:
    """Up to which ``seq`` no row can appear any more.

    A ``seq`` is taken by a transaction that has begun, and has an id, as it holds the lock of its
    aggregate's row. So all that are lower than one that was seen belong to transactions that had
    begun then: once those have ended, nothing new comes below it.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._candidate = 0
        self._candidate_before = 0

    def learn(self, page: Page) -> None:
        """Take in what the snapshot of `page` knew."""
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
        self._waits: dict[Place, _Wait] = {}
        self._waiting: set[Place] = set()
        self._limits: dict[Place, int] = {}

    @property
    def waiting(self) -> Collection[Place]:
        """The places of which nothing is sent now."""
        return self._waiting

    @property
    def waiting_topics(self) -> Collection[str]:
        """The topics of which nothing is sent now, as Kafka does not know them."""
        return [topic for topic, partition in self._waiting if partition == UNKNOWN_PARTITION]

    @property
    def limits(self) -> Mapping[Place, int]:
        """How many rows a batch may hold, where one was too large: halving finds the one row."""
        return self._limits

    def restart(self) -> None:
        """Read in full next, as there are rows behind the position that may go now."""
        self._at_end, self._next_full = True, 0.0

    def start(self) -> int:
        """Answer the ``seq`` behind which to read next."""
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

    def advance(self, page: Page, published: Published, *, seconds: float) -> bool:
        """Take in what came of a page that was read in `seconds`; says whether rows can follow."""
        if not self._position:
            self._next_full = self._begun + max(_FULL_SECONDS, seconds / _FULL_SHARE)
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

    def _widen(self, place: Place) -> None:
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
            wait.until = now + _BACKOFF_SECONDS[min(wait.failures, len(_BACKOFF_SECONDS) - 1)]
            wait.failures += 1
            self._waiting.add(refused.place)

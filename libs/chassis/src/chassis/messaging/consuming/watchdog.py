"""Checks that the consumer makes progress: a Kafka client can stop reading without an error.

A separate client measures the group's positions. Lag without progress counts only while Kafka and
PostgreSQL respond, and while no message is in hand. Then the consumer is rebuilt. If that does not
help, the process fails its liveness probe until its consumer makes progress.

An unreadable partition has its own alert. It must not cause a restart, which stops the other
partitions too. So it counts only if none of this member's partitions makes progress.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import TopicPartition

from chassis.database.database import Database
from chassis.database.infrastructure import is_infrastructure_error
from chassis.health import Health
from chassis.messaging.consuming.assignment import Assignment
from chassis.messaging.consuming.lag import Standing, Standings
from chassis.messaging.consuming.partition import PartitionConsumer
from chassis.messaging.metrics import ConsumerMetrics

log = structlog.get_logger(__name__)

PART = "consumer"

_ANSWER_SECONDS = 5.0
_REBUILDS = 1


class StalledError(Exception):
    """The consumer lags and makes no progress, although Kafka and PostgreSQL respond."""


@dataclass(slots=True)
class _Mark:
    """The position of a partition when it last moved."""

    consumer: PartitionConsumer[Any]
    position: int
    since: float


class Watchdog:
    """Watches one service's consumer.

    Args:
        lag: measures the group's positions.
        database: the service's database.
        metrics: counts rebuilt consumers.
        health: fails if a rebuilt consumer makes no progress either.
        interval_seconds: the time between two checks.
        patience_seconds: how long lag without progress is tolerated.
    """

    def __init__(
        self,
        *,
        lag: Standings,
        database: Database,
        metrics: ConsumerMetrics,
        health: Health,
        interval_seconds: float = 5.0,
        patience_seconds: float = 30.0,
    ) -> None:
        self._lag = lag
        self._database = database
        self._metrics = metrics
        self._health = health
        self._interval = interval_seconds
        self._patience = patience_seconds
        self._marks: dict[TopicPartition, _Mark] = {}
        self._rebuilds = 0
        self._failing_since: float | None = None

    async def run(self, assignment: Assignment) -> None:
        """Watch one consumer until cancelled; raise StalledError if it must be rebuilt."""
        self._marks.clear()
        began = time.monotonic()
        while True:
            await asyncio.sleep(self._interval)
            await self._look(assignment, began)

    async def failed(self, assignment: Assignment, reasons: Sequence[str]) -> None:
        """Record that a consumer ended by an error.

        If errors repeat without progress for twice `patience_seconds`, liveness fails.
        """
        now = time.monotonic()
        if not self._lag.complete:  # Kafka is unavailable or refuses: not the consumer's fault
            self._failing_since = None
            return
        if self._failing_since is None or assignment.moved:
            self._failing_since = now
        if now - self._failing_since < 2 * self._patience:
            return
        if await self._database_answers():
            self._health.fail_part(PART, f"the consumer fails again and again: {reasons}")

    async def _look(self, assignment: Assignment, began: float) -> None:
        partitions, standings = assignment.partitions, self._lag.standings()
        still = self._still(partitions, standings)
        readable = [place for place in still if not partitions[place].unreadable]
        nothing_left = not readable and 0 < len(still) == len(partitions)
        stalled = [
            f"{place.topic}/{place.partition} at {standings[place].position} "
            f"of {standings[place].end}"
            for place in (still if nothing_left else readable)
            if still[place] >= self._patience
        ]
        if not assignment.known and time.monotonic() - began > 2 * self._patience:
            stalled += ["the group gave no partitions"] if self._lag.complete else []
        if stalled:
            if await self._database_answers():
                self._give_up(stalled)
        elif assignment.known and not readable and not nothing_left:
            self._rebuilds, self._failing_since = 0, None
            self._health.recover(PART)

    def _still(
        self,
        partitions: Mapping[TopicPartition, PartitionConsumer[Any]],
        standings: Mapping[TopicPartition, Standing],
    ) -> dict[TopicPartition, float]:
        """Return the partitions that lag and did not move, and for how many measured seconds."""
        still: dict[TopicPartition, float] = {}
        self._marks = {place: mark for place, mark in self._marks.items() if place in standings}
        for place, one in partitions.items():
            if (standing := standings.get(place)) is None:
                continue
            mark = self._marks.get(place)
            if mark is None or mark.consumer is not one:
                mark = _Mark(one, standing.position, standing.measured_at)
                moved = False
            else:
                moved = mark.position != standing.position
            if moved or one.working or not standing.lag:
                mark = _Mark(one, standing.position, standing.measured_at)
            else:
                still[place] = standing.measured_at - mark.since
            self._marks[place] = mark
        return still

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._database.reading() as unit:
                await unit.fetch("SELECT 1")
        except Exception as error:
            if not isinstance(error, TimeoutError) and not is_infrastructure_error(error):
                raise
            self._marks.clear()
            return False
        return True

    def _give_up(self, stalled: list[str]) -> None:
        message = f"The consumer made no progress for {self._patience:g} s: {'; '.join(stalled)}."
        self._rebuilds += 1
        self._metrics.rebuilt.inc()
        if self._rebuilds > _REBUILDS:
            reason = f"The consumer was rebuilt and still makes no progress. {message}"
            self._health.fail_part(PART, reason)
        raise StalledError(message)

"""The relay: moves committed rows of the outbox to Kafka, in order for each key, at least once.

It reads *unsent* rows in ``seq`` order (never ``seq > last``, which would lose a row that commits
late), sends them, and deletes what Kafka acknowledged.
"""

import asyncio
from collections.abc import Collection

import asyncpg
import structlog

from chassis.database.errors import is_infrastructure_error
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publishing.lane import Lane, LaneOptions, Pace
from chassis.messaging.publishing.unsent import PLANS, topics_in
from chassis.messaging.wakeup import connected, relay_channel

log = structlog.get_logger(__name__)

_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MIGRATION_FAILURES = 3  # a migration takes a while: ask each second


class Relay:
    """Publishes one service's outbox for as long as the process lives; several share the work.

    Args:
        service: names the locks and the wake-up channel, which are per database.
        dsn: the direct address of the service's schema.
        kafka: where Kafka is.
        metrics: where it tells what it does.
        urgent_topics: those that must not wait behind a backlog of others: they have a connection
            and a producer of their own.
        pace: how it goes.
    """

    def __init__(
        self,
        *,
        service: str,
        dsn: str,
        kafka: KafkaConnection,
        metrics: RelayMetrics,
        urgent_topics: Collection[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self._service = service
        self._dsn = dsn
        self._kafka = kafka
        self._metrics = metrics
        self._urgent_topics = urgent_topics
        self._pace = pace or Pace()

    async def run(self) -> None:
        """Relay until cancelled; PostgreSQL or Kafka away is waited for, with backoff."""
        if not self._urgent_topics:
            await self._keep_running(self._lane("relay", "true"))
            return
        urgent = topics_in(self._urgent_topics)
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._keep_running(self._lane("relay", f"NOT ({urgent})")))
            lanes.create_task(self._keep_running(self._lane("urgent-relay", urgent, gauges=False)))

    def _lane(self, name: str, topics: str, *, gauges: bool = True) -> LaneOptions:
        return LaneOptions(
            name=f"{self._service}-{name}",
            topics=topics,
            channel=relay_channel(self._service),
            gauges=gauges,
            pace=self._pace,
        )

    async def _keep_running(self, options: LaneOptions) -> None:
        failures = 0
        session = {**PLANS, "idle_session_timeout": f"{int(self._pace.frozen_seconds * 1000)}ms"}
        while True:
            try:
                async with connected(self._dsn, options.name, settings=session) as connection:
                    failures = 0
                    await Lane(
                        connection=connection,
                        kafka=self._kafka,
                        metrics=self._metrics,
                        options=options,
                    ).run()
            except asyncpg.UndefinedTableError as error:
                log.warning(
                    "relay waits: the schema is not as this version needs it; "
                    "apply the service's migrations (python -m chassis.database.migrate)",
                    lane=options.name,
                    error=str(error),
                )
                failures = _MIGRATION_FAILURES
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning(
                    "relay waits for PostgreSQL",
                    lane=options.name,
                    error=f"{type(error).__name__}: {error}",
                )
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1

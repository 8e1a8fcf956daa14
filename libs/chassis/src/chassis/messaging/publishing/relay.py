"""The relay: moves committed rows of the outbox to Kafka, in order for each key, at least once.

It reads *unsent* rows in ``seq`` order, sends them, and deletes those that Kafka acknowledged. It
never reads by ``seq > last`` alone, which would lose a row that commits late.
"""

from collections.abc import Collection

from chassis.cancellation import GuardedTaskGroup
from chassis.database.connecting import QUEUE_PLANS, Connector
from chassis.database.limits import TRANSACTION_SECONDS, milliseconds
from chassis.database.migrated import database_not_ready, needs_migrations
from chassis.loops import Failures, for_ever
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publishing.lane import Lane, LaneOptions, Pace
from chassis.messaging.publishing.unsent import topics_in
from chassis.messaging.wakeup import relay_channel


def session_settings(pace: Pace) -> dict[str, str]:
    """Return the settings of a lane's session, by which PostgreSQL ends that of a frozen relay.

    A limit for idle sessions is not enough. asyncpg prepares a statement with a Flush, and sends
    the Sync with its first use. A relay that is frozen in between leaves its session "active", in a
    transaction that only ``transaction_timeout`` ends.

    Its commits do not wait for the disk. If the server crashes within the next 0.6 s, published
    rows come back, and are published again as after a crash of the relay.
    """
    return {
        **QUEUE_PLANS,
        "synchronous_commit": "off",
        "idle_session_timeout": milliseconds(pace.frozen_seconds),
        "transaction_timeout": milliseconds(min(pace.frozen_seconds, TRANSACTION_SECONDS)),
    }


class Relay:
    """Publishes one service's outbox for as long as the process lives; several share the work.

    Args:
        service: names the locks and the wake-up channel, which are per database.
        connector: opens connections that bypass any pooler.
        kafka: how to connect to Kafka.
        metrics: the metrics of the relay.
        urgent_topics: topics that must not wait behind a backlog of others; they have a separate
            connection and producer.
        pace: the size of a page, intervals and time-outs.
    """

    def __init__(
        self,
        *,
        service: str,
        connector: Connector,
        kafka: KafkaConnection,
        metrics: RelayMetrics,
        urgent_topics: Collection[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self._service = service
        self._connector = connector
        self._kafka = kafka
        self._metrics = metrics
        self._urgent_topics = urgent_topics
        self._pace = pace or Pace()

    async def run(self) -> None:
        """Relay until cancelled; retry with backoff while PostgreSQL or Kafka is unavailable."""
        if not self._urgent_topics:
            await self._keep_running(self._lane("relay", "true"))
            return
        urgent = topics_in(self._urgent_topics)
        async with GuardedTaskGroup() as lanes:
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
        failures = Failures()

        async def relay() -> None:
            await self._relay_while_connected(options, failures)

        await for_ever(
            relay, every=0, name=options.name, passes=database_not_ready, failures=failures
        )

    async def _relay_while_connected(self, options: LaneOptions, failures: Failures) -> None:
        settings = session_settings(self._pace)
        with needs_migrations():
            async with self._connector.opened(options.name, settings=settings) as connection:
                await Lane(
                    connection=connection,
                    kafka=self._kafka,
                    metrics=self._metrics,
                    options=options,
                    on_ready=failures.clear,
                ).run()

"""Only a relay in a process, for tests that kill or freeze it: python relay_process.py DSN ..."""

import asyncio
import sys

from prometheus_client import CollectorRegistry

from chassis.database import Connector
from chassis.messaging import KafkaConnection, Relay
from chassis.messaging.metrics import RelayMetrics
from chassis.messaging.publishing.lane import Pace


def main() -> None:
    service, dsn, bootstrap_servers, topic_prefix = sys.argv[1:]
    relay = Relay(
        service=service,
        connector=Connector.to(dsn),
        kafka=KafkaConnection(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        metrics=RelayMetrics(CollectorRegistry()),
        pace=Pace(page_rows=20, poll_seconds=0.1, frozen_seconds=1),
    )
    asyncio.run(relay.run())


if __name__ == "__main__":
    main()

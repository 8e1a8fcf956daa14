"""One lane of a relay, run step by step, for tests of what happens between two steps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chassis.database import Connector
from chassis.database.connecting import QUEUE_PLANS
from chassis.messaging import relay_channel
from chassis.messaging.publishing.lane import Lane, LaneOptions, Pace

from .conftest import CountingService
from .counting import SERVICE

NAME = f"{SERVICE}-relay"


@asynccontextmanager
async def lane(
    service: CountingService, *, topics: str = "true", name: str = NAME, **pace: Any
) -> AsyncIterator[Lane]:
    """A lane on a separate connection; the test runs its steps."""
    connector = Connector.to(service.urls.runtime_url)
    async with connector.opened(name, settings=QUEUE_PLANS) as connection:
        yield Lane(
            connection=connection,
            kafka=service.kafka,
            metrics=service.relay_metrics,
            options=LaneOptions(
                name=name,
                topics=topics,
                channel=relay_channel(SERVICE),
                gauges=True,
                pace=Pace(**pace),
            ),
            on_ready=lambda: None,
        )

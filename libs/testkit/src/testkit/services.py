"""A declared service in a test: its settings, its processes' resources, its message handlers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.metrics import ConsumerMetrics
from chassis.process import Process
from chassis.service import Service
from chassis.settings import Environment
from chassis.wiring import ServiceResources, ServiceSettings
from testkit.databases import ServiceDatabase
from testkit.tokens import ISSUER, TestTokens

NO_KAFKA = "127.0.0.1:1"


def settings_for(
    service: Service[Any],
    *,
    database: ServiceDatabase,
    tokens: TestTokens,
    more: Mapping[str, Any],
) -> ServiceSettings:
    """Return the settings of the service's API process.

    Args:
        service: the service under test.
        database: the database of the test.
        tokens: their key is the issuer's.
        more: further settings, which override these.
    """
    common: dict[str, Any] = {
        "environment": Environment.DEVELOPMENT,
        "database_url": SecretStr(database.runtime_url),
        "kafka_bootstrap_servers": NO_KAFKA,
        "auth_issuer": ISSUER,
        "auth_jwks_file": tokens.jwks_file,
    }
    settings: ServiceSettings = service.api.settings(**common | dict(more))
    return settings


@asynccontextmanager
async def held[R: ServiceResources](
    opening: Callable[[ServiceSettings, Process], AbstractAsyncContextManager[R]],
    settings: ServiceSettings,
    *,
    name: str,
) -> AsyncIterator[R]:
    """Open the resources of a process of the service, and run its tasks.

    Args:
        opening: the declaration's ``open_api`` or ``open_worker``.
        settings: the settings of the process.
        name: the name of the process.
    """
    process = Process(name=name, settings=settings)
    async with process.running(opening(settings, process)) as resources:
        yield resources


def batch_runner[R: ServiceResources](service: Service[R], resources: R) -> BatchRunner[R]:
    """Return the runner of batches of messages for the service's subscriptions."""
    return BatchRunner(
        service=service.name,
        database=resources.database,
        handling=Handling(
            service=service.name, subscriptions=service.subscriptions, resources=resources
        ),
        metrics=ConsumerMetrics(CollectorRegistry()),
    )

"""Where the tests' Postgres and Kafka come from: local servers from wheels, or containers.

``TEST_SERVERS=local`` (the default) needs no Docker; ``TEST_SERVERS=containers`` uses
testcontainers, with the images of TEST_POSTGRES_IMAGE and TEST_KAFKA_IMAGE.
"""

import asyncio
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chassis.servers import KafkaServer, LocalServer, PostgresServer
from chassis.servers.base import free_port

_PASSWORD = "test"  # noqa: S105 - of a server that lives as long as the tests
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestServers:
    """The addresses of what was asked for; empty for what was not."""

    __test__ = False  # the name begins like a test's

    postgres_url: str = ""
    kafka_bootstrap_servers: str = ""


@contextmanager
def running_servers(which: Collection[str]) -> Iterator[TestServers]:
    """Start the servers named in `which`: ``postgres``, ``kafka``; stop them when left."""
    source = os.environ.get("TEST_SERVERS", "local")
    if source not in _SOURCES:
        message = f"TEST_SERVERS is {source!r}: set it to one of {', '.join(_SOURCES)}"
        raise ValueError(message)
    with _SOURCES[source](which) as servers:
        yield servers


@contextmanager
def _local(which: Collection[str]) -> Iterator[TestServers]:
    with tempfile.TemporaryDirectory(prefix="slipway-tests-") as name, asyncio.Runner() as runner:
        directory = Path(name)
        postgres = PostgresServer(
            directory=directory / "postgres", port=free_port(), password=_PASSWORD, fast=True
        )
        kafka = KafkaServer(directory=directory / "kafka", port=free_port())
        chosen: list[LocalServer] = [one for one in (postgres, kafka) if one.name in which]

        async def start() -> None:
            async with asyncio.TaskGroup() as group:
                for server in chosen:
                    group.create_task(server.start())

        async def stop() -> None:
            await asyncio.gather(*(server.stop() for server in chosen))

        try:
            runner.run(start())
            yield TestServers(
                postgres_url=postgres.url() if "postgres" in which else "",
                kafka_bootstrap_servers=kafka.bootstrap_servers if "kafka" in which else "",
            )
        finally:
            runner.run(stop())


@contextmanager
def _containers(which: Collection[str]) -> Iterator[TestServers]:
    from testcontainers.kafka import KafkaContainer  # noqa: PLC0415 - needs a Docker client
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 - likewise

    with ExitStack() as stack:
        postgres_url = kafka_servers = ""
        if "postgres" in which:
            image = os.environ.get("TEST_POSTGRES_IMAGE", POSTGRES_IMAGE)
            postgres = stack.enter_context(
                PostgresContainer(image, username="postgres", password=_PASSWORD, driver=None)
            )
            postgres_url = postgres.get_connection_url()
        if "kafka" in which:
            image = os.environ.get("TEST_KAFKA_IMAGE", KAFKA_IMAGE)
            kafka = stack.enter_context(KafkaContainer(image).with_kraft())
            kafka_servers = kafka.get_bootstrap_server()
        yield TestServers(postgres_url=postgres_url, kafka_bootstrap_servers=kafka_servers)


_SOURCES = {"local": _local, "containers": _containers}

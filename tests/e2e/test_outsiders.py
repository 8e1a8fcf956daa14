"""A consumer that knows only the gateway's AsyncAPI document reads a running system's events."""

import asyncio
import json
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "python" / "consumer.py"


async def test_a_stranger_reads_the_order_that_was_placed(system, customer, product):
    order = await customer.order(product.id, 2)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(PROGRAM)),
        *("--asyncapi", f"{system.gateway_url}/asyncapi.json"),
        *("--bootstrap-servers", system.settings.brokers),
        *("--prefix", system.settings.kafka_topic_prefix),
        *("--topic", "slipway.orders", "--group", f"stranger-{order.id}"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            event = await event_about(process.stdout, str(order.id))
    finally:
        process.kill()
        await process.wait()
    assert (event["type"], event["sequence"]) == ("order.placed.v1", order.version)
    assert event["data"]["total"] == {"amount": order.total.amount, "currency": "EUR"}


async def event_about(lines, subject):
    async for line in lines:
        event = json.loads(line)
        if event["subject"] == subject:
            return event
    message = "the consumer ended; what it complains of stands above"
    raise AssertionError(message)

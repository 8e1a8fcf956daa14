"""How a relay ends if both sides go between two lines."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from gateway.relays import Client, Relays


async def test_client_and_service_may_both_have_gone_while_a_message_waits():
    """The service's last message was received before its connection was reset."""
    tried, refused, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send_str(_):
        tried.set()
        raise aiohttp.ClientConnectionResetError

    async def receive():
        await tried.wait()
        return aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, "last", None)

    async def close(**_):
        closed.set()

    async def send_to_client(_):
        refused.set()
        raise OSError

    async def receive_from_client():
        await refused.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    service: Any = SimpleNamespace(send_str=send_str, receive=receive, close=close)
    client = Client(receive_from_client, send_to_client, lambda: 0.0)
    relays = Relays(idle_seconds=3600, registry=CollectorRegistry())
    async with asyncio.timeout(5):
        await relays.relay(client, service, {"type": "websocket.receive", "text": "x"})
    assert closed.is_set()

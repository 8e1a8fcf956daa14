"""The live feed that the subscriptions of one client share."""

import asyncio
import json

import pytest

from gateway.graph.calls import FeedClosed
from gateway.graph.feed import Feed


class Socket:
    """A socket to the service, whose close may take a while."""

    def __init__(self, fields):
        self.fields = fields
        self.hello: dict[str, object] = {}
        self.closes = asyncio.Event()
        self.may_close = asyncio.Event()
        self._messages: asyncio.Queue[str | asyncio.CancelledError] = asyncio.Queue()

    def say(self, kind, event_id, **more):
        self._messages.put_nowait(json.dumps({"type": kind, "event_id": event_id, **more}))

    def cancel_by_library(self):
        """Cancel what `receive` awaits, and so not its task."""
        self._messages.put_nowait(asyncio.CancelledError())

    async def send(self, text):
        self.hello = json.loads(text)

    async def receive(self):
        message = await self._messages.get()
        if isinstance(message, asyncio.CancelledError):
            raise message
        return message

    async def close(self):
        self.closes.set()
        await self.may_close.wait()


class Service:
    """Opens sockets."""

    def __init__(self):
        self.opened: asyncio.Queue[Socket] = asyncio.Queue()

    async def open(self, fields):
        socket = Socket(fields)
        self.opened.put_nowait(socket)
        return socket


@pytest.fixture
async def service():
    return Service()


async def test_a_feed_whose_socket_a_library_cancels_fails_its_subscriptions(service):
    """They would otherwise wait for items that nobody reads."""
    items = Feed(feeds=service, fields=[], token="t").follow(None)
    waiting = asyncio.ensure_future(anext(items))
    async with asyncio.timeout(5):
        socket = await service.opened.get()
        socket.may_close.set()
        socket.cancel_by_library()
        with pytest.raises(FeedClosed):
            await waiting


async def test_while_the_feed_begins_again_who_wanted_that_may_be_cancelled(service):
    feed = Feed(feeds=service, fields=[], token="t")
    items = feed.follow(None)
    waiting = asyncio.ensure_future(anext(items))
    async with asyncio.timeout(5):
        first = await service.opened.get()
        first.say("ready", 10)
        first.say("order", 11, data={})
        assert (await waiting).event_id == 11
        older = feed.follow(5)
        wanting = asyncio.ensure_future(anext(older))
        await first.closes.wait()
        wanting.cancel()
        await asyncio.wait([wanting])
        first.may_close.set()
        second = await service.opened.get()
        second.may_close.set()
        second.say("ready", 11)
        second.say("order", 12, data={})
        assert (await anext(items)).event_id == 12
        assert second.hello["last_event_id"] == 5
        await items.aclose()

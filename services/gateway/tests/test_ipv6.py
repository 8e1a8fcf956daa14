"""A service is reached by an IPv6 address, and by a name that has no other."""

import socket
from contextlib import AsyncExitStack

import pytest
from aiohttp.abc import AbstractResolver
from prometheus_client import CollectorRegistry

from gateway.pool.names import Address, Names
from gateway.upstreams import open_upstreams
from testkit.ipv6 import needs_ipv6

from .test_connecting import Server, exchange


class Resolver(AbstractResolver):
    """Resolves every name to these hosts, those of the requested family alone."""

    def __init__(self, *hosts):
        self._hosts = hosts

    async def resolve(self, host, port=0, family=socket.AF_INET):
        found = [
            {"hostname": host, "host": one, "port": port, "family": own, "proto": 0, "flags": 0}
            for one in self._hosts
            if family in {socket.AF_UNSPEC, own := _family(one)}
        ]
        if not found:
            message = "Name has no usable address"
            raise OSError(message)
        return found

    async def close(self):
        pass


def _family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@pytest.fixture
async def server():
    async with Server(host="::1") as server:
        yield server


@pytest.fixture
async def reach(settings):
    async with AsyncExitStack() as stack:

        async def at(url, *hosts):
            own = settings.model_copy(update={"orders_url": url})
            opened = open_upstreams(own, CollectorRegistry(), resolver=Resolver(*hosts))
            return (await stack.enter_async_context(opened))["orders"]

        yield at


@needs_ipv6
async def test_an_address(reach, server):
    upstream = await reach(f"http://[::1]:{server.port}")
    assert await exchange(upstream) == 200
    websocket = await upstream.websocket("/x", fields=[], protocols=())
    assert (await websocket.receive()).data == 1000


@needs_ipv6
async def test_a_name_without_an_ipv4_address(reach, server):
    """As on a cluster that has IPv6 alone."""
    upstream = await reach(f"http://orders.test:{server.port}", "::1")
    assert await exchange(upstream) == 200
    websocket = await upstream.websocket("/x", fields=[], protocols=())
    assert (await websocket.receive()).data == 1000


async def test_a_replica_with_both_addresses_is_one_replica():
    """A name such as localhost has an IPv6 address at which nothing may listen."""
    names = Names(host="orders.test", port=80, resolver=Resolver("::1", "127.0.0.1"))
    assert await names.addresses() == (Address("127.0.0.1", 80),)

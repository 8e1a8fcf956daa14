"""Canaries: limits calls its script as `gateway.library_internals.limits` relies on."""

import pytest
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from valkey.commands.core import AsyncScript

from gateway.library_internals.limits import replace_window_script
from testkit.library_internals import PrivateName

URL = "async+valkey://127.0.0.1:1"  # nothing connects before the first call
WINDOW = "lua_acquire_sliding_window"


def name(owner, attribute, library="limits"):
    return PrivateName(
        library=library,
        owner=owner,
        name=attribute,
        used_by="gateway.library_internals.limits",
    )


async def test_a_storage_has_a_bridge_with_its_registered_script():
    storage = RedisStorage(URL)
    name(storage, "bridge").check()
    name(storage.bridge, WINDOW).check()
    script = getattr(storage.bridge, WINDOW)
    assert isinstance(script, AsyncScript), name(script, "__class__").look_at("is another")
    for attribute in ("registered_client", "script", "sha"):
        name(script, attribute, "valkey").check()


@pytest.mark.parametrize("acquired", [True, False])
async def test_a_limit_is_hit_by_the_script_alone_with_two_keys_and_three_numbers(acquired):
    called = []

    def noting(script):
        async def call(keys, arguments):
            called.append((script, keys, arguments))
            return int(acquired)

        return call

    storage = RedisStorage(URL)
    original = getattr(storage.bridge, WINDOW)
    replace_window_script(storage, noting)
    limiter = SlidingWindowCounterRateLimiter(storage)
    assert await limiter.hit(parse("5/minute"), "a") is acquired
    where = name(storage.bridge, WINDOW)
    ((script, keys, arguments),) = called
    assert script is original
    assert (len(keys), list(arguments)) == (2, [5, 60, 1]), where.look_at(f"was given {arguments}")

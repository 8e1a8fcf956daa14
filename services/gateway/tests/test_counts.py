"""The script that counts in Valkey: its windows slide like those of a process."""

import pytest
from valkey.asyncio import Valkey

from gateway.settlement import Entry, ValkeyStore

WIDTH = 60
KEY = "slipway:counts:default:ada"


@pytest.fixture
async def client(valkey):
    client = Valkey.from_url(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def store(client):
    return ValkeyStore(client)


async def now_of(client):
    """Return the store's time in ms."""
    seconds, microseconds = await client.time()
    return seconds * 1000 + microseconds // 1000


async def begun(client, ago, *, current, previous):
    """Write the counts of a window that began `ago` seconds before; return its beginning in ms."""
    began = await now_of(client) - int(ago * 1000)
    await client.hset(KEY, mapping={"began": began, "current": current, "previous": previous})
    return began


@pytest.mark.parametrize(
    ("ago", "current", "previous", "windows"),
    [(0, 4, 10, 0), (30, 4, 10, 0), (58, 4, 10, 0), (61, 1, 3, 1), (118, 1, 3, 1), (121, 1, 0, 2)],
)
async def test_a_window_that_is_over_becomes_the_one_before(
    client, store, ago, current, previous, windows
):
    began = await begun(client, ago, current=3, previous=10) + windows * WIDTH * 1000
    for number in range(2):
        before = await now_of(client)
        (count,) = await store.add([Entry(KEY, WIDTH, add=1)])
        after = await now_of(client)
        assert (count.current, count.previous) == (current + number, previous)
        assert before - began <= round(count.age * 1000) <= after - began


async def test_what_would_exceed_the_limit_is_not_added(client, store):
    """Of the window before, half still counts: five requests."""
    await begun(client, 29.5, current=3, previous=10)
    answers = [await store.add([Entry(KEY, WIDTH, add=1, limit=9)]) for _ in range(3)]
    assert [count.added for (count,) in answers] == [True, False, False]
    assert [count.current for (count,) in answers] == [4, 4, 4]
    (count,) = await store.add([Entry(KEY, WIDTH, add=2)])
    assert (count.added, count.current) == (True, 6), "without a limit all is added"


async def test_each_key_of_a_call_has_its_own_window_and_limit(store):
    entries = [Entry("a", 1, add=5), Entry("b", WIDTH, add=1, limit=0), Entry("c", WIDTH, add=2)]
    counts = await store.add(entries)
    assert [(count.added, count.current) for count in counts] == [(True, 5), (False, 0), (True, 2)]


async def test_a_key_lives_for_as_long_as_it_counts(client, store):
    await store.add([Entry(KEY, WIDTH, add=1)])
    assert WIDTH * 1000 < await client.pttl(KEY) <= 2 * WIDTH * 1000

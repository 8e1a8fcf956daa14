"""Many objects with few requests."""

import asyncio

import pytest

from gateway.graph.loaders import Loader


class Loaded:
    """Records what is loaded at a time."""

    def __init__(self, *, error=None):
        self.asked = []
        self.error = error

    async def __call__(self, ids):
        self.asked.append(ids)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return {one: one.upper() for one in ids if one != "gone"}


async def test_ids_of_one_round_are_loaded_together_and_each_once():
    load = Loaded()
    loader = Loader(load, at_once=100)
    got = await asyncio.gather(*(loader.load(one) for one in ("a", "b", "a", "gone")))
    assert got == ["A", "B", "A", None]
    assert await loader.load("b") == "B"
    assert load.asked == [["a", "b", "gone"]]


async def test_more_ids_than_fit_are_several_requests():
    load = Loaded()
    loader = Loader(load, at_once=2)
    await asyncio.gather(*(loader.load(one) for one in "abcde"))
    assert load.asked == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_request_that_fails_fails_for_all_that_wait():
    loader = Loader(Loaded(error=ValueError("x")), at_once=100)
    waiting = [loader.load("a"), loader.load("b")]
    for one in waiting:
        with pytest.raises(ValueError, match="x"):
            await one


async def test_an_object_is_loaded_again_after_clear_and_one_that_is_waited_for_is_kept():
    load = Loaded()
    loader = Loader(load, at_once=100)
    await loader.load("a")
    waiting = loader.request("b")
    loader.clear()
    assert loader.found == {}
    assert loader.request("b") is waiting
    assert list(await asyncio.gather(loader.load("a"), loader.load("b"))) == ["A", "B"]
    assert load.asked == [["a"], ["b"], ["a"]]
    assert loader.found == {"a": "A", "b": "B"}


async def test_one_who_no_longer_waits_does_not_end_the_request_of_the_others():
    loader = Loader(Loaded(), at_once=100)
    leaving, staying = (asyncio.create_task(loader.load("a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "A"
    assert leaving.cancelled()


async def test_ids_that_are_wanted_while_a_request_runs_are_another_request():
    load = Loaded()
    loader = Loader(load, at_once=100)
    first = loader.request("a")
    await asyncio.sleep(0)
    assert not first.done()
    assert await loader.load("b") == "B"
    assert load.asked == [["a"], ["b"]]

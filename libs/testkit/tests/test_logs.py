"""A test sees its own log lines and those of the tasks that it starts, and no others."""

import asyncio

import structlog

from testkit.logs import own_logs

log = structlog.get_logger()


async def test_lines_of_the_block_and_of_the_tasks_started_in_it_are_seen():
    async def task():
        log.warning("task", number=1)

    with own_logs() as entries:
        log.info("block")
        await asyncio.create_task(task())

    assert entries == [
        {"event": "block", "log_level": "info"},
        {"event": "task", "log_level": "warning", "number": 1},
    ]


async def test_lines_of_a_task_that_ran_before_are_not():
    go, done = asyncio.Event(), asyncio.Event()

    async def neighbour():
        await go.wait()
        log.warning("neighbour")
        done.set()

    task = asyncio.create_task(neighbour())
    with own_logs() as entries:
        go.set()
        await done.wait()
    await task

    assert entries == []


async def test_a_capture_inside_another_sees_its_own_and_gives_back():
    with own_logs() as outer:
        with own_logs() as inner:
            log.info("inner")
        log.info("outer")

    assert [entry["event"] for entry in inner] == ["inner"]
    assert [entry["event"] for entry in outer] == ["outer"]

"""Cancellation: work that must be completed in spite of it, and work that a library cancels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, override

import structlog

log = structlog.get_logger(__name__)


class StrayCancellationError(Exception):
    """A task awaited something that was cancelled, although nobody cancelled the task."""


async def guarded[T](work: Awaitable[T]) -> T:
    """Return the result of `work`, or raise its error; a stray CancelledError is an error, too.

    A library that cancels a future raises CancelledError in the task that awaits it. Whoever waits
    for the task would believe that it was cancelled on purpose, and go on without it.

    Raises:
        StrayCancellationError: `work` raised CancelledError, but this task was not cancelled.
    """
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        message = "Something that the task awaited was cancelled, but not the task itself."
        raise StrayCancellationError(message) from error


async def all_of[T](works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of all `works`, or end them and raise the error of the first that fails.

    ``asyncio.gather`` would leave the others running, and a TaskGroup would raise a group.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class GuardedTaskGroup(asyncio.TaskGroup):
    """A TaskGroup that fails if a library cancels what one of its tasks awaits; see ``guarded``."""

    @override
    def create_task[T](
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Run `coro` in the group."""
        work = guarded(coro)
        try:
            task = super().create_task(work, name=name, context=context)
        except RuntimeError:  # the group has ended its tasks
            work.close()
            coro.close()
            raise
        # A task that is cancelled before its first step never awaits its coroutine.
        task.add_done_callback(lambda _: coro.close())
        return task


async def to_the_end(
    work: Coroutine[Any, Any, None],
    *,
    patience: float | None = None,
    give_up: Callable[[], object] | None = None,
) -> None:
    """Finish `work` even if this task is cancelled, then re-raise the cancellation.

    Args:
        work: runs in a task of its own.
        patience: seconds that `work` gets after the first cancellation. Then it is cancelled as
            well: a server that never responds must not keep a process from stopping. None waits
            for ever.
        give_up: is called in place of the cancellation of `work`, which it must make end.
    """
    # An eager task costs nothing more than a call if `work` ends without waiting.
    working = asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await _ended(working)
        except asyncio.CancelledError as error:
            if cancelled is None and patience is not None:
                asyncio.get_running_loop().call_later(patience, give_up or working.cancel)
            cancelled = error
    try:
        working.result()
    finally:
        if cancelled is not None:
            raise cancelled


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait until `task` has ended; its outcome is not raised. ``asyncio.wait`` costs thrice."""
    ended = asyncio.get_running_loop().create_future()

    def tell(_: asyncio.Task[None]) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(tell)
    try:
        await ended
    finally:
        task.remove_done_callback(tell)


async def close_after(ended: BaseException, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `close` to the end after a block that `ended` left; its own error is only logged."""
    try:
        await to_the_end(close())
    except Exception as error:  # noqa: BLE001 - see ``closed_by``
        log.warning("close failed", error=str(error), ended=type(ended).__name__)


@asynccontextmanager
async def closed_by(close: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `close` to the end after the block; an error or a cancellation of the block is re-raised.

    Closing a dead connection raises an error. From a ``finally``, that error would replace a
    cancellation: the task would end as failed, and the code that cancelled it (a time-out, a
    TaskGroup) would see an error that did not cause the end.

    Args:
        close: called once. Its own error is raised only if the block ended without one, and logged
            otherwise.
    """
    try:
        yield
    except BaseException as ended:
        await close_after(ended, close)
        raise
    await to_the_end(close())


async def result_of[T](task: "asyncio.Future[T]") -> T:
    """Return the result of a task that goes on if its caller is cancelled, who then looks after it.

    Unlike ``asyncio.shield`` since Python 3.14, it does not report an error that comes after the
    cancellation as unhandled.
    """
    await asyncio.wait([task])
    return task.result()

"""The only place that commits: one request, or one batch of messages, is one transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import cast

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

BeforeCommit = Callable[[AsyncSession], Awaitable[None]]
AfterCommit = Callable[[], None]

_BEFORE = "chassis.before_commit"
_AFTER = "chassis.after_commit"

tracer = trace.get_tracer(__name__)


def before_commit(session: AsyncSession, step: BeforeCommit) -> None:
    """Run `step` at the end of the session's transaction, after the flush, in order of calls.

    A step may register further ones: they run last.
    """
    cast("list[BeforeCommit]", session.info.setdefault(_BEFORE, [])).append(step)


def after_commit(session: AsyncSession, step: AfterCommit) -> None:
    """Call `step` once the session's transaction is committed; it must not block or raise."""
    cast("list[AfterCommit]", session.info.setdefault(_AFTER, [])).append(step)


@asynccontextmanager
async def run_transaction(
    sessions: async_sessionmaker[AsyncSession],
) -> AsyncIterator[AsyncSession]:
    """Open a session, give it, commit; roll back when the block raises."""
    async with sessions() as session:
        yield session
        await _commit(session)


async def _commit(session: AsyncSession) -> None:
    with tracer.start_as_current_span("commit") if _BEFORE in session.info else nullcontext():
        await session.flush()
        # A step may write what registers another step.
        while before := cast("list[BeforeCommit]", session.info.pop(_BEFORE, [])):
            for step in before:
                await step(session)
            await session.flush()
        await session.commit()
    for done in cast("list[AfterCommit]", session.info.pop(_AFTER, [])):
        done()

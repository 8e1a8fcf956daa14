"""The deadline of a request: after it nobody waits for the response, so no work may begin (ADR 25).

A context variable holds the deadline. Code that opens a transaction or hashes a password checks it,
and no function in between has to pass it on.
"""

import asyncio
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from chassis.errors import Unavailable

_UNCHANGED = "The transaction was rolled back: nothing was changed. Send the request again."
_PARTLY_CHANGED = (
    "An earlier step of the request was committed and stays; the rest was rolled back. Read the "
    "present state before you send the request again."
)


class DeadlineExceeded(Unavailable):
    """The request could not be completed in time.

    The caller no longer waits for the response, or is about to stop waiting.
    """


class Deadline:
    """The deadline of one request: cancels the task that entered it when the time is up.

    It does not cancel after a COMMIT was sent, because only the outcome of the COMMIT determines
    the response. ``check_deadline`` makes it cancel again, for the next transaction of the request.
    It has no effect after its ``async with`` block, so it does not stop a task that the request
    started and that outlives it.

    Args:
        seconds: the time until the deadline. None sets no limit.
    """

    def __init__(self, *, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = None if seconds is None else self._loop.time() + seconds
        self._timeout = asyncio.timeout_at(self._at)
        self._token: Token[Deadline | None] | None = None
        self._cancels = False
        self._commits = 0

    async def __aenter__(self) -> Self:
        self._token = _current.set(self)
        await self._timeout.__aenter__()
        self._cancels = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None
        await self._timeout.__aexit__(kind, error, traceback)

    @property
    def exceeded(self) -> bool:
        """Whether the time is up."""
        return self._timeout.expired() or (self._at is not None and self._loop.time() >= self._at)

    def error(self) -> DeadlineExceeded:
        """Return the error, whose text says whether anything was changed."""
        return DeadlineExceeded(_PARTLY_CHANGED if self._commits else _UNCHANGED)

    def check(self) -> None:
        """Arrange that the task is cancelled at the deadline, also after a COMMIT.

        Raises:
            DeadlineExceeded: the time is up already.
        """
        if self._token is None:
            return
        if self.exceeded:
            raise self.error()
        if not self._cancels:
            self._cancels = True
            self._timeout.reschedule(self._at)

    def begin_commit(self) -> None:
        """Let the COMMIT that follows run to its end.

        Raises:
            DeadlineExceeded: the time is up already; nothing may be committed.
        """
        if self._token is None:
            return
        self.check()
        self._commits += 1
        self.release()

    def commit_failed(self) -> None:
        """Take note that nothing was committed after the last ``begin_commit``."""
        if self._token is not None:
            self._commits -= 1

    def release(self) -> None:
        """Stop cancelling, because the response is decided."""
        if self._cancels and not self._timeout.expired():
            self._cancels = False
            self._timeout.reschedule(None)

    def end_now(self) -> None:
        """Set the deadline to now."""
        self._at = self._loop.time()
        if self._cancels and not self._timeout.expired():
            self._timeout.reschedule(self._at)


_current: ContextVar[Deadline | None] = ContextVar("chassis.deadline", default=None)


def current_deadline() -> Deadline | None:
    """Return the deadline of the request that this task works for, or None."""
    return _current.get()


def check_deadline() -> None:
    """Raise DeadlineExceeded if the deadline of this request has passed.

    Call it before costly work: a transaction, a hash. Outside a request it does nothing.
    """
    deadline = _current.get()
    if deadline is not None:
        deadline.check()


def begin_commit() -> None:
    """Raise DeadlineExceeded like ``check_deadline``, or let the COMMIT that follows finish."""
    deadline = _current.get()
    if deadline is not None:
        deadline.begin_commit()


def commit_failed() -> None:
    """Take note that nothing was committed after ``begin_commit``."""
    deadline = _current.get()
    if deadline is not None:
        deadline.commit_failed()

"""What a test's own code logs.

Fixtures of the session keep processes running beside each test (a service whose Kafka is away
logs each attempt), so a capture of the whole process holds lines that are not the test's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from structlog import DropEvent
from structlog.testing import capture_logs  # noqa: TID251 - limited to the test's own below
from structlog.typing import EventDict, WrappedLogger

_owner: ContextVar[object] = ContextVar("owner of the log lines", default=None)


@contextmanager
def own_logs() -> Iterator[list[EventDict]]:
    """Capture what is logged inside the block and by the tasks that are started inside it.

    Log lines of any other task are dropped until the block ends.

    Yields:
        the log entries so far, oldest first; it grows while the block runs.
    """
    me = object()

    def only_mine(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if _owner.get() is not me:
            raise DropEvent
        return event

    token = _owner.set(me)
    try:
        with capture_logs(processors=[only_mine]) as entries:
            yield entries
    finally:
        _owner.reset(token)

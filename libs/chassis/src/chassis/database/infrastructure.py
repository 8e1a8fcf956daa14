"""Distinguishes temporary failures of our own database from errors of data, code and third parties.

An exception's type is not enough: the client of a mail server raises ConnectionError as well. So
the database layer marks the errors that it raises, and only marked errors are infrastructure.
"""

import asyncio
from collections.abc import Iterator

_MARK = "_chassis_infrastructure"


def mark_infrastructure[E: BaseException](error: E) -> E:
    """Mark `error` as a failure of our own database, and return it.

    Only the database layer calls it, where the error is raised.
    """
    setattr(error, _MARK, True)
    return error


def is_infrastructure_error(error: BaseException) -> bool:
    """Return whether our own database failed, so that the same work may succeed later, unchanged.

    True for lost or refused connections, time-outs, deadlocks, serialization failures, a server
    that is starting, stopping or read-only, a rejected password, and a statement whose tables were
    just migrated. Also True for an error that was raised because of one of these, and for a group
    that contains one.

    False for everything that the database layer did not raise: a ConnectionError, a TimeoutError
    or an SSLError of a third party is a failure of the code that called it.
    """
    return any(getattr(one, _MARK, False) for one in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes; for a group, also its members and their causes."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        # A time limit cancels the code that it interrupts. An error below the cancellation is not
        # the reason of the failure.
        if id(one) in seen or isinstance(one, asyncio.CancelledError):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is not None:
            waiting.append(cause)

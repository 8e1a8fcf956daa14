"""An error as one line of text, for a log entry or a column."""

from collections.abc import Iterator

_MOST = 2000


def describe(error: BaseException) -> str:
    """Return an error's type and text in one line that PostgreSQL can store.

    For a group it returns those of its members. Only the first line of a text is kept, because
    further lines may quote personal data.
    """
    return "; ".join(_line(one) for one in leaves(error))[:_MOST]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the error itself, or the members of a group and of the groups in it."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


def _line(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    storable = lines[0].encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return f"{type(error).__name__}: {storable}"

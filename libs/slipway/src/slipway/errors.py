"""Errors that end a command with a sentence for the user instead of a stack trace."""

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 + SIGINT, as shells give it."""


class SlipwayError(Exception):
    """An error that the user can act on; the text says what, where, and what to do."""


class StartError(SlipwayError):
    """A process did not start; the text carries the last lines of its log."""


class AlreadyRunningError(SlipwayError):
    """Another `slipway up` uses the same state directory."""


class RemoteError(SlipwayError, OSError):
    """A process elsewhere can't be read; an OSError, like an address that nobody serves."""


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors inside nested exception groups, in order."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]

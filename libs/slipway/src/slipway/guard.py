"""Errors that the user can act on, printed as sentences; anything else keeps its stack trace."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import typer
from rich.console import Console

from slipway.errors import INTERRUPTED, SlipwayError, leaves

_errors = Console(stderr=True, soft_wrap=True)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def run[Result](work: Coroutine[Any, Any, Result], *expected: type[Exception]) -> Result:
    """Run `work` in an event loop, as `guard` does."""
    return guard(lambda: asyncio.run(work), *expected)


def guard[Result](work: Callable[[], Result], *expected: type[Exception]) -> Result:
    """Return the result of `work`; print an expected error without a stack trace.

    Args:
        work: may raise SlipwayError or an expected error.
        expected: more types of errors that the user can act on. The caller passes the types of
            development packages, because the operators' commands run without these packages.
    """
    try:
        return work()
    except Exception as error:
        errors = leaves(error)
        usual: tuple[type[Exception], ...] = (SlipwayError, *expected)
        if not all(isinstance(leaf, usual) or _no_space(leaf) for leaf in errors):
            raise
        for leaf in errors:
            advice = ". Free space, then try again." if _no_space(leaf) else ""
            _errors.print(f"slipway: {leaf}{advice}", style="red", markup=False, highlight=False)
    except KeyboardInterrupt:
        _errors.print("slipway: interrupted")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(1)


def _no_space(error: BaseException) -> bool:
    """Return whether the error is one of a full or read-only disk, which any command may meet."""
    return isinstance(error, OSError) and error.errno in _NO_SPACE

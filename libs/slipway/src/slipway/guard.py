"""Errors that the user can act on, printed as sentences; anything else keeps its stack trace."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import typer
from rich.console import Console

from chassis.servers import ServerError
from slipway.errors import SlipwayError, leaves

_errors = Console(stderr=True, soft_wrap=True)


def run[Result](work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in an event loop, as `guard` does."""
    return guard(lambda: asyncio.run(work))


def guard[Result](work: Callable[[], Result]) -> Result:
    """Do `work`; an error that the user can act on is printed without a stack trace."""
    try:
        return work()
    except (SlipwayError, ServerError, ExceptionGroup) as error:
        errors = leaves(error)
        if not all(isinstance(leaf, SlipwayError | ServerError) for leaf in errors):
            raise
        for leaf in errors:
            _errors.print(f"slipway: {leaf}", style="red", markup=False, highlight=False)
    except KeyboardInterrupt:
        _errors.print("slipway: interrupted")
    raise typer.Exit(1)

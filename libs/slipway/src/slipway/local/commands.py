"""The command `up`."""

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from slipway.console import Reporter
from slipway.guard import run
from slipway.local.forks import running_template
from slipway.local.plan import local_plan

if TYPE_CHECKING:
    from slipway.local.forks import Template
    from slipway.local.system import System

up_app = typer.Typer(add_completion=False)

_console = Console()


@up_app.command()
def up(
    *,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="A change of source restarts the processes that run it."),
    ] = False,
) -> None:
    """Start the whole system and keep it running until Ctrl-C.

    Starts Postgres, Kafka, Valkey, a mail sink and a trace sink, migrates the databases, starts
    gateway, users, orders and notifications, and seeds demo accounts and products. A process that
    dies is named and started again. Data stays in .slipway/ (setting SLIPWAY_STATE_DIR).

    With --reload, one that fails after a change is named with its last lines, and waits for the
    next change; this command itself is not reloaded.
    """
    reporter = Reporter(_console)
    with running_template() as template:
        _run_until_signal(reporter, reload=reload, template=template)
    reporter.say("Everything has stopped")


def _run_until_signal(reporter: Reporter, *, reload: bool, template: "Template | None") -> None:
    started = time.monotonic()
    plan = replace(local_plan(), reload=reload, template=template)
    from localservers import ServerError  # noqa: PLC0415  # needs the extra `local`
    from slipway.local.foreground import addresses, run_until_signal  # noqa: PLC0415  # likewise

    async def show_and_wait(system: "System") -> None:
        _console.print(addresses(system.settings))
        reporter.say(f"Ready in {time.monotonic() - started:.1f} s")
        await asyncio.Event().wait()

    run(run_until_signal(plan, reporter, show_and_wait), ServerError)

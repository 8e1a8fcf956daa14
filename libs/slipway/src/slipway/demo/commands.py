"""The command `demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway.console import Reporter
from slipway.demo.journey import as_table, play
from slipway.guard import run
from slipway.local.plan import local_plan
from slipway.local.readiness import until_ready
from slipway.place import state_directory

app = typer.Typer(add_completion=False)

_console = Console()


@app.command()
def demo(
    *,
    url: Annotated[
        str | None, typer.Option(help="The gateway of a system elsewhere: http://host:port.")
    ] = None,
    traces_url: Annotated[
        str | None, typer.Option(help="The trace sink of that system: http://host:port.")
    ] = None,
    no_traces: Annotated[
        bool, typer.Option("--no-traces", help="Show only the hops that the client sees.")
    ] = False,
) -> None:
    """Place one order and show its hops: request, commit, published, consumed, stored, pushed.

    Then support confirms and ships the order, and the customer receives a push for each.

    Uses the running system, or the one at --url. Waits for a system that is starting. If none runs,
    starts one, and stops it after the demo.
    """
    reporter = Reporter(_console)

    async def show(gateway_url: str, traces_url: str | None, logs: Path | None = None) -> None:
        traces = None if no_traces else traces_url
        _console.print(as_table(await play(gateway_url, traces, reporter, logs=logs)))

    if url is not None:
        if traces_url is None and not no_traces:
            message = "--url is given without a trace sink. Add --traces-url URL, or --no-traces."
            raise typer.BadParameter(message)
        run(show(url, traces_url))
        return
    state = state_directory()
    if state.is_held():

        async def wait_and_show() -> None:
            record = await until_ready(state, reporter)
            await show(record.gateway_url, record.traces_url, state.logs)

        run(wait_and_show())
        return
    plan = local_plan()
    from localservers import ServerError  # noqa: PLC0415  # needs `local`
    from slipway.local.foreground import run_until_signal  # noqa: PLC0415  # likewise

    reporter.say("No system runs; starting one for the demo")
    finished = run(
        run_until_signal(
            plan,
            reporter,
            lambda system: show(system.gateway_url, system.traces_url, system.state.logs),
        ),
        ServerError,
    )
    if not finished:
        raise typer.Exit(1)

"""The `slipway` command: reads its arguments and settings, and calls what does the work."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chassis.settings import load
from slipway import dead_letters
from slipway import demo as demonstration
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.mail import find_mail, mail_directory, read_mails
from slipway.operations import database_app, keys_app, secrets_app, seed, topics_app
from slipway.replay import replay
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory, find_root
from slipway.status import as_table, read_status

if TYPE_CHECKING:
    from slipway.bench.command import Bench
    from slipway.system import Plan, System

app = typer.Typer(
    help="Runs Slipway on this machine: starts it, shows it, migrates its databases.",
    no_args_is_help=True,
    add_completion=False,
)
migrations_app = typer.Typer(help="Write migrations.", no_args_is_help=True)
app.add_typer(migrations_app, name="migrations")
app.add_typer(topics_app, name="topics")
app.add_typer(database_app, name="db")
app.add_typer(keys_app, name="keys")
app.add_typer(secrets_app, name="secrets")
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(seed)
app.command()(replay)

_console = Console()
_Service = Annotated[str, typer.Argument(help="users, orders or notifications.")]


@app.command()
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
    plan, reporter = replace(_plan(), reload=reload), Reporter(_console)
    from slipway.foreground import addresses, run_until_signal  # noqa: PLC0415  # needs `local`

    started = time.monotonic()

    async def show_and_wait(system: "System") -> None:
        _console.print(addresses(system.settings))
        reporter.say(f"Ready in {time.monotonic() - started:.1f} s")
        await asyncio.Event().wait()

    run(run_until_signal(plan, reporter, show_and_wait))
    reporter.say("Everything has stopped")


@app.command()
def demo(
    *,
    url: Annotated[
        str | None, typer.Option(help="The gateway of a system elsewhere: http://host:port.")
    ] = None,
    traces_url: Annotated[
        str | None, typer.Option(help="The trace sink that belongs to --url.")
    ] = None,
    no_traces: Annotated[
        bool, typer.Option("--no-traces", help="Show no hop that only a trace shows.")
    ] = False,
) -> None:
    """Place one order and show its way: request, commit, published, consumed, pushed.

    Uses the running system, or that of --url; where none runs, one is started for the time of the
    demo.
    """
    reporter = Reporter(_console)

    async def show(gateway_url: str, traces_url: str | None) -> None:
        traces = None if no_traces else traces_url
        _console.print(
            demonstration.as_table(await demonstration.play(gateway_url, traces, reporter))
        )

    if url is not None:
        if traces_url is None and not no_traces:
            message = "--url needs --traces-url, or --no-traces"
            raise typer.BadParameter(message)
        run(show(url, traces_url))
        return
    record = _state().read()
    if record is not None and record.alive:
        run(show(record.gateway_url, record.traces_url))
        return
    plan = _plan()
    from slipway.foreground import run_until_signal  # noqa: PLC0415  # needs `local`

    reporter.say("No system runs: starting one for the time of the demo")
    finished = run(
        run_until_signal(plan, reporter, lambda system: show(system.gateway_url, system.traces_url))
    )
    if not finished:
        raise typer.Exit(1)


@app.command()
def bench(
    rows: Annotated[
        list[str] | None, typer.Argument(help="gateway, orders; all when left out.")
    ] = None,
) -> None:
    """Measure the system against its peers, as ratios; all rows together write docs/performance.md.

    On servers and processes of its own. Needs two cores that are otherwise idle, and Debian's wrk
    and haproxy, which it installs where root runs it.
    """

    def make() -> "Bench":
        with _local():
            from slipway.bench.command import Bench  # noqa: PLC0415  # needs the extra `local`
        directory = _state().path / "bench"
        return Bench(root=_root(), directory=directory, reporter=Reporter(_console))

    if not run(guard(make).run(rows or [])):
        raise typer.Exit(1)


@app.command()
def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show what runs: pid, health, address and memory. Exit status 1 unless all is well."""
    found = run(read_status(_state()))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    elif found.state == "stopped":
        _console.print("No system runs here: `slipway up` starts one.")
    else:
        _console.print(as_table(found))
    if not found.healthy:
        raise typer.Exit(1)


@app.command()
def migrate(
    service: Annotated[
        str | None, typer.Argument(help="users, orders or notifications; all when left out.")
    ] = None,
) -> None:
    """Bring the schema of one service, or of all, to its newest revision.

    The local Postgres of `slipway up` must run, or DATABASE_OWNER_URL name another one.
    """
    from slipway import migrate as alembic  # noqa: PLC0415  # heavy, and no other command needs it

    root, settings = _root(), load(SlipwaySettings)
    names = guard(lambda: alembic.migrate(service, root=root, settings=settings))
    _console.print(f"At their newest revision: {', '.join(names)}")


@migrations_app.command("new")
def new_migration(
    service: _Service, text: Annotated[str, typer.Argument(help="What it changes, in words.")]
) -> None:
    """Write a service's next migration: what its tables have and the database hasn't.

    Read what it wrote before you commit it: a renamed column looks like one dropped and one added.
    """
    from slipway import migrate as alembic  # noqa: PLC0415  # heavy, and no other command needs it

    root, settings = _root(), load(SlipwaySettings)
    guard(lambda: alembic.write_migration(service, text, root=root, settings=settings))


@app.command()
def mail(
    number: Annotated[
        int | None, typer.Argument(help="The message to show; without it, all are listed.")
    ] = None,
) -> None:
    """List the messages that the mail sink received, or show one."""
    directory = mail_directory(_state())
    if number is not None:
        found = guard(lambda: find_mail(directory, number))
        for name in ("From", "To", "Subject", "Date"):
            _console.print(f"{name}: {found.message[name]}", markup=False, highlight=False)
        _console.print(f"\n{found.text}", markup=False, highlight=False)
        return
    table = Table("number", "date", "to", "subject")
    for item in read_mails(directory):
        headers = (str(item.message[name] or "") for name in ("Date", "To", "Subject"))
        table.add_row(str(item.number), *(escape(text) for text in headers))
    _console.print(table)


def main() -> None:
    """The entry point of the `slipway` command."""
    app()


def _plan() -> "Plan":
    """Where the system runs, and how."""

    def make() -> "Plan":
        with _local():
            from slipway.system import Plan  # noqa: PLC0415  # needs the extra `local`
        return Plan(settings=load(SlipwaySettings), root=find_root(Path.cwd()))

    return guard(make)


@contextmanager
def _local() -> Iterator[None]:
    """Import what starts servers: an extra, which images leave out."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing: install `slipway[local]`, which starts servers"
        raise SlipwayError(message) from error


def _root() -> Path:
    return guard(lambda: find_root(Path.cwd()))


def _state() -> StateDirectory:
    return StateDirectory(_root() / load(SlipwaySettings).slipway_state_dir)


if __name__ == "__main__":
    main()

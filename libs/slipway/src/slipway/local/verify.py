"""`slipway verify`: compare the services with each other through their own data and events."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chassis.settings import load
from slipway.errors import SlipwayError
from slipway.guard import guard
from slipway.local.processes import PROCESSES, Surroundings
from slipway.operate.database import Database
from slipway.operate.keys import make_keys
from slipway.operate.verify import Source, Verified, source_via, verify
from slipway.place import repository_root, state_directory
from slipway.services import NAMES, SERVICES, role_names
from slipway.settings import HOST, SlipwaySettings

app = typer.Typer(add_completion=False)

_console = Console()


@app.command("verify")
def verify_services(
    services: Annotated[
        list[str] | None, typer.Argument(help=f"{NAMES}; all when left out.")
    ] = None,
    *,
    via: Annotated[
        str | None,
        typer.Option(
            help="How to run a command in a service's pod or container: "
            "'kubectl exec deploy/slipway-{service}-worker --'. Without it: in the system of "
            "`slipway up`."
        ),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=1, help="Rows and messages that are read in a second, at most.")
    ] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compare each service's data with its events, and name what differs.

    It only reads, with each service's own roles. Work in progress is no difference. Exit status 1
    if anything differs.
    """
    sources = guard(lambda: _sources(services or SERVICES, via=via, rate=rate))
    result = guard(lambda: verify(sources))
    if as_json:
        sys.stdout.write(result.to_json() + "\n")
    else:
        _print(result)
    if result.found:
        raise typer.Exit(1)


def _sources(names: Sequence[str], *, via: str | None, rate: int) -> list[Source]:
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        message = f"There is no service {unknown[0]!r}. Use one of: {NAMES}."
        raise SlipwayError(message)
    if via is not None:
        return [source_via(name, via, rate=rate) for name in names]
    state = state_directory()
    record = state.read()
    if record is None or not record.alive:
        message = "No system runs here. Start one with `slipway up`, or give --via."
        raise SlipwayError(message)
    settings = load(SlipwaySettings)
    surroundings = Surroundings(
        settings=settings,
        root=repository_root(),
        env_file=".env",
        database=Database(
            superuser_url=f"postgresql://{HOST}:{settings.postgres_port}",
            name="slipway",
            passwords=state.passwords(role_names()),
        ),
        keys=make_keys(state),
    )
    rows = {row.name: row for row in PROCESSES}
    specs = {name: surroundings.spec(rows[f"{name}-worker"]) for name in names}
    return [local_source(name, spec.environment, rate=rate) for name, spec in specs.items()]


def local_source(service: str, environment: Mapping[str, str], *, rate: int) -> Source:
    """Return the command that writes the facts of a service on this machine.

    Args:
        service: its name.
        environment: that of its worker.
        rate: how many rows and messages it reads in a second, at most.
    """
    command = (sys.executable, "-m", "chassis.run", service, "facts", "--rate", str(rate))
    return Source(service=service, command=command, environment=environment)


def _print(result: Verified) -> None:
    for finding in result.findings:
        _console.print(str(finding), markup=False, highlight=False, soft_wrap=True)
    if result.found > len(result.findings):
        _console.print(f"… and {result.found - len(result.findings)} more")
    table = Table("compared", "facts")
    for group, counts in result.counts.items():
        if counts:
            listed = ", ".join(f"{number} {kind}" for kind, number in counts.items())
            table.add_row(group, listed)
    _console.print(table)
    if result.waiting:
        _console.print(
            f"{result.waiting} messages are parked, skipped or discarded: `slipway dead-letters`"
        )
    _console.print("Nothing differs." if not result.found else f"{result.found} differ.")

"""`slipway verify`: compare the services with each other through their own data and events."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway.console import Reporter
from slipway.guard import guard
from slipway.operate.verify import Source, Verified, source_via, verify
from slipway.services import NAMES, SERVICES, require_known

app = typer.Typer(add_completion=False)

_console = Console()
_errors = Console(stderr=True)


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
    # On a terminal alone: what programs read on stderr are errors.
    reporter = Reporter(_errors) if _errors.is_terminal else Reporter.silent()
    result = guard(lambda: verify(sources, step=reporter.step))
    if as_json:
        sys.stdout.write(result.to_json() + "\n")
    else:
        _print(result)
    if result.found:
        raise typer.Exit(1)


def _sources(names: Sequence[str], *, via: str | None, rate: int) -> list[Source]:
    for name in names:
        require_known(name)
    if via is not None:
        return [source_via(name, via, rate=rate) for name in names]
    # It knows the local servers, which an image does not have.
    from slipway.local.facts import local_sources  # noqa: PLC0415 - see above

    return local_sources(names, rate=rate)


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

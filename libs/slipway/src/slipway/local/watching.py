"""The command `status`: of this machine, of processes elsewhere, or of a cluster."""

import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.local.status import Status, as_tables, read_status, read_status_at
from slipway.operate.remote import Credentials, Remote
from slipway.place import state_directory

status_app = typer.Typer(add_completion=False)

_console = Console()
_WATCH_SECONDS = 2.0


@status_app.command()
def status(
    *,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="A process elsewhere: NAME=http://host:port of its internal port, or https:// of "
            "a proxy in front of it; may be repeated."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="All pods of a cluster, through its API server: https://host:6443. The token must "
            "be one that may list `pods` and get `pods/proxy`."
        ),
    ] = None,
    namespace: Annotated[str, typer.Option(help="Where the pods are.")] = "slipway",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SLIPWAY_STATUS_TOKEN",
            help="A bearer token for --at or --cluster. Other users of this machine see the "
            "options of a command: prefer the variable or --token-file.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token; it is read again each time.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificates of the authority to trust, in PEM.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every two seconds, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show what runs, what waits, what failed and what was refused.

    Exit status 1 unless all is healthy.
    """
    addresses = guard(lambda: _addresses(at or []))

    def read() -> Status:
        if not addresses and cluster is None:
            return run(read_status(state_directory()))
        credentials = guard(lambda: Credentials.of(token, token_file, ca_file))
        return run(_read_elsewhere(addresses, cluster, namespace, credentials))

    found = read()
    _show(found, as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        while watch and found.state != "stopped":
            time.sleep(_WATCH_SECONDS)
            found = read()
            if not as_json:
                _console.clear()
            _show(found, as_json=as_json)
    if not found.healthy:
        raise typer.Exit(1)


def _show(found: Status, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    elif found.state == "stopped":
        _console.print("No system runs here: `slipway up` starts one.")
    else:
        _console.print(as_tables(found))


async def _read_elsewhere(
    addresses: dict[str, str], cluster: str | None, namespace: str, credentials: Credentials
) -> Status:
    async with Remote.opened(credentials) as remote:
        pods = {} if cluster is None else await remote.pods(cluster, namespace)
        return await read_status_at(pods | addresses, remote.get)


def _addresses(texts: Iterable[str]) -> dict[str, str]:
    """Return addresses by name, from NAME=ADDRESS."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, address = text.partition("=")
        if not name or not address.startswith(("http://", "https://")):
            message = f"--at {text} is not valid. Write NAME=http://host:port."
            raise SlipwayError(message)
        found[name] = address
    return found

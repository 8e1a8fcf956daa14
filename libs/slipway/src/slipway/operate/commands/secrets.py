"""The command `secrets`."""

from typing import Annotated

import typer
from rich.console import Console

from slipway.guard import guard, run
from slipway.operate import cluster

app = typer.Typer(
    help="Secrets of a Kubernetes namespace.", no_args_is_help=True, add_completion=False
)

_console = Console(soft_wrap=True)
_Password = Annotated[
    list[str] | None, typer.Option("--password", help="SECRET/ENTRY for a password.")
]


@app.callback()
def _group() -> None:
    """Make typer require a subcommand, although there is only one."""


@app.command("make")
def make_secrets(
    *,
    keys: Annotated[str | None, typer.Option(help="The Secret for the signing keys.")] = None,
    password: _Password = None,
    label: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, on each Secret that is made.")
    ] = None,
) -> None:
    """Make the Secrets that are missing in this pod's namespace; what is there is left as it is."""
    wanted = guard(lambda: cluster.wanted_secrets(keys=keys, passwords=password or []))
    labels = guard(lambda: cluster.parse_labels(label or []))
    here = guard(cluster.in_cluster)
    made = run(cluster.make_secrets(here, wanted, labels=labels))
    _console.print(f"Made: {', '.join(made)}" if made else "All Secrets are there")

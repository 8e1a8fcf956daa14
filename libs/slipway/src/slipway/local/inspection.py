"""The commands `status` and `mail`, which look at a running system and import little."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.guard import guard, run
from slipway.local.mail import find_mail, mail_directory, read_mails
from slipway.local.status import as_table, read_status
from slipway.place import state_directory

status_app = typer.Typer(add_completion=False)
mail_app = typer.Typer(add_completion=False)

_console = Console()


@status_app.command()
def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show what runs: pid, health, address and memory. Exit status 1 unless all is well."""
    found = run(read_status(state_directory()))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    elif found.state == "stopped":
        _console.print("No system runs here: `slipway up` starts one.")
    else:
        _console.print(as_table(found))
    if not found.healthy:
        raise typer.Exit(1)


@mail_app.command()
def mail(
    number: Annotated[
        int | None, typer.Argument(help="The message to show; without it, all are listed.")
    ] = None,
) -> None:
    """List the messages that the mail sink received, or show one."""
    directory = mail_directory(state_directory())
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

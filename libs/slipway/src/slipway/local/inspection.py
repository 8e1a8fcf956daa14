"""The commands that look at a running system or this machine, and import little."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from contracts import TOPICS
from slipway.checks import Check, Grade
from slipway.errors import SlipwayError
from slipway.guard import guard, run
from slipway.local.inside import inside_checks
from slipway.local.mail import find_mail, mail_directory, read_mails
from slipway.local.names import name_check
from slipway.local.plan import needs_servers
from slipway.local.status import read_status
from slipway.local.tree import as_tree, read_trace
from slipway.operate.database import Database
from slipway.operate.deployment import deployment_checks
from slipway.operate.topics import Topics
from slipway.place import load_here, repository_root, state_directory
from slipway.services import SERVICES, role_names
from slipway.settings import HOST, DoctorSettings, SlipwaySettings

mail_app = typer.Typer(add_completion=False)
trace_app = typer.Typer(add_completion=False)
doctor_app = typer.Typer(add_completion=False)

_console = Console()
_COLORS = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAULT: "red"}


@mail_app.command()
def mail(
    message: Annotated[
        str | None,
        typer.Argument(
            help="The number or the Message-ID of the message to show; without it, all are listed."
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the messages that the mail sink received, the newest first, or show one."""
    directory = mail_directory(state_directory())
    if message is not None:
        found = guard(lambda: find_mail(directory, message))
        if as_json:
            _write_json(found.whole)
            return
        for name, value in found.headers.items():
            _console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
        _console.print(f"\n{found.text}", markup=False, highlight=False, soft_wrap=True)
        return
    mails = read_mails(directory)
    if as_json:
        _write_json([item.summary for item in mails])
        return
    table = Table("number", "date", "to", "subject")
    for item in mails:
        headers = (item.headers[name] for name in ("Date", "To", "Subject"))
        table.add_row(str(item.number), *(escape(text) for text in headers))
    _console.print(table)


@trace_app.command()
def trace(
    trace_id: Annotated[
        str,
        typer.Argument(
            help="The trace's id: 32 hexadecimal digits, as in the logs; or a `traceparent`."
        ),
    ],
    *,
    traces_url: Annotated[
        str | None, typer.Option(help="The trace sink of a system elsewhere: http://host:port.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show one trace as a tree: each span with its process, its begin and its duration."""
    url = traces_url or guard(_traces_url)
    found = run(read_trace(url, trace_id))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    else:
        _console.print(as_tree(found.spans), highlight=False, soft_wrap=True)


@doctor_app.command()
def doctor(
    *,
    url: Annotated[
        str | None, typer.Option(help="Check a deployment in place of this machine: its gateway.")
    ] = None,
    inside: Annotated[
        bool,
        typer.Option(
            "--inside",
            help="Check a deployment's topics, roles and migrations: reads KAFKA_BOOTSTRAP_SERVERS "
            "and DATABASE_SUPERUSER_URL.",
        ),
    ] = False,
) -> None:
    """Check for what commonly goes wrong, and say how to mend it. Exit status 1 after a fault."""
    checks = list(_checks(url, inside=inside))
    folded = [Column(name, overflow="fold") for name in ("found", "what to do")]
    table = Table(Column("check", no_wrap=True), "result", *folded)
    for check in checks:
        color = _COLORS[check.grade]
        table.add_row(
            check.name, f"[{color}]{check.grade}[/{color}]", escape(check.found), escape(check.mend)
        )
    _console.print(table)
    if any(check.grade is Grade.FAULT for check in checks):
        raise typer.Exit(1)


def _checks(url: str | None, *, inside: bool) -> Iterator[Check]:
    if url is not None:
        yield from run(deployment_checks(url))
    if inside:
        yield from _deployment_inside()
    if url is None and not inside:
        yield from _machine()


def _machine() -> Iterator[Check]:
    """Yield the checks of this machine, and those of the system that runs on it from inside."""
    with needs_servers():
        from slipway.local.doctor import machine_checks  # noqa: PLC0415  # needs the extra `local`
    state, settings = state_directory(), load_here(SlipwaySettings)
    found = run(read_status(state))
    yield name_check(repository_root())
    yield from machine_checks(settings, state.path, found)
    if found.state == "running":
        database = Database(
            superuser_url=f"postgresql://{HOST}:{settings.postgres_port}",
            name="slipway",
            passwords=state.passwords(role_names()),
        )
        checks = inside_checks(
            urls={service: database.owner_url(service) for service in SERVICES},
            topics=guard(lambda: Topics.of(settings, TOPICS)),
            root=repository_root(),
            key_file=state.keys / "signing.jwks.json",
        )
        yield from run(checks)


def _deployment_inside() -> list[Check]:
    settings = load_here(DoctorSettings)
    url = _url_of_database(settings)
    topics = guard(lambda: Topics.of(settings, TOPICS))
    checks = inside_checks(urls=dict.fromkeys(SERVICES, url), topics=topics, root=repository_root())
    return run(checks)


def _url_of_database(settings: DoctorSettings) -> str:
    place = urlsplit(settings.database_superuser_url.get_secret_value())
    return urlunsplit(place._replace(path=f"/{settings.database_name}"))


def _traces_url() -> str:
    """Return the address of the running system's trace sink."""
    record = state_directory().read()
    if record is None or not record.alive:
        message = "No system runs here. Start one with `slipway up`, or give --traces-url."
        raise SlipwayError(message)
    return record.traces_url


def _write_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

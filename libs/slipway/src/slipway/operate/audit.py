"""`slipway audit`: verify that nobody changed or removed sealed entries of the audit log."""

from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import BaseModel, Field, TypeAdapter
from rich.console import Console

from slipway.operate.access import Asker, Gateway, Json, Login, Token, Url, print_json
from slipway.operate.worker_api import WorkerApi
from slipway.services import NAMES, SERVICES

_PATH = "/audit/verification"

app = typer.Typer(
    help="The audit logs of the services.", no_args_is_help=True, add_completion=False
)


class Fault(BaseModel):
    """A sign that sealed rows were changed or removed."""

    seal: int | None
    entry: int | None
    reason: str

    def __str__(self) -> str:
        named = {"seal": self.seal, "entry": self.entry}
        place = ", ".join(
            f"{name} {number}" for name, number in named.items() if number is not None
        )
        return f"{place}: {self.reason}"


class Report(BaseModel):
    """The result for one service.

    Attributes:
        kept: whether the service keeps an audit log.
        seals: how many seals it has.
        entries: how many sealed entries it has.
        faults: what was changed or removed.
        end: the newest seal.
        waiting: how many entries are not sealed yet.
    """

    kept: bool
    seals: int = 0
    entries: int = 0
    faults: list[Fault] = Field(default_factory=list)
    end: str | None = None
    waiting: int | None = None


class _Page(Report):
    more: bool
    compared: int | None = None  # the worker of an earlier release does not send it


@app.callback()
def _group() -> None:
    """Make typer require a subcommand, although there is only one."""


@app.command()
def verify(
    service: Annotated[
        str | None,
        typer.Argument(help=f"{NAMES}; default: each, with the workers of this machine."),
    ] = None,
    *,
    known: Annotated[
        str | None,
        typer.Option(
            help="A seal of SERVICE from an earlier run or from the log (`audit sealed`), as "
            "NUMBER:HASH. The chain must still contain it."
        ),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    login: Login = None,
    gateway: Gateway = None,
) -> None:
    """Recompute the seals of the audit log, and show entries that were changed or removed.

    Exit status 1 if there are any. Whoever can change the whole database can also make a new chain:
    note the newest seal elsewhere, and compare it with --known.
    """
    if service is None and (known is not None or url is not None):
        message = "--known and --url belong to one service: name it"
        raise typer.BadParameter(message)
    names = SERVICES if service is None else (service,)
    ask = Asker(service=names[0], url=url, token=token, login=login, gateway=gateway)
    reports = ask.each(names, lambda api: verified(api, known=known))
    if as_json:
        print_json(TypeAdapter(dict[str, Report]).dump_json(reports, indent=2))
    else:
        _show(reports)
    if any(report.faults for report in reports.values()):
        raise typer.Exit(1)


async def verified(api: WorkerApi, *, known: str | None = None) -> Report:
    """Return the report on one service, which the worker makes page by page."""
    fixed = {} if known is None else {"known": known}
    whole, after = Report(kept=True), dict[str, str]()
    while True:
        page = _Page.model_validate(await api.call("GET", _PATH, params={**fixed, **after}))
        whole.seals += page.seals
        whole.entries += page.entries
        whole.faults += page.faults
        whole.kept, whole.end, whole.waiting = page.kept, page.end, page.waiting
        place = {"after": page.end, "compared": page.compared}
        after = {name: str(value) for name, value in place.items() if value is not None}
        if not page.more or not after:
            return whole


def _show(reports: Mapping[str, Report]) -> None:
    for service, report in reports.items():
        for line in _lines(service, report):
            Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(service: str, report: Report) -> list[str]:
    if not report.kept:
        return [f"{service} keeps no audit log"]
    faults = [f"{service}: {fault}" for fault in report.faults]
    found = f"{len(faults)} faults" if faults else "no fault"
    end = "" if report.end is None else f"; newest seal {report.end}"
    summary = (
        f"{service}: {found} in {report.entries} entries of {report.seals} seals; "
        f"{report.waiting or 0} entries wait to be sealed{end}"
    )
    return [*faults, summary]

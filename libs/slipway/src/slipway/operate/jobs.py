"""`slipway jobs`: show, redrive and cancel jobs."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.pretty import Pretty

from slipway.operate.access import (
    Asker,
    Gateway,
    Json,
    Login,
    Service,
    Token,
    Url,
    print_json,
    print_outcome,
)
from slipway.operate.job_calls import (
    Job,
    JobFilter,
    act_on_jobs,
    find_jobs,
    jobs_table,
    show_job,
)
from slipway.operate.worker_api import Outcome, WorkerApi

app = typer.Typer(
    help="Durable jobs of a service: show, redrive and cancel them.",
    no_args_is_help=True,
    add_completion=False,
)

_Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind.")]
_Queue = Annotated[str | None, typer.Option(help="Only jobs of this queue.")]
_Error = Annotated[str | None, typer.Option(help="Only those with this in their error.")]
_State = Annotated[
    list[str] | None,
    typer.Option(
        help="dead, waiting, running, done or cancelled; may come several times. Default: dead."
    ),
]


@app.command("list")
def list_jobs(  # noqa: PLR0913 - one for each option
    service: Service,
    *,
    kind: _Kind = None,
    queue: _Queue = None,
    error: _Error = None,
    state: _State = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 100,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    login: Login = None,
    gateway: Gateway = None,
) -> None:
    """List jobs: dead ones, unless --state says otherwise."""
    wanted = JobFilter(states=tuple(state or ()), kind=kind, queue=queue, error=error)
    ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)
    found = ask(lambda api: find_jobs(api, wanted, limit=limit))
    if as_json:
        print_json(TypeAdapter(list[Job]).dump_json(found, indent=2))
    elif found:
        Console().print(jobs_table(found))
    else:
        Console().print(f"{service} has no such jobs")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="As `list` shows it.")],
    service: Service,
    *,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    login: Login = None,
    gateway: Gateway = None,
) -> None:
    """Show one job, and its arguments with the length in place of each text."""
    ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)
    found = ask(lambda api: show_job(api, number))
    if as_json:
        print_json(found.model_dump_json(indent=2).encode())
        return
    for name, value in found.model_dump(mode="json", exclude={"arguments"}).items():
        Console().print(f"{name}: {value}", markup=False, highlight=False)
    Console().print("arguments:", Pretty(found.arguments))


def _add_action(action: str, done: str, text: str) -> None:
    """Add a command that redrives or cancels jobs; both accept the same options."""

    def command(  # noqa: PLR0913 - one for each option
        service: Service,
        reason: Annotated[str, typer.Option(help="Why; it is recorded with who and when.")],
        numbers: Annotated[list[int] | None, typer.Argument(help="As `list` shows them.")] = None,
        *,
        kind: _Kind = None,
        queue: _Queue = None,
        error: _Error = None,
        state: _State = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show the selected ones.")
        ] = False,
        rate: Annotated[float, typer.Option(min=0.01, help="How many a second, at most.")] = 20.0,
        as_json: Json = False,
        url: Url = None,
        token: Token = None,
        login: Login = None,
        gateway: Gateway = None,
    ) -> None:
        wanted = JobFilter(states=tuple(state or ()), kind=kind, queue=queue, error=error)
        _require_one_of(numbers, wanted)
        ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)

        async def work(api: WorkerApi) -> Outcome[Job]:
            chosen: Sequence[Job] = ()
            if not numbers:
                chosen = await find_jobs(api, wanted)
            elif dry_run:
                chosen = [await show_job(api, number) for number in numbers]
            if dry_run:
                return Outcome[Job](dry_run=True, done=list(chosen))
            meant = numbers or [job.number for job in chosen]
            return await act_on_jobs(api, action, meant, reason=reason, rate=rate)

        outcome = ask(work)
        print_outcome(outcome, done=done, table=jobs_table, as_json=as_json)
        if numbers and outcome.skipped:
            raise typer.Exit(1)

    app.command(action, help=text)(command)


_add_action(
    "redrive",
    "Redriven",
    "Run dead jobs again, with all their attempts: those with the numbers, or those that match "
    "the filters.",
)
_add_action(
    "cancel",
    "Cancelled",
    "Cancel jobs, dead or not: those with the numbers, or those that match the filters.",
)


def _require_one_of(numbers: list[int] | None, wanted: JobFilter) -> None:
    if bool(numbers) == bool(wanted):
        message = (
            "give either the numbers of the jobs, or filters such as --kind or --error "
            "(--state dead selects all dead ones)"
        )
        raise typer.BadParameter(message)

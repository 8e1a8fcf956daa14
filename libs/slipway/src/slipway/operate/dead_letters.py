"""`slipway dead-letters`: show, redrive and discard parked messages."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.pretty import Pretty

from slipway.errors import SlipwayError
from slipway.guard import guard
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
from slipway.operate.dead_letter_calls import (
    DeadLetter,
    DeadLetterFilter,
    act_on_dead_letters,
    dead_letters_table,
    find_dead_letters,
    show_dead_letter,
)
from slipway.operate.worker_api import Outcome, WorkerApi

app = typer.Typer(
    help="Messages that a service could not handle: show, redrive and discard them.",
    no_args_is_help=True,
    add_completion=False,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_Topic = Annotated[str | None, typer.Option(help="Only those of this topic.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
_Key = Annotated[str | None, typer.Option(help="Only those of this key.")]
_Error = Annotated[str | None, typer.Option(help="Only those with this in their error.")]
_MinAge = Annotated[
    str | None, typer.Option(help="Only those parked for at least: 90s, 15m, 2h, 3d.")
]
_State = Annotated[
    list[str] | None,
    typer.Option(help="dead, unknown or retrying; may come twice. Default: dead and unknown."),
]


@app.command("list")
def list_letters(  # noqa: PLR0913 - one for each option
    service: Service,
    *,
    topic: _Topic = None,
    event_type: _Type = None,
    key: _Key = None,
    error: _Error = None,
    min_age: _MinAge = None,
    state: _State = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 100,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    login: Login = None,
    gateway: Gateway = None,
) -> None:
    """List what is parked: of each key the message that the others wait for."""
    wanted = _filter(topic, event_type, key, error, min_age, state)
    ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)
    found = ask(lambda api: find_dead_letters(api, wanted, limit=limit))
    if as_json:
        print_json(TypeAdapter(list[DeadLetter]).dump_json(found, indent=2))
    elif found:
        Console().print(dead_letters_table(found))
    else:
        Console().print(f"Nothing of that kind is parked in {service}")


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
    """Show one message: its headers, and its payload with the length in place of each text.

    Texts may be personal data or secrets, so they are not shown, except ids and times.
    """
    ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)
    found = ask(lambda api: show_dead_letter(api, number))
    if as_json:
        print_json(found.model_dump_json(indent=2).encode())
        return
    for name, value in found.model_dump(mode="json", exclude={"headers", "payload"}).items():
        Console().print(f"{name}: {value}", markup=False, highlight=False)
    Console().print("headers:", Pretty(found.headers))
    Console().print("payload:", Pretty(found.payload))


def _add_action(action: str, done: str, text: str) -> None:
    """Add a command that redrives or discards messages; both accept the same options."""

    def command(  # noqa: PLR0913 - one for each option
        service: Service,
        reason: Annotated[str, typer.Option(help="Why; it is recorded with who and when.")],
        numbers: Annotated[list[int] | None, typer.Argument(help="As `list` shows them.")] = None,
        *,
        topic: _Topic = None,
        event_type: _Type = None,
        key: _Key = None,
        error: _Error = None,
        min_age: _MinAge = None,
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
        wanted = _filter(topic, event_type, key, error, min_age, state)
        _require_one_of(numbers, wanted)
        ask = Asker(service=service, url=url, token=token, login=login, gateway=gateway)

        async def work(api: WorkerApi) -> Outcome[DeadLetter]:
            chosen: Sequence[DeadLetter] = ()
            if not numbers:
                chosen = await find_dead_letters(api, wanted)
            elif dry_run:
                chosen = [await show_dead_letter(api, number) for number in numbers]
            if dry_run:
                return Outcome[DeadLetter](dry_run=True, done=list(chosen))
            meant = numbers or [letter.number for letter in chosen]
            return await act_on_dead_letters(api, action, meant, reason=reason, rate=rate)

        outcome = ask(work)
        print_outcome(outcome, done=done, table=dead_letters_table, as_json=as_json)
        if numbers and outcome.skipped:
            raise typer.Exit(1)

    app.command(action, help=text)(command)


_add_action(
    "redrive",
    "Redriven",
    "Handle messages again: those with the numbers, or those that match the filters.\n\n"
    "A message that fails again stays at the head of its key.",
)
_add_action(
    "discard",
    "Discarded",
    "Discard messages: those with the numbers, or those that match the filters.\n\n"
    "They never take effect, even if they arrive again. The messages behind them are handled next.",
)


def _require_one_of(numbers: list[int] | None, wanted: DeadLetterFilter) -> None:
    if bool(numbers) == bool(wanted):
        message = (
            "give either the numbers of the dead letters, or filters such as --type or --error "
            "(--state dead selects all dead ones)"
        )
        raise typer.BadParameter(message)


def _filter(
    topic: str | None,
    event_type: str | None,
    key: str | None,
    error: str | None,
    min_age: str | None,
    states: list[str] | None,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        states=tuple(states or ()),
        topic=topic,
        type=event_type,
        key=key,
        error=error,
        min_age=0 if min_age is None else guard(lambda: seconds_of(min_age)),
    )


def seconds_of(age: str) -> int:
    """Return the seconds of an age such as ``15m``, or raise SlipwayError if it is invalid."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if match is None:
        message = f"{age!r} is not an age. Give a number and a unit, such as 90s, 15m, 2h or 3d."
        raise SlipwayError(message)
    return int(match[1]) * _UNITS[match[2]]

"""`slipway dead-letters`: to look at parked messages, to try them again, to give them up."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.pretty import Pretty

from slipway import letters
from slipway.access import Asker, Gateway, Json, Login, Service, Token, Url, print_json
from slipway.errors import SlipwayError
from slipway.guard import guard
from slipway.letters import Filter, Letter, Outcome
from slipway.worker_api import WorkerApi

app = typer.Typer(
    help="Messages that a service could not handle: see them, try them again, give them up.",
    no_args_is_help=True,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_Topic = Annotated[str | None, typer.Option(help="Only those of this topic.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
_Key = Annotated[str | None, typer.Option(help="Only those of this key.")]
_Error = Annotated[str | None, typer.Option(help="Only those with this in their error.")]
_MinAge = Annotated[
    str | None, typer.Option(help="Only those parked for so long: 90s, 15m, 2h, 3d.")
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
    found = ask(lambda api: letters.find(api, wanted, limit=limit))
    if as_json:
        print_json(TypeAdapter(list[Letter]).dump_json(found, indent=2))
    elif found:
        Console().print(letters.as_table(found))
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
    found = ask(lambda api: letters.show(api, number))
    if as_json:
        print_json(found.model_dump_json(indent=2).encode())
        return
    for name, value in found.model_dump(mode="json", exclude={"headers", "payload"}).items():
        Console().print(f"{name}: {value}", markup=False, highlight=False)
    Console().print("headers:", Pretty(found.headers))
    Console().print("payload:", Pretty(found.payload))


def _add_action(action: str, done: str, text: str) -> None:
    """Add a command that does something to messages; both of them take the same options."""

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
            bool, typer.Option("--dry-run", help="Only show which ones are meant.")
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

        async def work(api: WorkerApi) -> Outcome:
            chosen: Sequence[Letter] = ()
            if not numbers:
                chosen = await letters.find(api, wanted)
            elif dry_run:
                chosen = [await letters.show(api, number) for number in numbers]
            if dry_run:
                return Outcome(dry_run=True, done=list(chosen))
            meant = numbers or [letter.number for letter in chosen]
            return await letters.act(api, action, meant, reason=reason, rate=rate)

        outcome = ask(work)
        _report(outcome, done, as_json=as_json)
        if numbers and outcome.skipped:
            raise typer.Exit(1)

    app.command(action, help=text)(command)


_add_action(
    "redrive",
    "Redriven",
    "Try messages again: those with the numbers, or those that the filters name.\n\n"
    "One that fails again stays in its place, at the head of its key.",
)
_add_action(
    "discard",
    "Discarded",
    "Give messages up for good: those with the numbers, or those that the filters name.\n\n"
    "They take no effect, now or when they come again; what waits behind them goes on.",
)


def _require_one_of(numbers: list[int] | None, wanted: Filter) -> None:
    if bool(numbers) == bool(wanted):
        message = (
            "say which ones: either their numbers, or filters such as --type or --error "
            "(--state dead means all the dead ones)"
        )
        raise typer.BadParameter(message)


def _filter(
    topic: str | None,
    event_type: str | None,
    key: str | None,
    error: str | None,
    min_age: str | None,
    states: list[str] | None,
) -> Filter:
    return Filter(
        states=tuple(states or ()),
        topic=topic,
        type=event_type,
        key=key,
        error=error,
        min_age=0 if min_age is None else guard(lambda: seconds_of(min_age)),
    )


def seconds_of(age: str) -> int:
    """Read an age such as ``15m``; SlipwayError where it is none."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if match is None:
        message = f"{age!r} is no age: give a number and a unit, such as 90s, 15m, 2h or 3d"
        raise SlipwayError(message)
    return int(match[1]) * _UNITS[match[2]]


def _report(outcome: Outcome, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(outcome.model_dump_json(indent=2).encode())
        return
    if outcome.dry_run:
        Console().print(letters.as_table(outcome.done))
        Console().print(f"{len(outcome.done)} are meant; nothing was done (--dry-run)")
        return
    Console().print(f"{done}: {len(outcome.done)}")
    for skipped in outcome.skipped:
        Console().print(f"Left: {skipped.number}: {skipped.reason}", markup=False, highlight=False)

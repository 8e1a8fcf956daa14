"""The options of all commands that call a worker, and the client that they select."""

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from slipway.errors import SlipwayError
from slipway.guard import run
from slipway.operate.worker_api import Access, Outcome, WorkerApi
from slipway.place import load_here
from slipway.services import NAMES
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory, find_root

Service = Annotated[str, typer.Option(help=f"{NAMES}.")]
Url = Annotated[
    str | None,
    typer.Option(help="The internal port of a worker elsewhere: http://host:port."),
]
Token = Annotated[
    str | None, typer.Option(envvar="SLIPWAY_TOKEN", help="An administrator's access token.")
]
Login = Annotated[
    str | None, typer.Option(help="An administrator's e-mail address; prompts for the password.")
]
Gateway = Annotated[
    str | None, typer.Option(help="The gateway to log in at, if it is elsewhere: http://host:port.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Calls the API of one worker; the fields are the options above."""

    service: str
    url: str | None
    token: str | None = field(repr=False)
    login: str | None
    gateway: str | None

    def __call__[Result](self, work: Callable[[WorkerApi], Awaitable[Result]]) -> Result:
        """Return the result of `work` with the worker; print errors that the user can act on."""
        return self.each([self.service], work)[self.service]

    def each[Result](
        self, services: Iterable[str], work: Callable[[WorkerApi], Awaitable[Result]]
    ) -> dict[str, Result]:
        """Return the results of `work` with the workers of several services, one after the other.

        The user is asked for the password once.
        """
        password = None
        if self.token is None and self.login is not None:
            password = typer.prompt(f"Password of {self.login}", hide_input=True, err=True)

        async def connected(service: str) -> Result:
            access = await Access.find(
                service,
                state=_state(),
                url=self.url,
                token=self.token,
                login=None if self.login is None or password is None else (self.login, password),
                gateway=self.gateway,
            )
            async with WorkerApi.opened(access) as api:
                return await work(api)

        async def one_by_one() -> dict[str, Result]:
            return {service: await connected(service) for service in services}

        return run(one_by_one())


def _state() -> StateDirectory | None:
    """Return the state directory of this repository's system; None outside of a repository."""
    try:
        root = find_root(Path.cwd())
    except SlipwayError:
        return None
    return StateDirectory(root / load_here(SlipwaySettings).slipway_state_dir)


def print_json(text: bytes) -> None:
    """Print JSON unchanged: a console would wrap its lines."""
    sys.stdout.write(text.decode() + "\n")


def print_outcome[T: BaseModel](
    outcome: Outcome[T],
    *,
    done: str,
    table: Callable[[Sequence[T]], Table],
    as_json: bool,
) -> None:
    """Print what an action on several items did, or selected.

    Args:
        outcome: the result.
        done: what was done to the items, as the first word of a line.
        table: shows the items of a dry run.
        as_json: print JSON for programs.
    """
    if as_json:
        print_json(outcome.model_dump_json(indent=2).encode())
        return
    if outcome.dry_run:
        Console().print(table(outcome.done))
        Console().print(f"{len(outcome.done)} selected; nothing was done (--dry-run)")
        return
    Console().print(f"{done}: {len(outcome.done)}")
    for skipped in outcome.skipped:
        Console().print(
            f"Skipped: {skipped.number}: {skipped.reason}", markup=False, highlight=False
        )

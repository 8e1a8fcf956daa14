"""The options of all commands that ask a worker, and the way from them to its API."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from chassis.settings import load
from slipway.errors import SlipwayError
from slipway.guard import run
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory, find_root
from slipway.worker_api import Access, WorkerApi

Service = Annotated[str, typer.Option(help="users, orders or notifications.")]
Url = Annotated[
    str | None,
    typer.Option(help="The internal port of a worker elsewhere: http://host:port."),
]
Token = Annotated[
    str | None, typer.Option(envvar="SLIPWAY_TOKEN", help="An administrator's access token.")
]
Login = Annotated[
    str | None, typer.Option(help="The address of an administrator; the password is asked for.")
]
Gateway = Annotated[
    str | None, typer.Option(help="Where to log in, if elsewhere: http://host:port.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Does work with the API of one worker; the fields are the options above."""

    service: str
    url: str | None
    token: str | None = field(repr=False)
    login: str | None
    gateway: str | None

    def __call__[Result](self, work: Callable[[WorkerApi], Awaitable[Result]]) -> Result:
        """Find the worker, and do `work` with it; what the user can act on is printed."""
        password = None
        if self.token is None and self.login is not None:
            password = typer.prompt(f"Password of {self.login}", hide_input=True, err=True)

        async def connected() -> Result:
            access = await Access.find(
                self.service,
                state=_state(),
                url=self.url,
                token=self.token,
                login=None if self.login is None or password is None else (self.login, password),
                gateway=self.gateway,
            )
            async with WorkerApi.opened(access) as api:
                return await work(api)

        return run(connected())


def _state() -> StateDirectory | None:
    """Where the system of this repository keeps its record; None outside of one."""
    try:
        root = find_root(Path.cwd())
    except SlipwayError:
        return None
    return StateDirectory(root / load(SlipwaySettings).slipway_state_dir)


def print_json(text: bytes) -> None:
    """Print JSON as it is: a console would break its lines."""
    sys.stdout.write(text.decode() + "\n")

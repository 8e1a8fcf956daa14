"""The command `seed`."""

from typing import Annotated

import typer
from rich.console import Console

from chassis.settings import Environment
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.guard import run
from slipway.operate import seed as seeding
from slipway.place import load_here
from slipway.settings import SeedSettings

app = typer.Typer(add_completion=False)

_console = Console(soft_wrap=True)


@app.command()
def seed(
    url: Annotated[str, typer.Option(help="The gateway: http://host:port.")],
) -> None:
    """Create demo accounts and a demo catalogue in a system elsewhere; not in production.

    Logs in as FIRST_ADMIN_EMAIL with FIRST_ADMIN_PASSWORD. Does not change what exists.
    """
    settings = load_here(SeedSettings)

    async def work() -> None:
        if settings.environment is Environment.PRODUCTION:
            message = (
                "ENVIRONMENT is production, and the password of the demo accounts is public. "
                "Seed only systems with ENVIRONMENT=development."
            )
            raise SlipwayError(message)
        await seeding.seed(url, settings, Reporter(_console))

    run(work())

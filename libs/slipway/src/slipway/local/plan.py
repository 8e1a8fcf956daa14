"""The plan for running the system of this repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from chassis.settings_file import settings_file
from slipway.errors import SlipwayError
from slipway.guard import guard
from slipway.place import load_here
from slipway.settings import SlipwaySettings
from slipway.state import find_root

if TYPE_CHECKING:
    from slipway.local.system import Plan


def local_plan() -> "Plan":
    """Return the plan of `slipway up`; exit with an error text if it can't be run here."""

    def make() -> "Plan":
        with needs_servers():
            from slipway.local.system import Plan  # noqa: PLC0415  # needs the extra `local`
        root = find_root(Path.cwd())
        settings = load_here(SlipwaySettings)
        return Plan(settings=settings, root=root, env_file=str(settings_file(root).absolute()))

    return guard(make)


@contextmanager
def needs_servers() -> Iterator[None]:
    """Turn a missing package of the extra `local`, which images omit, into an error text."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = (
            f"The package {error.name} is missing. Install `slipway[local]`, which starts servers."
        )
        raise SlipwayError(message) from error

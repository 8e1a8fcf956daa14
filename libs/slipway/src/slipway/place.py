"""Where this command was started: the repository around it, and its state directory."""

from pathlib import Path

from pydantic_settings import BaseSettings

from chassis.settings import load
from slipway.errors import SlipwayError
from slipway.guard import guard
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory, find_root


def repository_root() -> Path:
    """Return the top of the repository; exit with an error text outside of one."""
    return guard(lambda: find_root(Path.cwd()))


def state_directory() -> StateDirectory:
    """Return the state directory of this repository's system."""
    return StateDirectory(repository_root() / load_here(SlipwaySettings).slipway_state_dir)


def load_here[S: BaseSettings](settings: type[S]) -> S:
    """Return settings; their `.env` is at the top of the repository, wherever in it this runs.

    Outside of a repository, as in an image, it is in the working directory.
    """
    try:
        top = find_root(Path.cwd())
    except SlipwayError:
        top = Path.cwd()
    return load(settings, directory=top)

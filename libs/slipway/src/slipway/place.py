"""Where this command was started: the repository around it, and its state directory."""

from pathlib import Path

from chassis.settings import load
from slipway.guard import guard
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory, find_root


def repository_root() -> Path:
    """Return the top of the repository; exit with an error text outside of one."""
    return guard(lambda: find_root(Path.cwd()))


def state_directory() -> StateDirectory:
    """Return the state directory of this repository's system."""
    return StateDirectory(repository_root() / load(SlipwaySettings).slipway_state_dir)

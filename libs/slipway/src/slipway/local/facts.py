"""The commands that write the facts of the services of `slipway up`; see `slipway verify`."""

import sys
from collections.abc import Mapping, Sequence

from chassis.settings_file import settings_file
from slipway.errors import SlipwayError
from slipway.local.processes import PROCESSES, Surroundings
from slipway.operate.database import Database
from slipway.operate.keys import make_keys
from slipway.operate.verify import Source
from slipway.place import load_here, repository_root, state_directory
from slipway.services import role_names
from slipway.settings import HOST, SlipwaySettings


def local_sources(names: Sequence[str], *, rate: int) -> list[Source]:
    """Return the sources of these services, with the environments of their workers.

    Raises:
        SlipwayError: no system runs here.
    """
    state = state_directory()
    record = state.read()
    if record is None or not record.alive:
        message = "No system runs here. Start one with `slipway up`, or give --via."
        raise SlipwayError(message)
    settings, root = load_here(SlipwaySettings), repository_root()
    surroundings = Surroundings(
        settings=settings,
        root=root,
        env_file=str(settings_file(root).absolute()),
        database=Database(
            superuser_url=f"postgresql://{HOST}:{settings.postgres_port}",
            name="slipway",
            passwords=state.passwords(role_names()),
        ),
        keys=make_keys(state),
    )
    rows = {row.name: row for row in PROCESSES}
    specs = {name: surroundings.spec(rows[f"{name}-worker"]) for name in names}
    return [local_source(name, spec.environment, rate=rate) for name, spec in specs.items()]


def local_source(service: str, environment: Mapping[str, str], *, rate: int) -> Source:
    """Return the command that writes the facts of a service on this machine.

    Args:
        service: its name.
        environment: that of its worker.
        rate: how many rows and messages it reads in a second, at most.
    """
    command = (sys.executable, "-m", "chassis.run", service, "facts", "--rate", str(rate))
    return Source(service=service, command=command, environment=environment)

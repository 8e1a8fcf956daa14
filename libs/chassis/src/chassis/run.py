"""Runs one process of a service: ``python -m chassis.run SERVICE api|worker|migrate|facts``."""

import argparse
import gc
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from chassis.early_stop import NOT_DONE, exit_on_sigterm

PROCESSES = ("api", "worker", "migrate", "facts")
_RATE = 2000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT, or until the schema is migrated or the facts are written.

    Exits with status 2 if the arguments name no process.
    """
    parser = argparse.ArgumentParser(prog="python -m chassis.run", description=__doc__)
    parser.add_argument("service", help="the name of an installed service")
    parser.add_argument("process", choices=PROCESSES, help="which of its processes")
    parser.add_argument(
        "--rate",
        type=_positive,
        default=_RATE,
        help="for `facts`: how many rows and messages to read in a second, at most (%(default)s)",
    )
    wanted = parser.parse_args(arguments)
    exit_on_sigterm(status=0 if wanted.process in {"api", "worker"} else NOT_DONE)
    # What imports allocate stays, so collections during them find nothing, and took an eighth of
    # their time. Each process enables them again.
    gc.disable()
    # Import only now: it takes seconds, and SIGTERM must have a handler by then.
    if wanted.process == "migrate":
        _migrate(parser, wanted.service)
    else:
        _run(parser, wanted)


def _migrate(parser: argparse.ArgumentParser, service: str) -> None:
    """Migrate without the service's declaration, which imports all that its processes need."""
    migration = import_module("chassis.database.migrate")
    directory = Path.cwd()
    if directory.name != service:
        parser.error(
            f"{directory} is not the directory of the service {service}. Run this in "
            f"services/{service}."
        )
    migration.run(directory)


def _run(parser: argparse.ArgumentParser, wanted: argparse.Namespace) -> None:
    processes = import_module("chassis.service_processes")
    try:
        processes.run(wanted.service, wanted.process, rate=wanted.rate)
    except import_module("chassis.service").UnknownServiceError as error:
        parser.error(str(error))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    main()

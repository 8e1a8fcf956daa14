"""Runs one process of a service: ``python -m chassis.run SERVICE api|worker|migrate``."""

import argparse
import gc
from collections.abc import Sequence
from importlib import import_module

from chassis.early_stop import NOT_DONE, exit_on_sigterm

PROCESSES = ("api", "worker", "migrate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT, or until the schema is at its newest revision.

    Exits with status 2 if the arguments name no process.
    """
    parser = argparse.ArgumentParser(prog="python -m chassis.run", description=__doc__)
    parser.add_argument("service", help="the name of an installed service")
    parser.add_argument("process", choices=PROCESSES, help="which of its processes")
    wanted = parser.parse_args(arguments)
    exit_on_sigterm(status=NOT_DONE if wanted.process == "migrate" else 0)
    # What imports allocate stays, so collections during them find nothing, and took an eighth of
    # their time. `chassis.process` enables them again.
    gc.disable()
    # Import only now: it takes seconds, and SIGTERM must have a handler by then.
    processes = import_module("chassis.service_processes")
    try:
        processes.run(wanted.service, wanted.process)
    except processes.CannotRunError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

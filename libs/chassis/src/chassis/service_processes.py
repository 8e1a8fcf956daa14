"""The processes of a service that are made from its declaration."""

import gc
import sys

from chassis.api import create_api
from chassis.process import Process, run_api, run_worker
from chassis.service import Service, load_service
from chassis.settings import load
from chassis.wiring import ServiceResources
from chassis.worker import create_worker


def _serve_api(service: Service[ServiceResources]) -> None:
    settings = load(service.api.settings)
    process = Process(name=service.name, settings=settings)
    run_api(process, create_api(service, settings, process))


def _run_worker(service: Service[ServiceResources]) -> None:
    settings = load(service.worker.settings)
    process = Process(name=f"{service.name}-worker", settings=settings)
    run_worker(process, create_worker(service, settings, process))


def _write_facts(service: Service[ServiceResources], rate: int) -> None:
    """Write the facts that ``slipway verify`` joins, a line of JSON each, to standard output."""
    # Nobody else needs these modules.
    from chassis.verification.writing import FactsError, write_facts  # noqa: PLC0415 - see above

    gc.enable()  # the imports are done
    settings = load(service.worker.settings)
    try:
        write_facts(service.name, service.verification, settings, rate=rate, out=sys.stdout)
    except FactsError as error:
        sys.exit(f"facts: {error}")


def run(service: str, process: str, *, rate: int) -> None:
    """Run a process of a service until it ends.

    Args:
        service: the service's name.
        process: ``api``, ``worker`` or ``facts``.
        rate: how many rows and messages ``facts`` reads in a second, at most.

    Raises:
        UnknownServiceError: no installed package declares the service.
    """
    declared = load_service(service)
    if process == "facts":
        _write_facts(declared, rate)
        return
    {"api": _serve_api, "worker": _run_worker}[process](declared)

"""An API process without traces and HTTP metrics: ``python -m bench.bare_api SERVICE``.

It is the process of ``chassis.run``, with the calls that make spans, trace headers and metrics of
requests taken out. A setting could only turn their results off.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp

import chassis.database.unit
import chassis.http.app
import chassis.http.context
import chassis.messaging.publishing.outbox
from chassis.api import create_api
from chassis.http.metrics import HttpMetrics
from chassis.process import Process, run_api
from chassis.service import load_service
from chassis.settings import load


@contextmanager
def _no_span(*_: object, **__: object) -> Iterator[None]:
    yield


def _same(app: ASGIApp) -> ASGIApp:
    return app


def _nothing(*_: object, **__: object) -> None:
    return None


def _no_headers(*_: object) -> dict[str, str]:
    return {}


_TAKEN_OUT: tuple[tuple[Any, str, object], ...] = (
    (chassis.http.app, "ServerSpan", _same),
    (chassis.http.context, "recorded_trace_id", _nothing),
    (chassis.database.unit, "span_if_recording", _no_span),
    (chassis.messaging.publishing.outbox, "outbox_headers", _no_headers),
    (HttpMetrics, "began", _nothing),
    (HttpMetrics, "ended", _nothing),
)


def take_out() -> None:
    """Replace what makes spans and metrics in this process.

    Raises:
        AttributeError: the code has changed: a name is no longer there.
    """
    for place, name, replacement in _TAKEN_OUT:
        getattr(place, name)  # a name that nobody uses would be set without a complaint
        setattr(place, name, replacement)


def main() -> None:
    """Run the process until SIGTERM."""
    take_out()
    service = load_service(sys.argv[1])
    settings = load(service.api.settings)
    process = Process(name=service.name, settings=settings)
    run_api(process, create_api(service, settings, process))


if __name__ == "__main__":
    main()

"""Push of the metrics over OTLP, for whoever does not scrape ``/metrics``.

A thread of its own reads at intervals the registry that ``/metrics`` shows, so both show the same.
A receiver that stalls holds up no request, and costs the pushes of that time. The next push that
arrives makes up for them, as counts are cumulative.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter

from chassis.telemetry.otlp_metrics import metrics_data

_PUSH_SECONDS = 2.0
# A push that is in progress, and the last one.
_LAST_SECONDS = 2 * _PUSH_SECONDS

log = structlog.get_logger(__name__)


class MetricsPush:
    """Pushes the metrics of a process at intervals, and once more at its end.

    Args:
        exporter: sends one export; each call must end by itself.
        registry: the metrics registry of the process.
        resource: says which process it is.
        interval: seconds between two pushes.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        *,
        registry: CollectorRegistry,
        resource: Resource,
        interval: float,
    ) -> None:
        self._exporter = exporter
        self._registry = registry
        self._resource = resource
        self._interval = interval
        self._began = _began(registry)
        self._outcomes = Counter(
            "telemetry_pushes_total",
            "Pushes of these metrics over OTLP, by outcome: pushed; failed (the receiver did not "
            "take it in time). The next one makes up for it.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("pushed", "failed"):
            self._outcomes.labels(outcome)
        self._ending = threading.Event()
        # A daemon: a receiver that never ends its response must not keep the process.
        self._thread = threading.Thread(target=self._work, name="metrics push", daemon=True)

    def start(self) -> None:
        """Begin; the first push is after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """Push what the last interval counted, and end; wait for it a few seconds at most."""
        self._ending.set()
        self._thread.join(_LAST_SECONDS)

    def push(self) -> None:
        """Push once; count a failure, and raise nothing."""
        try:
            data = metrics_data(
                self._registry.collect(),
                resource=self._resource,
                began=self._began,
                now=time.time_ns(),
            )
            pushed = self._exporter.export(data) is MetricExportResult.SUCCESS
        except Exception:  # a gauge that can't be read must not end the pushes of all others
            log.exception("metrics push failed")
            pushed = False
        self._outcomes.labels("pushed" if pushed else "failed").inc()

    def _work(self) -> None:
        while not self._ending.wait(self._interval):
            self.push()
        self.push()
        self._exporter.shutdown()


@contextlib.contextmanager
def pushed_metrics(
    *, endpoint: str, interval: float, registry: CollectorRegistry, resource: Resource
) -> Iterator[None]:
    """Push the metrics of this process while the block runs, and once at its end.

    Args:
        endpoint: the whole URL of the OTLP/HTTP receiver of metrics.
        interval: seconds between two pushes.
        registry: the metrics registry of the process.
        resource: says which process it is.
    """
    exporter = OTLPMetricExporter(
        endpoint=endpoint, timeout=_PUSH_SECONDS, compression=Compression.Gzip
    )
    push = MetricsPush(exporter, registry=registry, resource=resource, interval=interval)
    push.start()
    try:
        yield
    finally:
        push.stop()


def _began(registry: CollectorRegistry) -> int:
    """Return when the process began, in nanoseconds since 1970; now where the system hides it."""
    seconds = registry.get_sample_value("process_start_time_seconds")
    return time.time_ns() if seconds is None else int(seconds * 1_000_000_000)

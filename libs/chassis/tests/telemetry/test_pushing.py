"""What is pushed over OTLP is what `/metrics` shows; a receiver that stalls costs pushes only."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families

from chassis.telemetry.pushing import pushed_metrics
from chassis.telemetry.resource import resource_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
NEVER = 3600.0
OFTEN = 0.01


class Receiver(ThreadingHTTPServer):
    """A small OTLP receiver: it keeps each push, and responds with `status` once it is released."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: Queue[tuple[str, ResourceMetrics]] = Queue()
        self.released = threading.Event()
        self.released.set()
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1/metrics"

    def next(self) -> ResourceMetrics:
        return self.received.get(timeout=30)[1]

    def last(self) -> dict[str, Metric]:
        """Return the metrics of the newest push, by name."""
        push = self.next()
        while not self.received.empty():
            push = self.next()
        (scope,) = push.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Encoding"] == "gzip"
        request = ExportMetricsServiceRequest.FromString(gzip.decompress(body))
        (push,) = request.resource_metrics
        self.server.received.put((self.path, push))
        self.server.released.wait(30)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    serving = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    serving.start()
    yield receiver
    receiver.released.set()
    receiver.shutdown()
    serving.join()
    receiver.server_close()


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def pushing(receiver: Receiver, registry: CollectorRegistry, interval: float = NEVER):
    return pushed_metrics(
        endpoint=receiver.url,
        interval=interval,
        registry=registry,
        resource=resource_of("orders", port=9003),
    )


def test_each_kind_keeps_its_names_labels_and_values(
    receiver: Receiver, registry: CollectorRegistry
):
    counter = Counter("orders_total", "Orders.", ["kind"], registry=registry)
    counter.labels("small").inc(3)
    counter.labels("large").inc(0.5)
    Gauge("waiting", "That wait.", registry=registry).set(-2)
    histogram = Histogram("took_seconds", "Took.", ["k"], buckets=(1, 2), registry=registry)
    for seconds in (0.5, 1.5, 1.5, 9):
        histogram.labels("v").observe(seconds)
    histogram.labels("w").observe(0.25)

    with pushing(receiver, registry):
        pass  # the last push is at the end
    metrics = receiver.last()

    orders = metrics["orders_total"]
    assert (orders.description, orders.sum.is_monotonic) == ("Orders.", True)
    assert orders.sum.aggregation_temporality == 2  # cumulative
    assert {attributes(point): point.as_double for point in orders.sum.data_points} == {
        (("kind", "small"),): 3,
        (("kind", "large"),): 0.5,
    }
    (waiting,) = metrics["waiting"].gauge.data_points
    assert (waiting.as_double, waiting.start_time_unix_nano) == (-2, 0)
    took = metrics["took_seconds"].histogram
    assert took.aggregation_temporality == 2
    first, second = took.data_points
    assert attributes(first) == (("k", "v"),)
    assert list(first.explicit_bounds) == [1, 2]
    assert list(first.bucket_counts) == [1, 2, 1]
    assert (first.count, first.sum) == (4, 12.5)
    assert (list(second.bucket_counts), second.count, second.sum) == ([1, 0, 0], 1, 0.25)
    assert not first.HasField("min")
    assert not first.HasField("max")


def attributes(point) -> tuple[tuple[str, str], ...]:
    return tuple((one.key, one.value.string_value) for one in point.attributes)


def test_all_that_a_process_shows_is_pushed_under_the_same_names(
    receiver: Receiver, registry: CollectorRegistry
):
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    with pushing(receiver, registry):
        shown = text_string_to_metric_families(generate_latest(registry).decode())
        names = {
            family.name + ("_total" if family.type == "counter" else "")
            for family in shown
            if not family.name.endswith("_created")  # not a metric, but when one began
        }
    assert set(receiver.last()) == names


def test_an_exemplar_names_its_trace(receiver: Receiver, registry: CollectorRegistry):
    histogram = Histogram("took_seconds", "Took.", buckets=(1, 2), registry=registry)
    before = time.time_ns()
    histogram.observe(1.5, {"trace_id": TRACE, "k": "v"})
    counter = Counter("orders", "Orders.", registry=registry)
    counter.inc(2, {"trace_id": TRACE})
    with pushing(receiver, registry):
        pass
    metrics = receiver.last()
    (point,) = metrics["took_seconds"].histogram.data_points
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id.hex(), exemplar.as_double) == (TRACE, 1.5)
    assert not any(exemplar.span_id)
    assert before - 1_000 <= exemplar.time_unix_nano <= time.time_ns()
    (more,) = exemplar.filtered_attributes
    assert (more.key, more.value.string_value) == ("k", "v")
    (total,) = metrics["orders_total"].sum.data_points
    assert [one.as_double for one in total.exemplars] == [2]


def test_the_process_is_named_and_its_start_stays_while_time_goes_on(
    receiver: Receiver, registry: CollectorRegistry
):
    Counter("orders", "Orders.", registry=registry).inc()
    with pushing(receiver, registry, OFTEN):
        pushes = [receiver.next(), receiver.next()]
    named = {one.key: one.value.string_value for one in pushes[0].resource.attributes}
    assert named["service.name"] == "orders"
    assert named["service.instance.id"].endswith(":9003")
    assert named["service.version"]
    points = [
        point
        for push in pushes
        for metric in push.scope_metrics[0].metrics
        if metric.name == "orders_total"
        for point in metric.sum.data_points
    ]
    assert points[0].time_unix_nano < points[1].time_unix_nano
    started = registry.get_sample_value("process_start_time_seconds")
    assert started is not None
    assert {point.start_time_unix_nano for point in points} == {int(started * 1_000_000_000)}


def test_a_receiver_that_stalls_holds_nobody_up_and_the_next_push_makes_up_for_it(
    receiver: Receiver, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.telemetry.pushing._PUSH_SECONDS", 0.2)
    orders = Counter("orders", "Orders.", registry=registry)
    receiver.released.clear()
    with pushing(receiver, registry, OFTEN):
        receiver.next()
        for _ in range(1000):
            orders.inc()  # while a push waits
        receiver.next()  # the first has timed out
        failed = registry.get_sample_value("telemetry_pushes_total", {"outcome": "failed"})
        receiver.released.set()
    assert failed is not None
    assert failed >= 1
    (point,) = receiver.last()["orders_total"].sum.data_points
    assert point.as_double == 1000
    assert registry.get_sample_value("telemetry_pushes_total", {"outcome": "pushed"})


def test_a_receiver_that_never_responds_does_not_keep_the_process(
    receiver: Receiver, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.telemetry.pushing._LAST_SECONDS", 0.1)
    monkeypatch.setattr("chassis.telemetry.pushing._PUSH_SECONDS", 20.0)
    receiver.released.clear()
    started = time.monotonic()
    with pushing(receiver, registry):
        pass
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_push_that_is_refused_is_counted(
    receiver: Receiver, registry: CollectorRegistry, status: int
):
    receiver.status = status
    with pushing(receiver, registry):
        pass
    assert registry.get_sample_value("telemetry_pushes_total", {"outcome": "failed"}) == 1
    assert registry.get_sample_value("telemetry_pushes_total", {"outcome": "pushed"}) == 0


def test_a_gauge_that_cannot_be_read_does_not_end_the_pushes(
    receiver: Receiver, registry: CollectorRegistry
):
    readable = threading.Event()

    def read() -> float:
        if not readable.is_set():
            readable.set()
            raise OSError
        return 1

    Gauge("sometimes", "Fails once.", registry=registry).set_function(read)
    with pushing(receiver, registry, OFTEN):
        assert "sometimes" in {one.name for one in receiver.next().scope_metrics[0].metrics}
    assert registry.get_sample_value("telemetry_pushes_total", {"outcome": "failed"}) == 1

"""A gauge that could not be measured is absent; a timestamp shows the last measurement."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from chassis.messaging.measurement import Measurement
from chassis.messaging.metrics import ConsumerMetrics, ParkingMetrics, RelayMetrics


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def measurement(clock, registry, **options):
    return Measurement(
        name="depth",
        gauges={"depth_metres": "How deep."},
        registry=registry,
        clock=clock,
        **options,
    )


def test_a_gauge_is_shown_while_it_holds_and_absent_before_and_after():
    clock, registry = Clock(), CollectorRegistry()
    depth = measurement(clock, registry)
    assert registry.get_sample_value("depth_metres") is None
    assert registry.get_sample_value("depth_measured_timestamp_seconds") == 0
    began = time.time()
    depth.show(values={"depth_metres": 7}, seconds=10)
    assert registry.get_sample_value("depth_metres") == 7
    clock.now += 9
    assert registry.get_sample_value("depth_metres") == 7
    clock.now += 2
    assert registry.get_sample_value("depth_metres") is None
    assert (registry.get_sample_value("depth_measured_timestamp_seconds") or 0) >= began
    depth.show(values={"depth_metres": 0}, seconds=10)
    assert registry.get_sample_value("depth_metres") == 0


def test_each_subject_is_measured_by_itself():
    clock, registry = Clock(), CollectorRegistry()
    depth = measurement(clock, registry, labels=["sea"])
    depth.expect("north")
    depth.show("south", values={"depth_metres": 5}, seconds=10)
    assert registry.get_sample_value("depth_metres", {"sea": "north"}) is None
    assert registry.get_sample_value("depth_measured_timestamp_seconds", {"sea": "north"}) == 0
    assert registry.get_sample_value("depth_metres", {"sea": "south"}) == 5


def test_a_scrape_can_be_read():
    clock, registry = Clock(), CollectorRegistry()
    measurement(clock, registry).show(values={"depth_metres": 7})
    text = generate_latest(registry).decode()
    assert "# TYPE depth_metres gauge\ndepth_metres 7.0\n" in text


def test_no_gauge_of_messaging_says_0_before_anything_was_measured():
    registry = CollectorRegistry()
    RelayMetrics(registry)
    consumer = ConsumerMetrics(registry)
    consumer.lag.expect("orders")
    parking = ParkingMetrics(registry)
    gauges = {
        sample.name
        for family in registry.collect()
        for sample in family.samples
        if family.type == "gauge"
    }
    assert gauges == {
        "outbox_measured_timestamp_seconds",
        "consumer_lag_measured_timestamp_seconds",
        "parked_measured_timestamp_seconds",
    }
    parking.show({"dead": (3, 1)})
    assert registry.get_sample_value("parked_messages", {"state": "dead"}) == 3
    assert registry.get_sample_value("parked_messages", {"state": "unknown"}) == 0

"""The histogram without locks exposes what the library's own would."""

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from chassis.telemetry.histograms import LoopHistogram

BUCKETS = (0.001, 0.5, 1, 10)
OBSERVED = [(("GET", 200), 0.0), (("GET", 200), 0.5), (("GET", 404), 0.51), (("PUT", 200), 99.0)]


@pytest.fixture(params=["text/plain", "application/openmetrics-text"])
def exposed(request):
    """Return a registry's exposition, line by line, without the times of creation."""

    def lines(registry):
        encode, _ = choose_encoder(request.param)
        text = encode(registry).decode()
        return [line for line in text.splitlines() if "_created" not in line]

    return lines


def both():
    registries = CollectorRegistry(), CollectorRegistry()
    theirs = Histogram(
        "a_seconds", "Text.", ["method", "status"], buckets=BUCKETS, registry=registries[0]
    )
    ours = LoopHistogram(
        "a_seconds", "Text.", ["method", "status"], buckets=BUCKETS, registry=registries[1]
    )
    return registries, theirs, ours


def test_the_samples_are_the_librarys(exposed):
    (expected, registry), theirs, ours = both()
    for labels, value in OBSERVED:
        theirs.labels(*labels).observe(value)
        ours.observe(labels, value)
    assert exposed(registry) == exposed(expected)


def test_without_observations_there_is_only_the_family(exposed):
    (expected, registry), _, _ = both()
    assert exposed(registry) == exposed(expected)


def test_the_newest_exemplar_of_a_bucket_is_kept():
    (_, registry), _, ours = both()
    for trace_id in ("older", "newer", None):
        ours.observe(("GET", 200), 0.2, trace_id)
    samples = [sample for family in registry.collect() for sample in family.samples]
    kept = [(sample.labels["le"], sample.exemplar) for sample in samples if sample.exemplar]
    assert [(bound, exemplar.labels) for bound, exemplar in kept] == [
        ("0.5", {"trace_id": "newer"})
    ]


def test_the_time_of_creation_is_exposed():
    (_, registry), _, ours = both()
    ours.observe(("GET", 200), 0.2)
    labels = {"method": "GET", "status": "200"}
    assert registry.get_sample_value("a_seconds_created", labels) > 0


def test_labels_that_the_loop_adds_while_another_thread_collects_disturb_nothing():
    (_, registry), _, ours = both()

    class Meanwhile:
        def __str__(self):
            ours.observe(("GET", 404), 0.2)
            return "200"

    ours.observe(("GET", Meanwhile()), 0.2)
    [family] = registry.collect()
    assert {sample.labels["status"] for sample in family.samples} == {"200"}


def test_without_labels_the_samples_are_there_from_the_start(exposed):
    registries = CollectorRegistry(), CollectorRegistry()
    Histogram("a_seconds", "Text.", buckets=BUCKETS, registry=registries[0])
    LoopHistogram("a_seconds", "Text.", (), buckets=BUCKETS, registry=registries[1])
    assert exposed(registries[1]) == exposed(registries[0])
    assert "a_seconds_count 0.0" in exposed(registries[1])

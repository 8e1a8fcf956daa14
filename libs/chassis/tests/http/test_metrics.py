"""Which requests the HTTP metrics count, with few and bounded labels."""

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from chassis.http.metrics import UNMATCHED, HttpMetrics, route_template

NAME = "http_server_request_duration_seconds_count"


def counted(registry):
    """Return the number of requests by method, route and status."""
    return {
        tuple(sample.labels[label] for label in ("method", "route", "status")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == NAME
    }


async def test_requests_are_counted_by_template_and_not_by_path(client, app):
    before = counted(app.state.process.registry)
    for number in range(3):
        await client.get(f"/api/v1/things/018f0000-0000-7000-8000-00000000000{number}")
    await client.get("/api/v1/busy")
    seen = counted(app.state.process.registry)
    for key, more in (
        (("GET", "/api/v1/things/{thing_id}", "200"), 3),
        (("GET", "/api/v1/busy", "429"), 1),
    ):
        assert seen[key] == before.get(key, 0) + more


async def test_a_head_is_counted_by_the_template_of_its_get(client, app):
    before = counted(app.state.process.registry)
    await client.head("/api/v1/things/018f0000-0000-7000-8000-000000000000")
    new = counted(app.state.process.registry)
    added = {key for key, value in new.items() if value != before.get(key)}
    assert added == {("HEAD", "/api/v1/things/{thing_id}", "200")}


async def test_unknown_paths_and_methods_add_no_series(client, app):
    before = counted(app.state.process.registry)
    for number in range(5):
        await client.get(f"/no/such/path/{number}")
        await client.request(f"BREW{number}", "/no/such/path")
    new = counted(app.state.process.registry)
    added = {key: value - before.get(key, 0) for key, value in new.items()}
    assert {key: value for key, value in added.items() if value} == {
        ("GET", UNMATCHED, "404"): 5,
        ("other", UNMATCHED, "404"): 5,
    }


async def test_no_request_is_in_flight_once_all_have_ended(client, app):
    await client.get("/api/v1/broken")
    registry = app.state.process.registry
    assert registry.get_sample_value("http_server_active_requests") == 0


def test_a_request_that_a_client_leaves_has_status_0(registry_of_its_own):
    metrics = HttpMetrics(registry_of_its_own)
    metrics.began()
    metrics.ended("/a", "GET", status=0, seconds=0.1)
    assert counted(registry_of_its_own) == {("GET", "/a", "0"): 1}


@pytest.fixture
def registry_of_its_own():
    return CollectorRegistry()


def test_a_path_without_a_route_has_no_template():
    assert route_template(Request({"type": "http", "method": "GET"}).scope) == UNMATCHED


SAMPLED = "00-1bf7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01"


def exemplars_of(app):
    """Return the traces that the buckets of durations name."""
    registry = app.state.process.registry
    buckets = registry.restricted_registry(["http_server_request_duration_seconds_bucket"])
    return {
        sample.exemplar.labels["trace_id"]
        for family in buckets.collect()
        for sample in family.samples
        if sample.exemplar is not None
    }


@pytest.mark.usefixtures("span_exporter")
async def test_a_recorded_request_is_the_exemplar_of_its_duration(client, app):
    trace_id = SAMPLED[3:35]
    await client.get("/api/v1/numbers/7", headers={"traceparent": SAMPLED[:-1] + "0"})
    assert trace_id not in exemplars_of(app)
    await client.get("/api/v1/numbers/7", headers={"traceparent": SAMPLED})
    assert trace_id in exemplars_of(app)

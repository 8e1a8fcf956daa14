"""Which requests the HTTP metrics count, with few and bounded labels."""

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed
from starlette.applications import Starlette
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


SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def exposition(app, accept):
    """Return the metrics as the internal port shows them, and their format."""
    internal = Starlette(routes=app.state.process.internal_routes())
    transport = httpx.ASGITransport(app=internal)
    async with httpx.AsyncClient(transport=transport, base_url="http://internal") as http:
        answer = await http.get("/metrics", headers={"Accept": accept})
    return answer.text, answer.headers["content-type"]


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.mark.usefixtures("span_exporter")
async def test_a_recorded_request_is_the_exemplar_of_its_duration(client, app):
    trace_id = SAMPLED[3:35]
    await client.get("/api/v1/numbers/7", headers={"traceparent": SAMPLED[:-1] + "0"})
    text, _ = await exposition(app, OPENMETRICS)
    assert trace_id not in text
    await client.get("/api/v1/numbers/7", headers={"traceparent": SAMPLED})
    text, _ = await exposition(app, OPENMETRICS)
    (family,) = [one for one in parsed(text) if one.name == "http_server_request_duration_seconds"]
    found = [sample for sample in family.samples if sample.exemplar is not None]
    assert trace_id in {sample.exemplar.labels["trace_id"] for sample in found}
    assert {sample.name for sample in found} == {f"{family.name}_bucket"}
    text, _ = await exposition(app, "text/plain")
    assert trace_id not in text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0"),
        (
            f"{OPENMETRICS};q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "application/openmetrics",
        ),
        ("text/plain; version=0.0.4", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
    ],
)
async def test_the_format_of_metrics_is_what_the_scraper_accepts(app, accept, expected):
    text, content_type = await exposition(app, accept)
    assert content_type.startswith(expected)
    assert text.endswith("# EOF\n") == ("openmetrics" in expected)

"""The log line of a request, which does not pass structlog, is what structlog would write."""

import asyncio
import json
import logging

import httpx
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from chassis.http.context import RequestContext
from chassis.http.metrics import HttpMetrics
from chassis.telemetry import configure_logging, request_lines
from chassis.telemetry.logging import note_user

USER = "018f4e7a-8a53-7cc2-b2a5-2f0d35f4a111"
ID = "the-request"


async def app(scope, _, send):
    if scope["path"].startswith("/own"):
        note_user(USER)
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def _json_lines(monkeypatch):
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    configure_logging(process="orders", level="INFO", log_format="json")
    # The module's own logger would keep this configuration for the tests after this one.
    monkeypatch.setattr(request_lines, "log", structlog.get_logger("chassis.http.access"))
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def line_of(capsys, _json_lines):
    """Return a function that sends a request, and returns its line."""

    async def send(path, *, process):
        context = RequestContext(app, metrics=HttpMetrics(CollectorRegistry()), process=process)
        capsys.readouterr()
        transport = httpx.ASGITransport(context)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            with TracerProvider().get_tracer("t").start_as_current_span("request"):
                await client.post(path, headers={"X-Request-ID": ID})
        await asyncio.sleep(0)  # lines are written in the loop's next turn
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    return send


@pytest.mark.parametrize(
    "path",
    ["/own/orders", "/foreign", "/a@b.example", "/%22quoted%22", "/x/Bearer%20secret-of-mine"],
)
async def test_it_has_the_fields_and_the_redaction_of_structlogs(line_of, path):
    expected = await line_of(path, process=None)
    ours = await line_of(path, process="orders")
    assert ours.keys() == expected.keys()
    different = {"timestamp", "milliseconds", "trace_id", "span_id"}
    assert {name: ours[name] for name in ours.keys() - different} == {
        name: expected[name] for name in expected.keys() - different
    }
    assert ours["request_id"] == ID
    assert ours.get("user_id") == (USER if path.startswith("/own") else None)
    assert "secret-of-mine" not in json.dumps(ours)
    assert [len(ours[name]) for name in ("trace_id", "span_id")] == [32, 16]

"""The span of a request: its parent, its name and what it records."""

from opentelemetry import trace

from chassis.http.tracing import ServerSpan

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = SAMPLED[:-1] + "0"


def server_spans(spans):
    return [span for span in spans.get_finished_spans() if span.kind is trace.SpanKind.SERVER]


async def test_a_request_is_a_child_of_the_sent_context_and_named_after_its_route(client, spans):
    response = await client.get("/api/v1/numbers/7", headers={"traceparent": SAMPLED})
    (span,) = server_spans(spans)
    assert trace.format_trace_id(span.context.trace_id) == SAMPLED[3:35]
    assert trace.format_span_id(span.parent.span_id) == SAMPLED[36:52]
    assert span.name == "GET /api/v1/numbers/{number}"
    assert span.attributes["http.route"] == "/api/v1/numbers/{number}"
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["url.path"] == "/api/v1/numbers/7"
    assert span.attributes["url.scheme"] == "http"
    assert span.attributes["http.response.status_code"] == response.status_code


async def test_a_request_that_no_route_matches_has_a_span_of_few_names(client, spans):
    await client.get("/nothing/here", headers={"traceparent": SAMPLED})
    (span,) = server_spans(spans)
    assert span.name == "GET unmatched"
    assert span.attributes["http.response.status_code"] == 404


async def test_an_api_key_in_a_path_is_not_recorded(client, spans):
    secret = "0123456789abcdef" * 4
    await client.get(f"/x/slipway_a1b2c3d4e5f6_{secret}", headers={"traceparent": SAMPLED})
    (span,) = server_spans(spans)
    assert span.attributes["url.path"] == "/x/slipway_a1b2c3d4e5f6_[redacted]"


async def test_a_request_that_is_not_sampled_records_nothing(client, spans):
    await client.get("/nothing/here", headers={"traceparent": NOT_SAMPLED})
    assert server_spans(spans) == []


async def recorded(spans, *messages, kind="http"):
    """Return the span of a request whose app sends these messages."""

    async def app(_scope, _receive, send):
        for message in messages:
            await send(message)

    async def received():
        return {"type": "http.request", "body": b""}

    async def sent(_message):
        return None

    headers = [(b"traceparent", SAMPLED.encode())]
    scope = {"type": kind, "method": "GET", "path": "/x", "headers": headers}
    await ServerSpan(app)(scope, received, sent)
    (span,) = server_spans(spans)
    return span


async def test_a_server_error_is_an_error_of_the_span(spans):
    start = {"type": "http.response.start", "status": 503, "headers": []}
    span = await recorded(spans, start, {"type": "http.response.body", "body": b""})
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "503"
    assert span.attributes["http.response.status_code"] == 503


async def test_a_request_without_a_response_because_its_client_has_gone_is_a_failed_one(spans):
    span = await recorded(spans)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes["error.type"] == "incomplete_response"
    assert "http.response.status_code" not in span.attributes


async def test_an_accepted_websocket_needs_no_response(spans):
    span = await recorded(spans, {"type": "websocket.accept"}, kind="websocket")
    assert span.status.status_code is trace.StatusCode.UNSET
    assert "error.type" not in span.attributes

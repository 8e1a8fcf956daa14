"""What all processes show of a run: metrics of few series, and logs without personal data."""

import asyncio
import json
import re
import secrets
import uuid
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from client import ProblemError
from monitoring.prometheus import all_alerts

PASSWORD = "correct horse battery staple"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
_MOST_SERIES = 400  # of one family in one process; a histogram's buckets count as one
_UNBOUNDED = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-|@|\d{1,3}(\.\d{1,3}){3}|\beyJ|[0-9a-f]{16}|no-such", re.IGNORECASE
)
_OWN_LABELS = frozenset({"le", "implementation", "version", "major", "minor", "patchlevel"})


def odd_requests(api):
    """Return requests that nobody should send; each call makes new ones."""
    mark = secrets.token_hex(8)
    yield "GET", f"{api}/orders/{uuid.uuid4()}", {}
    yield "GET", f"{api}/no-such/{mark}/ada.{mark}@mail.example", {}
    yield "GET", f"{api}/products?q={mark}&cursor={mark}", {}
    yield f"BREW{mark.upper()}", f"{api}/products", {}
    yield "POST", f"{api}/orders/{mark}", {"Idempotency-Key": mark}
    yield "GET", f"{api}/products/{'x' * 900}", {"X-Request-ID": mark}
    yield "GET", f"{api}/products", {"Authorization": f"Bearer {mark}"}
    yield "PUT", f"{api}/users/%00/{mark}", {}
    yield "GET", f"{api}/../{mark}", {"traceparent": f"00-{mark}{mark}-{mark}-01"}


async def send_odd(http, system):
    for method, url, headers in odd_requests(f"{system.gateway_url}/api/v1"):
        answer = await http.request(method, url, headers=headers)
        assert answer.status_code < 500, (method, url)


async def series_of(http, system):
    """Return the label sets of each family in each process."""
    record = await asyncio.to_thread(system.state.read)
    found: dict[tuple[str, str], set[tuple[tuple[str, str], ...]]] = {}
    for process in record.processes:
        if process.name == "traces":
            continue
        url = f"http://{urlsplit(process.ready_url).netloc}/metrics"
        answer = await http.get(url, headers=OPENMETRICS)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k not in _OWN_LABELS}
                key = (process.name, family.name)
                found.setdefault(key, set()).add(tuple(sorted(labels.items())))
    return found


@pytest.fixture
async def http():
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


async def test_odd_requests_add_no_series_after_the_first_of_their_kind(http, system):
    await send_odd(http, system)
    before = await series_of(http, system)
    for _ in range(3):
        await send_odd(http, system)
    after = await series_of(http, system)
    assert ("gateway", "http_server_request_duration_seconds") in after
    # Background work may begin meanwhile, and have series of its own: those of requests may not.
    for (process, family), series in after.items():
        if family.startswith(("http_server", "gateway")):
            assert series == before[process, family], family
        assert len(series) <= _MOST_SERIES, (process, family)
        values = [value for labels in series for _, value in labels]
        assert [value for value in values if _UNBOUNDED.search(value)] == [], family


async def logs_of(system):
    def read():
        return {file.name: file.read_text() for file in system.state.logs.glob("*.log")}

    return await asyncio.to_thread(read)


async def test_no_process_logs_what_a_customer_typed_or_was_given(client, http, system, product):
    email = f"ada.{secrets.token_hex(8)}@mail.example"
    name, street = f"Ada {secrets.token_hex(6)}", f"Square {secrets.token_hex(6)}"
    await client.register(email=email, password=PASSWORD, full_name=name)
    tokens = await client.login(email=email, password=PASSWORD)
    with pytest.raises(ProblemError):
        await client.login(email=email, password=f"{PASSWORD} not")
    bearer = {"Authorization": f"Bearer {tokens.access_token}"}
    api = f"{system.gateway_url}/api/v1"
    address = {"name": name, "line1": street, "city": "L", "postal_code": "1", "country": "GB"}
    body = {"items": [{"product_id": str(product.id), "quantity": 1}], "shipping_address": address}
    placed = await http.post(
        f"{api}/orders", json=body, headers=bearer | {"Idempotency-Key": secrets.token_hex(8)}
    )
    assert placed.status_code == 201, placed.text
    await http.get(f"{api}/users/{email}", headers=bearer)
    await http.get(f"{api}/orders", headers={"Authorization": f"Bearer {tokens.access_token}x"})
    subject = await http.get(f"{api}/users/me", headers=bearer)
    user_id = subject.json()["id"]

    logs = await logs_of(system)
    lines = [
        json.loads(line)
        for text in logs.values()
        for line in text.splitlines()
        if line.startswith("{") and user_id in line
    ]
    ended = [line for line in lines if line["event"] == "request ended"]
    by_route = {(line["process"], line["route"], line["status"]) for line in ended}
    assert ("orders", "/api/v1/orders", 201) in by_route
    assert ("gateway", "/api/v1/orders", 201) in by_route
    assert all(line["user_id"] == user_id for line in ended)
    typed = [email, name, street, PASSWORD, tokens.access_token, tokens.access_token.split(".")[2]]
    typed += [one for one in [getattr(tokens, "refresh_token", None)] if one]
    for text in logs.values():
        assert [one for one in typed if one in text] == []


async def test_a_counter_whose_increase_is_watched_exists_before_it_counts(http, system):
    """Otherwise its first value is no increase, and the alert does not fire for the first event."""
    watched = {
        name
        for alert in all_alerts()
        for name in re.findall(r"(?:rate|increase)\((\w+)_total[{[]", alert.expr)
    }
    found = {family for _, family in await series_of(http, system)}
    assert watched <= found

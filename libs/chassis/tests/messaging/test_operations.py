"""The operators' HTTP API: who may use it, what it lists, and what it hides."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.messaging import FailurePolicy
from chassis.operations.app import PATH, Operations
from chassis.operations.redaction import redacted_headers, redacted_payload
from chassis.operations.replays import Replays
from chassis.settings import Environment
from chassis.wiring import ServiceResources, ServiceSettings
from chassis.worker import create_worker
from testkit.tokens import AUDIENCE, ISSUER

from .counting import SERVICE, CounterRaised, service
from .messages import message, raised, raw

LETTERS = "/dead-letters"
SCOPE = "ops:dead-letters"
ONCE = FailurePolicy(attempts=1)


async def refuse(event, delivery):
    del delivery
    error = f"{event.number} is refused"
    raise ValueError(error)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def api(offline, tokens, registry):
    operations = Operations(title="Tests", registry=registry)
    resources = ServiceResources(
        service=SERVICE,
        database=offline.database,
        verifier=TokenVerifier(
            keys=await asyncio.to_thread(PublicKeys, tokens.jwks_file),
            issuer=ISSUER,
            audience=AUDIENCE,
        ),
        wakeups=offline.wakeups,
    )
    operations.open(resources, Replays(resources=resources, snapshots=[]))
    transport = httpx.ASGITransport(app=operations.app)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://test",
        headers=tokens.headers(scopes=[SCOPE]),
    ) as client:
        yield client


async def numbers(api, **parameters):
    answer = await api.get(LETTERS, params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["offset"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    "path", ["", "/1", "/1/redrive", "/1/discard"], ids=["list", "show", "redrive", "discard"]
)
async def test_it_asks_for_a_token_of_its_scope(api, tokens, path):
    method = "POST" if path.count("/") > 1 else "GET"
    body = {"json": {"reason": "because"}} if method == "POST" else {}
    for headers, status in (
        ({"Authorization": ""}, 401),
        (tokens.headers(scopes=["catalog:write", "ops:replay"]), 403),
    ):
        answer = await api.request(method, LETTERS + path, headers=headers, **body)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_filters_say_which_ones_are_meant(api, offline):
    class CounterLost(CounterRaised):
        type = "counter.lost.v1"

    runner = offline.runner(refuse, failure=ONCE)
    await runner.run([*raised(1, 2), *raised(3, counter="b")])
    await runner.run([message(4, CounterLost(counter="c", number=4))])
    assert await numbers(api) == [1, 3, 4]
    assert await numbers(api, state=["dead"]) == [1, 3]
    assert await numbers(api, state=["unknown"]) == [4]
    assert await numbers(api, state=["retrying"]) == []
    assert await numbers(api, key="b") == [3]
    assert await numbers(api, type=CounterLost.type) == [4]
    assert await numbers(api, error="1 IS refused") == [1]
    assert await numbers(api, topic="counters", error="%") == []
    assert await numbers(api, topic="elsewhere") == []
    assert await numbers(api, min_age=60) == []
    await offline.query(
        "UPDATE parked_messages SET parked_at = now() - interval '1 h' WHERE log_offset = 3"
    )
    assert await numbers(api, min_age=60) == [3]
    assert (await api.get(LETTERS, params={"state": "gone"})).status_code == 422


async def test_pages_follow_each_other(api, offline):
    await offline.runner(refuse, failure=ONCE).run(
        [one for n in range(1, 6) for one in raised(n, counter=f"c{n}")]
    )
    first = (await api.get(LETTERS, params={"limit": 3})).json()
    second = (await api.get(LETTERS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["offset"] for item in first["items"]] == [1, 2, 3]
    assert [item["offset"] for item in second["items"]] == [4, 5]
    assert second["next_cursor"] is None


async def test_one_is_shown_with_its_place_and_without_what_it_says(api, offline):
    secret = "ada@example.com"
    event = CounterRaised(counter="a", number=1, filler=secret)
    await offline.runner(refuse, failure=ONCE).run([message(1, event), *raised(2)])
    (item,) = (await api.get(LETTERS)).json()["items"]
    assert (item["key"], item["state"], item["behind"]) == ("a", "dead", 1)
    assert item["error"] == "ValueError: 1 is refused"
    answer = await api.get(f"{LETTERS}/{item['number']}")
    shown = answer.json()
    assert shown["payload"] == {
        "counter": "<1 characters>",
        "number": 1,
        "filler": "<15 characters>",
    }
    assert shown["headers"]["ce_type"] == CounterRaised.type
    assert secret not in answer.text
    behind = (await api.get(f"{LETTERS}/{item['number'] + 1}")).json()
    assert (behind["before"], behind["behind"], behind["attempts"]) == (1, 0, 0)
    assert (await api.get(f"{LETTERS}/99")).json()["type"].endswith("/dead-letter-not-found")


async def test_what_is_no_event_of_ours_can_be_listed_and_shown(api, offline):
    headers = [("secret", b"\xff\x00"), ("ce_type", b"a\xff\x00b")]
    await offline.runner(refuse, failure=ONCE).run([raw(1, headers, b"\xff\x00", key=b"\xff\x00")])
    (item,) = (await api.get(LETTERS)).json()["items"]
    assert item["key"] == "\\xff\\x00"
    shown = (await api.get(f"{LETTERS}/{item['number']}")).json()
    assert shown["payload"] == "<2 bytes that are not JSON>"
    assert shown["headers"] == {"secret": "<2 characters>", "ce_type": "a\\udcff\\x00b"}


async def test_an_action_is_recorded_with_who_when_and_why(api, offline, tokens, registry):
    await offline.runner(refuse, failure=ONCE).run([*raised(1), *raised(2, counter="b")])
    first, second = (item["number"] for item in (await api.get(LETTERS)).json()["items"])
    ada, grace = uuid4(), uuid4()
    redriven = await api.post(
        f"{LETTERS}/{first}/redrive",
        json={"reason": "the bug is mended"},
        headers=tokens.headers(subject=ada, scopes=[SCOPE]),
    )
    assert (redriven.status_code, redriven.json()["state"]) == (202, "dead")
    discarded = await api.post(
        f"{LETTERS}/{second}/discard",
        json={"reason": "a test order"},
        headers=tokens.headers(subject=grace, scopes=[SCOPE]),
    )
    assert discarded.status_code == 200
    rows = await offline.query(
        "SELECT actor, action, reason, topic, key, type, source, now() - at"
        " FROM dead_letter_actions ORDER BY id"
    )
    assert [row[:5] for row in rows] == [
        (str(ada), "redriven", "the bug is mended", "counters", "a"),
        (str(grace), "discarded", "a test order", "counters", "b"),
    ]
    assert all(row[7] < timedelta(minutes=1) for row in rows)
    assert await numbers(api) == []
    assert await numbers(api, state="retrying") == [1]
    text = generate_latest(registry).decode()
    assert 'dead_letter_actions_total{action="redriven"} 1.0' in text


@pytest.mark.parametrize(
    "reason", [{}, {"reason": "  "}, {"reason": "x" * 501}], ids=["none", "empty", "too long"]
)
async def test_a_reason_is_required(api, offline, reason):
    await offline.runner(refuse, failure=ONCE).run(raised(1))
    (item,) = (await api.get(LETTERS)).json()["items"]
    assert (await api.post(f"{LETTERS}/{item['number']}/discard", json=reason)).status_code == 422
    assert await numbers(api) == [1]


def test_ids_and_times_are_shown_and_other_texts_are_not():
    payload = (
        b'{"user_id": "0198c5a2-0000-7000-8000-000000000001", "at": "2026-01-15T10:20:30.5Z",'
        b' "currency": "EUR", "total": 1.5, "ok": true, "none": null, "token": "s3cret",'
        b' "lines": [{"name": "Ada"}], "bad": NaN}'
    )
    assert redacted_payload(payload) == {
        "user_id": "0198c5a2-0000-7000-8000-000000000001",
        "at": "2026-01-15T10:20:30.5Z",
        "currency": "<3 characters>",
        "total": 1.5,
        "ok": True,
        "none": None,
        "token": "<6 characters>",
        "lines": [{"name": "<3 characters>"}],
        "bad": "<3 characters>",
    }
    assert redacted_payload(None) is None


def test_unprintable_names_are_made_printable():
    assert redacted_payload(b'{"\\u0000\\ud800": 1}') == {"\\x00\\ud800": 1}


def test_a_payload_of_any_depth_is_cut():
    shown = redacted_payload(b"[" * 500 + b"]" * 500)
    for _ in range(20):
        (shown,) = shown
    assert shown == "<1 items>"


def test_headers_of_the_event_are_shown_and_others_are_not():
    headers = [("ce_id", "7"), ("traceparent", "00-1"), ("authorization", "Bearer x"), ("n", None)]
    assert redacted_headers(headers) == {
        "ce_id": "7",
        "traceparent": "00-1",
        "authorization": "<8 characters>",
        "n": "<0 characters>",
    }


@pytest.fixture
def settings(service_database, tokens):
    return ServiceSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(service_database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",
        auth_jwks_file=tokens.jwks_file,
        auth_issuer=ISSUER,
    )


@pytest.mark.usefixtures("database")
async def test_a_worker_serves_it_beside_its_probes(settings, tokens):
    worker = create_worker(service(), settings)
    transport = httpx.ASGITransport(app=worker)
    async with (
        worker.router.lifespan_context(worker),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        path = f"{PATH}{LETTERS}"
        answer = await client.get(path, headers=tokens.headers(scopes=[SCOPE]))
        assert answer.json() == {"items": [], "next_cursor": None}
        refused = await client.get(path)
        assert (refused.status_code, refused.json()["instance"]) == (401, path)
        assert (await client.get("/healthz/live")).status_code == 200

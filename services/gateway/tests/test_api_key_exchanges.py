"""The cache of API keys by itself: what is remembered, shared, bounded, and for how long."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import time_machine
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from chassis.auth import TokenVerifier
from chassis.auth.api_keys import new_api_key
from chassis.auth.keys import PublicKeys
from chassis.database import new_id
from chassis.errors import TooManyRequests, Unavailable
from gateway.api_keys import REFUSED, ApiKeys, Grant
from gateway.errors import Refused
from testkit.tokens import AUDIENCE, ISSUER


@dataclass
class Answer:
    status: int
    body: bytes

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def read(self):
        return self.body


@dataclass
class Users:
    """Answers exchanges as it is told: with a status, a token, or an error that it raises."""

    answer: Any = 401
    asked: list[str] = field(default_factory=list)
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    timeouts: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.paused.set()

    async def request(self, _method, _path, *, fields, body, deadline):
        del deadline
        self.fields = dict(fields)
        self.asked.append(json.loads(body)["api_key"])
        await self.paused.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, str):
            return Answer(200, json.dumps({"access_token": self.answer}).encode())
        if isinstance(self.answer, bytes):
            return Answer(200, self.answer)
        return Answer(self.answer, b"")

    def timed_out(self):
        self.timeouts += 1


@pytest.fixture
def users():
    return Users()


@pytest.fixture
def revoked():
    return set()


@pytest.fixture
async def make(users, tokens, revoked):
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, revoked=revoked)

    def made(**options):
        return ApiKeys(users=users, verifier=verifier, registry=CollectorRegistry(), **options)

    return made


@pytest.fixture
def api_keys(make):
    return make()


@pytest.fixture
def key():
    return new_api_key()


async def allow():
    return None


async def exchanged(api_keys, key, allow=allow):
    return await api_keys.exchange(key, fields=[], allow=allow)


async def test_a_granted_key_is_known_until_a_tenth_of_its_tokens_life_is_left(
    api_keys, users, tokens, key
):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        users.answer = tokens.token(api_key_id=new_id())
        grant = await exchanged(api_keys, key)
        assert grant.token == users.answer
        clock.shift(539)
        assert api_keys.known(key) is grant
        clock.shift(1)
        assert api_keys.known(key) is None


async def test_a_refused_key_is_known_for_a_while(make, users, tokens, key):
    """Its owner was deactivated, and is active again."""
    seconds = [0.0]
    api_keys = make(clock=lambda: seconds[0])
    assert await exchanged(api_keys, key) is REFUSED
    seconds[0] = 29.0
    assert api_keys.known(key) is REFUSED
    seconds[0] = 30.0
    assert api_keys.known(key) is None
    users.answer = tokens.token(api_key_id=new_id())
    assert isinstance(await exchanged(api_keys, key), Grant)
    assert isinstance(api_keys.known(key), Grant)


async def test_a_malformed_key_is_refused_without_an_exchange(api_keys, users, key):
    for malformed in (key[:-1], f"{key}0", key[:-1] + "\udcff", f"{key}\n"):
        assert api_keys.known(malformed) is REFUSED
    assert users.asked == []


async def test_requests_at_once_share_one_exchange_which_is_counted_once(
    api_keys, users, tokens, key
):
    users.answer = tokens.token(api_key_id=new_id())
    users.paused.clear()
    counted = []

    async def count():
        counted.append(1)

    waiting = [asyncio.create_task(exchanged(api_keys, key, count)) for _ in range(20)]
    await asyncio.sleep(0)  # each has begun to wait
    users.paused.set()
    grants = await asyncio.gather(*waiting)
    assert {grant.token for grant in grants} == {users.answer}
    assert users.asked == [key]
    assert counted == [1]


async def test_an_exchange_goes_on_if_the_first_client_disconnects(api_keys, users, tokens, key):
    users.answer = tokens.token(api_key_id=new_id())
    users.paused.clear()
    first, second = (asyncio.create_task(exchanged(api_keys, key)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    users.paused.set()
    assert isinstance(await second, Grant)
    assert first.cancelled()
    assert users.asked == [key]


async def test_an_exchange_that_fails_after_all_clients_disconnected_is_no_lost_exception(
    api_keys, users, key
):
    users.answer = Unavailable()
    users.paused.clear()
    only = asyncio.create_task(exchanged(api_keys, key))
    await asyncio.sleep(0)
    only.cancel()
    await asyncio.wait([only])
    users.paused.set()
    for _ in range(5):
        await asyncio.sleep(0)  # the exchange ends, and no client reads its error
    with pytest.raises(Unavailable):
        await exchanged(api_keys, key)
    assert len(users.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable(),
        Refused(502, "broken"),
        TimeoutError(),
        500,
        503,
        429,
        422,
        302,
        b"",
        b"{",
        b"[]",
    ],
    ids=repr,
)
async def test_what_is_no_answer_of_users_is_unavailable_and_not_remembered(
    api_keys, users, key, answer
):
    users.answer = answer
    for _ in range(2):
        with pytest.raises(Unavailable) as failed:
            await exchanged(api_keys, key)
        assert failed.value.retry_after == 1
        assert key not in failed.value.detail
        assert api_keys.known(key) is None
    assert len(users.asked) == 2


async def test_a_token_that_does_not_verify_is_unavailable(api_keys, users, key):
    """The public keys that this process has read may be older than the signing key."""
    users.answer = "x.y.z"
    with pytest.raises(Unavailable):
        await exchanged(api_keys, key)


async def test_while_users_is_unavailable_the_old_token_is_used_until_it_expires(
    api_keys, users, tokens, key
):
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        users.answer = tokens.token(api_key_id=new_id())
        grant = await exchanged(api_keys, key)
        users.answer = Unavailable()
        clock.shift(599)
        assert api_keys.known(key) is None
        assert await exchanged(api_keys, key) is grant
        clock.shift(10)
        with pytest.raises(Unavailable):
            await exchanged(api_keys, key)


async def test_a_key_beyond_the_limit_of_exchanges_keeps_its_old_token(
    api_keys, users, tokens, key
):
    async def refuse():
        message = "too many"
        raise TooManyRequests(message, retry_after=7)

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        users.answer = tokens.token(api_key_id=new_id())
        grant = await exchanged(api_keys, key)
        clock.shift(599)
        assert await exchanged(api_keys, key, refuse) is grant
    with pytest.raises(TooManyRequests):
        await exchanged(api_keys, new_api_key(), refuse)
    assert len(users.asked) == 1


async def test_the_token_of_a_revoked_key_is_not_used_even_while_users_is_unavailable(
    api_keys, users, tokens, revoked, key
):
    key_id = new_id()
    users.answer = tokens.token(api_key_id=key_id)
    await exchanged(api_keys, key)
    revoked.add(key_id)
    assert api_keys.known(key) is None
    users.answer = Unavailable()
    with pytest.raises(Unavailable):
        await exchanged(api_keys, key)
    users.answer = 401
    assert await exchanged(api_keys, key) is REFUSED
    assert api_keys.known(key) is REFUSED


async def test_a_key_that_is_revoked_between_its_exchange_and_the_response_is_not_granted(
    api_keys, users, tokens, revoked, key
):
    key_id = new_id()
    users.answer = tokens.token(api_key_id=key_id)
    revoked.add(key_id)
    with pytest.raises(Unavailable):
        await exchanged(api_keys, key)
    assert api_keys.known(key) is None


async def test_tokens_and_refusals_are_bounded_apart(make, users, tokens):
    """Guesses must not displace the tokens of valid keys."""
    api_keys = make(remembered=2)
    granted = [new_api_key() for _ in range(3)]
    for one in granted:
        users.answer = tokens.token(api_key_id=new_id())
        await exchanged(api_keys, one)
    guesses = [new_api_key() for _ in range(3)]
    for one in guesses:
        users.answer = 401
        await exchanged(api_keys, one)
    assert api_keys.known(granted[0]) is None
    assert all(isinstance(api_keys.known(one), Grant) for one in granted[1:])
    assert api_keys.known(guesses[0]) is None
    assert all(api_keys.known(one) is REFUSED for one in guesses[1:])


async def test_a_token_that_is_renewed_is_not_the_oldest_one(make, users, tokens):
    api_keys = make(remembered=2)
    first, second, third = (new_api_key() for _ in range(3))
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        for seconds, key in ((0, first), (100, second), (450, first), (0, third)):
            clock.shift(seconds)
            users.answer = tokens.token(api_key_id=new_id())
            await exchanged(api_keys, key)
        assert isinstance(api_keys.known(first), Grant)
        assert api_keys.known(second) is None


async def test_a_rejected_key_does_not_get_its_old_token_while_users_is_unavailable(
    api_keys, users, tokens, key
):
    """Its owner was deactivated; the old token would be valid for a few seconds more."""
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        users.answer = tokens.token(api_key_id=new_id())
        await exchanged(api_keys, key)
        clock.shift(545)
        users.answer = 401
        assert await exchanged(api_keys, key) is REFUSED
        clock.shift(31)  # users is asked again
        users.answer = Unavailable()
        with pytest.raises(Unavailable):
            await exchanged(api_keys, key)


async def test_a_users_service_that_hangs_is_unavailable(api_keys, users, key, monkeypatch):
    monkeypatch.setattr("gateway.api_keys._SECONDS", 0.05)
    users.paused.clear()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(5):
            await exchanged(api_keys, key)
    assert users.timeouts == 1


async def test_exchanges_at_once_are_bounded(make, users):
    api_keys = make(at_once=2)
    users.paused.clear()
    running = [asyncio.create_task(exchanged(api_keys, new_api_key())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await exchanged(api_keys, new_api_key())
    users.paused.set()
    assert await asyncio.gather(*running) == [REFUSED, REFUSED]
    assert await exchanged(api_keys, new_api_key()) is REFUSED


async def test_the_exchange_is_a_part_of_the_requests_trace(api_keys, users, key):
    with TracerProvider().get_tracer("t").start_as_current_span("request") as span:
        await exchanged(api_keys, key)
    trace_id = f"{span.get_span_context().trace_id:032x}"
    assert users.fields["traceparent"].split("-")[1] == trace_id


async def test_no_object_shows_a_key_or_a_token(api_keys, users, tokens, key):
    users.answer = tokens.token(api_key_id=new_id())
    grant = await exchanged(api_keys, key)
    assert users.answer not in repr(grant)
    users.asked.clear()  # the test's own copy
    assert key not in repr(vars(api_keys))

"""Tokens renew themselves: before they expire, after a 401, once for all concurrent calls."""

import asyncio

import httpx
import pytest

from client import ProblemError, RenewingToken, Retries, SlipwayClient, TokenError, Tokens

from .conftest import scripted
from .feeds import USER
from .test_retries import problem

OK = httpx.Response(200, json=USER)
UNAUTHORIZED = problem(401)
INVALID = httpx.Response(400, json={"error": "invalid_grant", "error_description": "It ended."})


class Session:
    """A log-in session whose refreshes are counted and can be held back."""

    def __init__(self) -> None:
        self.exchanged: list[str] = []
        self.time = 0.0
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.asked = asyncio.Event()
        self.token = RenewingToken(self._tokens(0), self._refresh, clock=lambda: self.time)

    async def _refresh(self, refresh_token: str) -> Tokens:
        self.exchanged.append(refresh_token)
        self.asked.set()
        await self.allowed.wait()
        return self._tokens(len(self.exchanged))

    def _tokens(self, number: int) -> Tokens:
        return Tokens(
            access_token=f"a{number}", refresh_token=f"r{number}", expires_in=600, scope=""
        )


@pytest.fixture
def session() -> Session:
    return Session()


async def test_a_token_is_renewed_shortly_before_it_expires(session: Session) -> None:
    session.time = 569
    assert await session.token.access_token() == "a0"
    session.time = 571
    assert await session.token.access_token() == "a1"
    session.time += 569
    assert await session.token.access_token() == "a1"
    assert session.exchanged == ["r0"]
    assert session.token.tokens.refresh_token == "r1"


async def test_concurrent_calls_share_one_renewal(session: Session) -> None:
    session.allowed.clear()
    session.time = 599
    waiting = [asyncio.create_task(session.token.access_token()) for _ in range(20)]
    await session.asked.wait()
    rejected = [asyncio.create_task(session.token.renew("a0")) for _ in range(20)]
    await asyncio.sleep(0)
    session.allowed.set()
    assert set(await asyncio.gather(*waiting, *rejected)) == {"a1"}
    assert session.exchanged == ["r0"]
    assert await session.token.renew("a0") == "a1", "one that was rejected before the renewal"


async def test_a_caller_cancelled_between_request_and_response_does_not_lose_the_renewal(
    session: Session,
) -> None:
    session.allowed.clear()
    first = asyncio.create_task(session.token.renew("a0"))
    await session.asked.wait()
    other = asyncio.create_task(session.token.renew("a0"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    session.allowed.set()
    assert await other == "a1"
    assert session.exchanged == ["r0"]


async def test_a_call_that_gets_401_is_sent_again_with_a_new_token(session: Session) -> None:
    async with scripted(UNAUTHORIZED, OK) as (api, server):
        await api.me(session.token)
    assert server.authorizations == ["Bearer a0", "Bearer a1"]


async def test_a_second_401_is_final(session: Session) -> None:
    async with scripted(UNAUTHORIZED) as (api, server):
        with pytest.raises(ProblemError, match="401"):
            await api.me(session.token)
    assert (len(server.requests), session.exchanged) == (2, ["r0"])


async def test_an_old_log_in_is_not_refreshed_since_a_refresh_keeps_its_age(
    session: Session,
) -> None:
    old = problem(401)
    old.headers["WWW-Authenticate"] = 'Bearer error="insufficient_user_authentication"'
    async with scripted(old) as (api, server):
        with pytest.raises(ProblemError, match="401"):
            await api.delete_me(session.token)
    assert (len(server.requests), session.exchanged) == (1, [])


async def test_a_plain_token_is_sent_as_it_is() -> None:
    async with scripted(UNAUTHORIZED) as (api, server):
        with pytest.raises(ProblemError, match="401"):
            await api.me("key")
    assert server.authorizations == ["Bearer key"]


async def test_a_failed_renewal_is_tried_again_by_the_next_call() -> None:
    refused = [True]

    async def refresh(_: str) -> Tokens:
        if refused:
            refused.clear()
            raise TokenError(error="invalid_grant", description="It ended.")
        return Tokens(access_token="b", expires_in=600, scope="")

    token = RenewingToken(Tokens(access_token="a", expires_in=600, scope=""), refresh)
    with pytest.raises(TokenError):
        await token.renew("a")
    assert await token.renew("a") == "b"


async def test_a_log_in_is_opened_resumed_and_ended() -> None:
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 600, "scope": ""}
    tokens = httpx.Response(200, json=body)
    async with scripted(tokens) as (api, server):
        token = await api.open_session(email="a@example.com", password="p", totp="123456")
        assert await token.access_token() == "a"
        resumed = await api.resume_session("r")
        await api.revoke(resumed)
    assert server.bodies[1:] == [b"grant_type=refresh_token&refresh_token=r", b"token=r"]


async def test_a_lost_refresh_is_repeated_at_once() -> None:
    tokens = httpx.Response(200, json={"access_token": "b", "expires_in": 600, "scope": ""})
    async with scripted(httpx.ReadError("cut"), tokens) as (api, server):
        assert (await api.refresh("r")).access_token == "b"
    assert len(set(server.bodies)) == 1


async def test_a_silent_refresh_is_repeated_while_the_server_knows_its_result() -> None:
    """From 10 s on, the server takes it for the use of a stolen token, and ends the session."""
    tokens = httpx.Response(200, json={"access_token": "b", "expires_in": 600, "scope": ""})
    async with scripted(httpx.ReadTimeout("nothing came"), tokens) as (api, server):
        await api.refresh("r")
    waited = server.requests[0].extensions["timeout"]["read"]
    assert waited + Retries().backoff.first < 10


async def test_a_session_that_has_ended_is_told_in_oauth_s_words() -> None:
    async with scripted(INVALID) as (api, server):
        for call in (api.refresh("used"), api.revoke("key")):
            with pytest.raises(TokenError, match="invalid_grant: It ended") as ended:
                await call
            assert ended.value.error == "invalid_grant"
    assert len(server.requests) == 2


async def test_closing_the_client_waits_for_a_renewal_whose_caller_has_gone() -> None:
    """Otherwise its response is lost, and with it the session."""
    asked, allowed = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.set()
        await allowed.wait()
        body = {"access_token": "b", "refresh_token": "s", "expires_in": 600, "scope": ""}
        return httpx.Response(200, json=body, request=request)

    async with SlipwayClient("http://gateway", transport=httpx.MockTransport(answer)) as api:
        token = api.renewing(Tokens(access_token="a", refresh_token="r", expires_in=0, scope=""))
        caller = asyncio.create_task(api.me(token))
        await asked.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        asyncio.get_running_loop().call_soon(allowed.set)
    assert token.tokens.refresh_token == "s"

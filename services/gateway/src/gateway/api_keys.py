"""API keys: the users service exchanges each for a short-lived access token, which is cached here.

So services verify only access tokens and never see a key. A key is held as its hash. A revoked key
needs no look-up either: its access tokens are rejected like those of an ended log-in session.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict

from chassis.auth.api_keys import is_well_formed
from chassis.auth.principal import Principal, Verifier
from chassis.cancellation import result_of
from chassis.errors import DomainError, Unavailable
from chassis.telemetry.tracing import current_trace_headers
from chassis.wire_names import JSON
from gateway.errors import Refused
from gateway.upstreams import Upstream

EXCHANGE_PATH = "/api-key-exchanges"
SERVICE = "users"
"""The service that exchanges keys, by its name in the route table."""

_SECONDS = 2.0
_OK = 200
_UNAUTHENTICATED = 401
# The share of a token's lifetime after which it is replaced. The rest is for a users service that
# is unavailable: until then the old token is used.
_FRESH_SHARE = 0.9
_REFUSED_SECONDS = 30.0
_REMEMBERED = 10_000
_AT_ONCE = 25

log = structlog.get_logger(__name__)

type Allow = Callable[[], Awaitable[object]]
"""Counts an exchange against a limit; raises an error if the limit is exceeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An access token that a key was exchanged for.

    Attributes:
        token: the access token.
        principal: its principal.
        fresh_until: when it is replaced, in seconds since 1970.
    """

    token: str = field(repr=False)
    principal: Principal
    fresh_until: float


class RefusedKey:
    """The key is malformed, or the users service has just rejected it."""


REFUSED = RefusedKey()


class _Answer(BaseModel):
    """The fields of the exchange's response that the gateway needs."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    access_token: str = ""


class ApiKeys:
    """Exchanges API keys for access tokens, and caches the tokens and the rejections.

    Args:
        users: the service that exchanges keys.
        verifier: verifies access tokens.
        registry: the registry of the counter.
        remembered: how many tokens are cached, and how many rejections; the oldest is removed.
        at_once: how many exchanges may run at a time. A further one is rejected with 503.
        clock: returns seconds that only increase.
    """

    def __init__(
        self,
        *,
        users: Upstream,
        verifier: Verifier,
        registry: CollectorRegistry,
        remembered: int = _REMEMBERED,
        at_once: int = _AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._verifier = verifier
        self._remembered = remembered
        self._at_once = at_once
        self._clock = clock
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._exchanges: dict[bytes, asyncio.Task[Grant | RefusedKey]] = {}
        self._outcomes = Counter(
            "gateway_api_key_exchanges",
            "Exchanges of API keys for access tokens, by outcome: granted, refused, failed.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("granted", "refused", "failed"):
            self._outcomes.labels(outcome)

    def known(self, key: str) -> Grant | RefusedKey | None:
        """Return what is known of a key, or None if it must be exchanged.

        A token that is no longer valid does not count: its key was revoked, or the key that signed
        it was withdrawn.
        """
        if not is_well_formed(key):
            return REFUSED
        digest = _digest(key)
        grant = self._grants.get(digest)
        if grant is not None and time.time() < grant.fresh_until and self._is_valid(grant):
            return grant
        if self._refused.get(digest, -math.inf) > self._clock():
            return REFUSED
        return None

    async def exchange(
        self, key: str, *, fields: list[tuple[str, str]], allow: Allow
    ) -> Grant | RefusedKey:
        """Exchange a key, and return the outcome.

        Requests with the same key share one exchange. It goes on if one of their clients
        disconnects.

        Args:
            key: a key that is not known.
            fields: the fields of the request that identify it and its client.
            allow: called once for an exchange, before it begins.

        Raises:
            Unavailable: the users service is unavailable, or too many exchanges are running.
            DomainError: the error that `allow` raised.
        """
        digest = _digest(key)
        running = self._exchanges.get(digest)
        if running is None:
            running = self._begin(digest, key, fields, allow)
        return await result_of(running)

    def _begin(
        self, digest: bytes, key: str, fields: list[tuple[str, str]], allow: Allow
    ) -> asyncio.Task[Grant | RefusedKey]:
        if len(self._exchanges) >= self._at_once:
            message = (
                f"The gateway is exchanging {self._at_once} API keys, and accepts no more at a "
                "time. Send the request again in a moment."
            )
            raise Unavailable(message)
        running = asyncio.create_task(self._exchange(digest, key, fields, allow))
        self._exchanges[digest] = running

        def ended(task: asyncio.Task[Grant | RefusedKey]) -> None:
            del self._exchanges[digest]
            if not task.cancelled():
                task.exception()  # marks it as retrieved: all clients may have disconnected

        running.add_done_callback(ended)
        return running

    async def _exchange(
        self, digest: bytes, key: str, fields: list[tuple[str, str]], allow: Allow
    ) -> Grant | RefusedKey:
        try:
            await allow()
            token = await self._ask(key, fields)
            outcome = REFUSED if token is None else self._granted(token)
        except DomainError:
            self._outcomes.labels("failed").inc()
            old = self._grants.get(digest)
            if old is None or not self._is_valid(old):
                raise
            return old
        if isinstance(outcome, Grant):
            self._outcomes.labels("granted").inc()
            _remember(self._grants, digest, outcome, self._remembered)
        else:
            self._outcomes.labels("refused").inc()
            self._grants.pop(digest, None)
            until = self._clock() + _REFUSED_SECONDS
            _remember(self._refused, digest, until, self._remembered)
        return outcome

    async def _ask(self, key: str, fields: list[tuple[str, str]]) -> str | None:
        """Return the access token of a key; None if users rejects the key."""
        body = _Proof(api_key=key).model_dump_json().encode()
        sent = [*fields, ("Content-Type", JSON), *current_trace_headers().items()]
        deadline = asyncio.get_running_loop().time() + _SECONDS
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._users.request(
                    "POST", EXCHANGE_PATH, fields=sent, body=body, deadline=deadline
                )
        except TimeoutError as error:
            self._users.timed_out()
            raise _unavailable() from error
        except (Refused, DomainError) as error:
            raise _unavailable() from error
        if answer.status == _UNAUTHENTICATED:
            return None
        if answer.status != _OK:
            log.warning("api key not exchanged", status=answer.status)
            raise _unavailable()
        try:
            return _Answer.model_validate_json(answer.body).access_token
        except ValueError as error:
            raise _unavailable() from error

    def _granted(self, token: str) -> Grant:
        try:
            principal = self._verifier.verify(token)
        except ValueError as error:
            # The key may have been revoked since, or the token is newer than the public keys.
            log.warning("exchanged access token not valid", reason=str(error))
            raise _unavailable() from error
        now = time.time()
        fresh_until = now + _FRESH_SHARE * (principal.expires_at - now)
        return Grant(token=token, principal=principal, fresh_until=fresh_until)

    def _is_valid(self, grant: Grant) -> bool:
        try:
            self._verifier.verify(grant.token)
        except ValueError:
            return False
        return True


class _Proof(BaseModel):
    """The exchange's request."""

    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: str


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _remember[T](cache: OrderedDict[bytes, T], digest: bytes, value: T, most: int) -> None:
    cache.pop(digest, None)
    cache[digest] = value
    if len(cache) > most:
        cache.popitem(last=False)


def _unavailable() -> Unavailable:
    message = (
        "The API key could not be verified, because the users service is unavailable. Nothing was "
        "done. Send the request again in a moment."
    )
    return Unavailable(message)

"""Rate limits: sliding windows, counted across replicas in Valkey.

A request never fails because Valkey is unavailable: this process then counts on its own. After 3
failures in a row a circuit breaker skips Valkey for 5 s, so that not every request waits for a
time-out.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from prometheus_client import CollectorRegistry, Counter, Gauge
from valkey.asyncio import ConnectionPool
from valkey.credentials import CredentialProvider
from valkey.exceptions import NoScriptError, ValkeyError

from gateway.library_internals.limits import AsyncScript, replace_window_script
from gateway.settings import GatewaySettings

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 5.0
_STORE_TIMEOUT_SECONDS = 0.25

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of counting one request.

    Attributes:
        allowed: whether the request may pass.
        retry_after: seconds until a request may pass again; 0 if this one may pass.
        fields: header fields for the response (draft-ietf-httpapi-ratelimit-headers).
    """

    allowed: bool
    retry_after: int
    fields: list[tuple[bytes, bytes]]


class StoreMetrics:
    """The metrics of the rate limits' store.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failures = Counter(
            "gateway_rate_limit_store_failures",
            "Calls to the rate limits' store that failed.",
            registry=registry,
        )
        self.alone = Gauge(
            "gateway_rate_limits_local",
            "1 while this process counts on its own, because the store is unavailable.",
            registry=registry,
        )


class Limits:
    """Counts requests against their limits.

    Args:
        rates: the rates, by limit class.
        shared: counts across replicas.
        local: counts for this process, while `shared` is unavailable.
        metrics: show which of the two counts.
    """

    def __init__(
        self,
        *,
        rates: Mapping[str, RateLimitItem],
        shared: RateLimiter,
        local: RateLimiter,
        metrics: StoreMetrics,
    ) -> None:
        self._rates = dict(rates)
        self._policies = {name: _policy(name, rate) for name, rate in rates.items()}
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._failures = 0
        self._open_until = 0.0

    async def hit(self, limit_class: str, key: str) -> Verdict:
        """Count one request of `key`, and return whether it may pass."""
        rate = self._rates[limit_class]
        if self._failures >= _FAILURES_TO_OPEN:
            now = time.monotonic()
            if now < self._open_until:
                return await self._ask(self._local, limit_class, rate, key)
            self._open_until = now + _OPEN_SECONDS  # only this request tries Valkey
        try:
            verdict = await self._ask(self._shared, limit_class, rate, key)
        except (ValkeyError, OSError) as error:
            self._failed(error)
            return await self._ask(self._local, limit_class, rate, key)
        if self._failures:
            self._recovered()
        return verdict

    async def _ask(
        self, limiter: RateLimiter, limit_class: str, rate: RateLimitItem, key: str
    ) -> Verdict:
        allowed = await limiter.hit(rate, limit_class, key)
        fields = [(b"ratelimit-policy", self._policies[limit_class])]
        if allowed:
            return Verdict(allowed=True, retry_after=0, fields=fields)
        # Only a rejected request needs the second call to the store, for `Retry-After`.
        stats = await limiter.get_window_stats(rate, limit_class, key)
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        fields.append((b"ratelimit", f'"{limit_class}";r=0;t={wait}'.encode()))
        return Verdict(allowed=False, retry_after=wait, fields=fields)

    def _failed(self, error: Exception) -> None:
        self._metrics.failures.inc()
        self._failures += 1
        if self._failures == _FAILURES_TO_OPEN:
            self._open_until = time.monotonic() + _OPEN_SECONDS
            self._metrics.alone.set(1)
            log.warning("rate limits: store unavailable, counting locally", error=str(error))

    def _recovered(self) -> None:
        if self._failures >= _FAILURES_TO_OPEN:
            log.info("rate limits: store available again")
        self._failures = 0
        self._metrics.alone.set(0)


class _Batches:
    """Runs one script for many callers: calls that arrive during a round trip share the next one.

    A round trip for each request would cost more than proxying the request.

    Args:
        script: the library's registered script.
    """

    def __init__(self, script: AsyncScript) -> None:
        self._script = script
        self._client = script.registered_client
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, keys: Sequence[str], arguments: Sequence[int]) -> Any:  # noqa: ANN401 - the script's result
        """Run the script once and return its result."""
        loop = asyncio.get_running_loop()
        call = _Call(loop.create_future(), (len(keys), *keys, *arguments))
        self._waiting.append(call)
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await call.answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                try:
                    answers = await self._answers(calls)
                except Exception as error:  # noqa: BLE001 - each caller gets it
                    answers = [error] * len(calls)
                for call, answer in zip(calls, answers, strict=True):
                    call.end(answer)
        finally:
            self._task = None

    async def _answers(self, calls: Sequence["_Call"]) -> list[Any]:
        answers = await self._send(calls)
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # Valkey has restarted and lost its scripts
            await self._client.script_load(self._script.script)
            again = await self._send([calls[n] for n in unknown])
            for n, answer in zip(unknown, again, strict=True):
                answers[n] = answer
        return answers

    async def _send(self, calls: Sequence["_Call"]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(self._script.sha, *call.arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers


@dataclass(frozen=True, slots=True)
class _Call:
    answer: asyncio.Future[Any]
    arguments: tuple[Any, ...]

    def end(self, answer: object) -> None:
        """Set the caller's result or exception, unless the caller was cancelled."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


def _policy(name: str, rate: RateLimitItem) -> bytes:
    return f'"{name}";q={rate.amount};w={rate.get_expiry()}'.encode()


class _Password(CredentialProvider):
    """Provides the current password for each new connection.

    Args:
        settings: the gateway's settings.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    def get_credentials(self) -> tuple[str]:
        """Return the password, read again from its source."""
        return (self._settings.secret("valkey_password") or "",)


@asynccontextmanager
async def open_limits(
    settings: GatewaySettings, registry: CollectorRegistry
) -> AsyncIterator[Limits | None]:
    """Open the limits; None if they are off. The first request opens the first connection."""
    if settings.slipway_limits == "off":
        yield None
        return
    url = settings.valkey_url.get_secret_value()
    pool = ConnectionPool.from_url(
        url,
        credential_provider=None if settings.valkey_password is None else _Password(settings),
        socket_timeout=_STORE_TIMEOUT_SECONDS,
        socket_connect_timeout=_STORE_TIMEOUT_SECONDS,
    )
    options: dict[str, Any] = {"connection_pool": pool}  # not in the library's types
    storage = RedisStorage(f"async+{url}", key_prefix="slipway:limits", **options)
    replace_window_script(storage, _Batches)
    try:
        yield Limits(
            rates=settings.rates,
            shared=SlidingWindowCounterRateLimiter(storage),
            local=SlidingWindowCounterRateLimiter(MemoryStorage()),
            metrics=StoreMetrics(registry),
        )
    finally:
        await pool.disconnect()

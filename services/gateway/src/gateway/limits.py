"""Rate limits: sliding windows, counted across replicas in Valkey, or here while that is away.

A request never fails because the store does. After three failures in a row a breaker leaves the
store alone for some seconds, so that its time-outs don't add up on every request.
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
from valkey.commands.core import AsyncScript
from valkey.exceptions import NoScriptError, ValkeyError

from gateway.settings import GatewaySettings

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 5.0
_STORE_TIMEOUT_SECONDS = 0.25

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says of one request.

    Attributes:
        allowed: whether it may pass.
        retry_after: seconds until one may pass again; for one that may not.
        fields: for the answer (draft-ietf-httpapi-ratelimit-headers).
    """

    allowed: bool
    retry_after: int
    fields: list[tuple[bytes, bytes]]


class StoreMetrics:
    """What operators see of the store.

    Args:
        registry: of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failures = Counter(
            "gateway_rate_limit_store_failures",
            "Calls to the rate limits' store that failed.",
            registry=registry,
        )
        self.alone = Gauge(
            "gateway_rate_limits_local",
            "1 while this process counts for itself, because the store is away.",
            registry=registry,
        )


class Limits:
    """Counts requests.

    Args:
        rates: by limit class.
        shared: counts across replicas.
        local: counts for this process.
        metrics: say which of the two does.
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
        """Count one request of `key`."""
        rate = self._rates[limit_class]
        if self._failures >= _FAILURES_TO_OPEN:
            now = time.monotonic()
            if now < self._open_until:
                return await self._ask(self._local, limit_class, rate, key)
            self._open_until = now + _OPEN_SECONDS  # this request tries; the others don't wait
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
        # Only a refusal is worth a second call to the store.
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
            log.warning("rate limits' store is away: this process counts alone", error=str(error))

    def _recovered(self) -> None:
        if self._failures >= _FAILURES_TO_OPEN:
            log.info("rate limits' store is back")
        self._failures = 0
        self._metrics.alone.set(0)


class _Batches:
    """Runs one script for many callers: what comes while a call is under way goes with the next.

    A call of its own for each request costs more than to pass the request on.

    Args:
        script: of the library, registered.
    """

    def __init__(self, script: AsyncScript) -> None:
        self._script = script
        self._client = script.registered_client
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, keys: Sequence[str], arguments: Sequence[int]) -> Any:  # noqa: ANN401 - what the script answers
        """Run the script once."""
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
        if unknown:  # by a store that was started anew
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
        """Tell the caller, unless it has gone."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


def _policy(name: str, rate: RateLimitItem) -> bytes:
    return f'"{name}";q={rate.amount};w={rate.get_expiry()}'.encode()


@asynccontextmanager
async def open_limits(
    settings: GatewaySettings, registry: CollectorRegistry
) -> AsyncIterator[Limits | None]:
    """Open the limits; None where they are off. No connection is made before the first request."""
    if settings.slipway_limits == "off":
        yield None
        return
    url = settings.valkey_url.get_secret_value()
    pool = ConnectionPool.from_url(
        url, socket_timeout=_STORE_TIMEOUT_SECONDS, socket_connect_timeout=_STORE_TIMEOUT_SECONDS
    )
    options: dict[str, Any] = {"connection_pool": pool}  # the library's types know no pool
    storage = RedisStorage(f"async+{url}", key_prefix="slipway:limits", **options)
    bridge: Any = storage.bridge  # its scripts have no place in the library's types
    bridge.lua_acquire_sliding_window = _Batches(bridge.lua_acquire_sliding_window)
    try:
        yield Limits(
            rates=settings.rates,
            shared=SlidingWindowCounterRateLimiter(storage),
            local=SlidingWindowCounterRateLimiter(MemoryStorage()),
            metrics=StoreMetrics(registry),
        )
    finally:
        await pool.disconnect()

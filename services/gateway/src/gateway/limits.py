"""Rate limits: sliding windows, counted across replicas in Valkey, or here while that is away.

A request never fails because the store does. After three failures in a row a breaker leaves the
store alone for some seconds, so that its time-outs don't add up on every request.
"""

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from prometheus_client import CollectorRegistry, Counter, Gauge
from valkey.asyncio import ConnectionPool
from valkey.exceptions import ValkeyError

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
    try:
        yield Limits(
            rates=settings.rates,
            shared=SlidingWindowCounterRateLimiter(storage),
            local=SlidingWindowCounterRateLimiter(MemoryStorage()),
            metrics=StoreMetrics(registry),
        )
    finally:
        await pool.disconnect()

"""Rate limits: each process decides by its own count, which it settles with Valkey every 25 ms.

So no request waits for Valkey, and a key's decision is local between two settlements. With N
replicas, a key gets at most what its limit allows and what the other replicas admit within 25 ms
and a round trip. The limits of `EXACT` have no such overshoot: each of their requests asks Valkey.

A request never fails because Valkey is unavailable: this process then counts on its own. After 3
failures in a row a circuit breaker skips Valkey for 5 s.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from valkey.asyncio import ConnectionPool, Valkey
from valkey.credentials import CredentialProvider
from valkey.exceptions import ValkeyError

from gateway.counts import Rate, StoreCount, Window
from gateway.routes import LimitClass
from gateway.settings import GatewaySettings
from gateway.settlement import Entry, Settlement, Store, ValkeyStore

EXACT = frozenset(
    {
        LimitClass.API_KEY_EXCHANGE,
        LimitClass.EXPORT,
        LimitClass.LOGIN,
        LimitClass.REGISTRATION,
    }
)
"""The limits whose requests each ask the store: guesses of secrets, and costly work."""

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 5.0
_KEYS = 100_000  # each takes some 300 bytes; the bound limits memory
_PREFIX = "slipway:counts"

log = structlog.get_logger(__name__)


@dataclass(slots=True)  # frozen, it would take three times as long to make
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


class LimitMetrics:
    """The metrics of the rate limits: what they refuse, and their store.

    Args:
        registry: the process's registry.
        names: of the limit classes; each is counted from the start.
    """

    def __init__(self, registry: CollectorRegistry, names: Iterable[str]) -> None:
        refused = Counter(
            "gateway_rate_limit_refusals_total",
            "Requests that a rate limit refused, by limit class: they got 429.",
            ["limit"],
            registry=registry,
        )
        self.refused = {name: refused.labels(name) for name in names}
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


type _Key = tuple[str, str]
"""A limit class and what is counted in it: a user, an address, an API key."""


class Limits:
    """Counts requests against their limits.

    States: shared (the store answers) → trying (it has failed; each request tries it) → alone
    (after 3 failures; one request tries it every 5 s) → shared. Outside "shared", what this process
    admitted since the failure is all it counts.

    Args:
        rates: the rates, by limit class.
        store: counts across replicas.
        metrics: show which of the two counts, and what was refused.
        clock: returns seconds that only increase.
    """

    def __init__(
        self,
        *,
        rates: Mapping[str, Rate],
        store: Store,
        metrics: LimitMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rates = dict(rates)
        self._policies = {
            name: (
                b"ratelimit-policy",
                f'"{name}";q={rate.amount};w={rate.seconds}'.encode(),
            )
            for name, rate in rates.items()
        }
        self._names = {name: name.encode() for name in rates}
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._windows: dict[_Key, Window] = {}
        self._unsettled: dict[_Key, None] = {}
        self._failures = 0
        self._open_until = 0.0
        self._settlement = Settlement(
            store, entries=self._entries, settled=self._settled, failed=self._failed
        )

    def count(self, limit_class: str, key: str) -> Verdict:
        """Count one request of `key`, and return whether it may pass, without asking the store."""
        now = self._clock()
        rate = self._rates[limit_class]
        known = (limit_class, key)
        window = self._windows.get(known)
        if window is None or now - window.began >= rate.seconds:
            window = self._window(known, now, rate)
        used = window.used(now, rate.seconds) if window.previous else window.current
        allowed = used < rate.amount
        if allowed:
            window.current += 1
            window.unsettled += 1
        if allowed or self._failures:  # else nobody would notice that the store is back
            soon = window.known_at is None
            if soon or self._failures or not self._unsettled:  # else a settlement is due already
                self._settle(now, soon=soon)
            self._unsettled[known] = None
        left = rate.amount - used - 1 if allowed else None
        return self._verdict(limit_class, rate, window, now, left=left)

    async def hit(self, limit_class: str, key: str) -> Verdict:
        """Count one request of `key` in the store, and return whether it may pass."""
        now = self._clock()
        if self._failures >= _FAILURES_TO_OPEN:
            if now < self._open_until:
                return self.count(limit_class, key)
            self._open_until = now + _OPEN_SECONDS  # only this request tries the store
        rate = self._rates[limit_class]
        entry = Entry(f"{_PREFIX}:{limit_class}:{key}", rate.seconds, 1, rate.amount)
        try:
            (count,) = await self._store.add([entry])
        except (ValkeyError, OSError, ValueError) as error:
            self._failed([], error)
            return self.count(limit_class, key)
        self._recover()
        now = self._clock()
        window = self._window((limit_class, key), now, rate)
        self._know(window, count, now)
        left = max(0, rate.amount - window.used(now, rate.seconds)) if count.added else None
        return self._verdict(limit_class, rate, window, now, left=left)

    async def close(self) -> None:
        """Stop to settle."""
        await self._settlement.close()

    def _window(self, key: _Key, now: float, rate: Rate) -> Window:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _KEYS:
                self._forget_old(now)
            self._windows[key] = window = Window(began=now)
        else:
            window.shift(now, rate.seconds)
        return window

    def _forget_old(self, now: float) -> None:
        """Drop the windows that count no more; if they are few, drop all that are settled."""
        old = [
            key
            for key, window in self._windows.items()
            if now - window.began >= 2 * self._rates[key[0]].seconds
        ]
        if len(old) < _KEYS // 10:
            old = [key for key in self._windows if key not in self._unsettled]
        for key in old:
            self._windows.pop(key)
            self._unsettled.pop(key, None)

    def _verdict(
        self, limit_class: str, rate: Rate, window: Window, now: float, *, left: int | None
    ) -> Verdict:
        """Return the verdict. `left` requests may follow this one; None: it may not pass itself."""
        allowed = left is not None
        if allowed:
            seconds = window.left(now, rate.seconds)
        else:
            seconds = window.wait(now, rate)
            self._metrics.refused[limit_class].inc()
        wait = max(1, math.ceil(seconds))
        fields = [
            self._policies[limit_class],
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self._names[limit_class], left or 0, wait)),
        ]
        return Verdict(allowed, 0 if allowed else wait, fields)

    # Settling.

    def _settle(self, now: float, *, soon: bool) -> None:
        if self._failures == 0:
            self._settlement.due(soon=soon)
        elif self._failures < _FAILURES_TO_OPEN:
            self._settlement.due(soon=True)
        elif now >= self._open_until:
            self._open_until = now + _OPEN_SECONDS  # only this call tries the store
            self._settlement.due(soon=True)

    def _entries(self) -> Sequence[Entry]:
        keys, self._unsettled = self._unsettled, {}
        entries = []
        for key in keys:
            window = self._windows[key]
            limit_class, name = key
            seconds = self._rates[limit_class].seconds
            entries.append(Entry(f"{_PREFIX}:{limit_class}:{name}", seconds, window.unsettled))
            window.unsettled = 0
        return entries

    def _settled(self, entries: Sequence[Entry], counts: Sequence[StoreCount]) -> None:
        now = self._clock()
        self._recover()
        for entry, count in zip(entries, counts, strict=True):
            window = self._windows.get(_key_of(entry))
            if window is not None:
                self._know(window, count, now)
        if self._unsettled:
            self._settlement.due()

    def _know(self, window: Window, count: StoreCount, now: float) -> None:
        """Take over the store's count; what it does not know yet is added."""
        window.began = now - count.age
        window.current = count.current + window.unsettled
        window.previous = count.previous
        window.known_at = now

    def _failed(self, entries: Sequence[Entry], error: Exception) -> None:
        if self._failures == 0:
            self._forget_shared(entries)
        self._metrics.failures.inc()
        self._failures += 1
        if self._failures == _FAILURES_TO_OPEN:
            self._open_until = self._clock() + _OPEN_SECONDS
            self._metrics.alone.set(1)
            log.warning("rate limits: store unavailable, counting locally", error=str(error))

    def _forget_shared(self, entries: Sequence[Entry]) -> None:
        """Count on alone: only with what the store was not told."""
        told = {_key_of(entry): entry.add for entry in entries}
        for key, window in list(self._windows.items()):
            unsettled = window.unsettled + told.get(key, 0)
            if unsettled:
                window.current, window.previous = unsettled, 0
            else:
                del self._windows[key]
                self._unsettled.pop(key, None)

    def _recover(self) -> None:
        if not self._failures:
            return
        if self._failures >= _FAILURES_TO_OPEN:
            log.info("rate limits: store available again")
        # What was counted alone stays with this process: the store has counted on without it.
        self._windows.clear()
        self._unsettled.clear()
        self._failures = 0
        self._metrics.alone.set(0)


def _key_of(entry: Entry) -> _Key:
    limit_class, _, name = entry.key[len(_PREFIX) + 1 :].partition(":")
    return limit_class, name


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
    pool = ConnectionPool.from_url(
        settings.valkey_url.get_secret_value(),
        credential_provider=None if settings.valkey_password is None else _Password(settings),
        socket_timeout=settings.valkey_timeout,
        socket_connect_timeout=settings.valkey_timeout,
    )
    rates = {name: Rate(rate.amount, rate.get_expiry()) for name, rate in settings.rates.items()}
    limits = Limits(
        rates=rates,
        store=ValkeyStore(Valkey(connection_pool=pool)),
        metrics=LimitMetrics(registry, rates),
    )
    try:
        yield limits
    finally:
        await limits.close()
        await pool.disconnect()

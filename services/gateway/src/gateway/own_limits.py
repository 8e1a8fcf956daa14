"""The limits of the gateway's own routes: slowapi counts where the limits of proxied routes count.

slowapi is synchronous, so a store behind a network would stop the loop. `Limits.count` decides by
this process's count at once, and settles it with Valkey later. If Valkey is unavailable, the
process counts for itself, with the same breaker and metric.
"""

from contextvars import ContextVar
from typing import Any, Final

from limits.storage import Storage
from slowapi import Limiter
from starlette.requests import Request

from gateway.addresses import Addresses, limit_key
from gateway.exchange import FieldLines
from gateway.limits import Limits
from gateway.settings import GatewaySettings

LIMIT_CLASS: Final = "documents"
_SCHEME = "slipway"
_TOO_MANY = 2**31
_fields: ContextVar[FieldLines | None] = ContextVar("counted", default=None)


class OwnCounts:
    """Counts the requests of the own routes.

    Attributes:
        limits: the limits, once they are open; None: nothing is limited.
    """

    def __init__(self) -> None:
        self.limits: Limits | None = None

    def allows(self, key: str) -> bool:
        """Count one request, and return whether it may pass."""
        if self.limits is None:
            return True
        verdict = self.limits.count(LIMIT_CLASS, key)
        _fields.set(verdict.fields)
        return verdict.allowed


def counted_fields() -> FieldLines:
    """Return the fields about the limit for the response to the request that is being served."""
    return _fields.get() or []


class _CountsStorage(Storage):
    """The storage of slowapi. Only `incr` is used: the fixed window asks nothing else."""

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012 - the library's own form

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,  # noqa: FBT002 - the library's signature
        *,
        counts: OwnCounts,
        **options: Any,  # noqa: ANN401 - likewise
    ) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._counts = counts

    @property
    def base_exceptions(self) -> type[Exception]:
        """The errors of the store: none reaches a caller."""
        return ConnectionError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count one request, and return a count that slowapi compares with the rate."""
        del expiry, amount  # the limits know the rate
        return 0 if self._counts.allows(key) else _TOO_MANY

    def get(self, key: str) -> int:
        """Return nothing: not used."""
        raise NotImplementedError(key)

    def get_expiry(self, key: str) -> float:
        """Return nothing: not used."""
        raise NotImplementedError(key)

    def check(self) -> bool:
        """Return whether it works, which it always does."""
        return True

    def reset(self) -> int | None:
        """Reset nothing: not used."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Reset nothing: not used."""
        raise NotImplementedError(key)


def own_limiter(settings: GatewaySettings, addresses: Addresses, counts: OwnCounts) -> Limiter:
    """Return the limiter of the gateway's own routes.

    Args:
        settings: the gateway's settings.
        addresses: finds the address of a request's client.
        counts: counts the requests.
    """

    def client_of(request: Request) -> str:
        return limit_key(addresses.origin(request.scope).client)

    options: dict[str, Any] = {"counts": counts}  # slowapi declares texts only
    return Limiter(
        key_func=client_of,
        enabled=settings.slipway_limits == "on",
        storage_uri=f"{_SCHEME}://",
        storage_options=options,
    )

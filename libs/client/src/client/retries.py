"""When a failed attempt is repeated, and after how many seconds."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

_NOT_DONE: Final = {HTTPStatus.TOO_MANY_REQUESTS}
_MAYBE_DONE: Final = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: delays are random between 0 and a growing limit.

    Without the jitter, all clients that lost their server at once would come back at once.

    Attributes:
        first: the limit of the first delay, in seconds. Each further limit is twice as large.
        most: the largest limit, in seconds.
    """

    first: float = 0.2
    most: float = 10.0

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after that many failed attempts."""
        limit = min(self.most, self.first * 2.0 ** min(attempt - 1, 32))
        return random.uniform(0, limit)  # noqa: S311  # spreads load; it protects no secret


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is attempted.

    Attributes:
        attempts: the most attempts, the first included; 1 turns retries off.
        backoff: the delays between them. A `Retry-After` of the server is added to them.
    """

    attempts: int = 4
    backoff: Backoff = Backoff()

    def after_error(
        self, error: httpx.TransportError, attempt: int, *, repeatable: bool
    ) -> float | None:
        """Return the seconds until the next attempt; None if there is to be none.

        A request of a connection that was never opened took no effect, so any can be repeated.
        """
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if attempt >= self.attempts or not (repeatable or unsent):
            return None
        return self.backoff.delay(attempt)

    def after_response(
        self, response: httpx.Response, attempt: int, *, repeatable: bool
    ) -> float | None:
        """Return the seconds until the next attempt; None if the response is final.

        A 503 may come after a commit, so only repeatable requests are sent again. A 409 with
        `Retry-After` means that the first request with this Idempotency-Key still runs.
        """
        wait = seconds_of(response.headers.get("Retry-After"))
        again = response.status_code in _NOT_DONE or (
            repeatable
            and (
                response.status_code in _MAYBE_DONE
                or (response.status_code == HTTPStatus.CONFLICT and wait is not None)
            )
        )
        if attempt >= self.attempts or not again:
            return None
        return (wait or 0.0) + self.backoff.delay(attempt)


def seconds_of(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, a number or a date (RFC 9110 §10.2.3), or None."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
        # The obsolete form of `asctime` names no zone, and is in UTC (RFC 9110 §5.6.7).
        wait = at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())

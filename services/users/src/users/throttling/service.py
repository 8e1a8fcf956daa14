"""Use cases of throttling: count a request that anyone may send, or reject it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from chassis.auth.passwords import Passwords
from chassis.errors import TooManyRequests
from users.throttling.models import Rate, RequestLimits, bucket_key
from users.throttling.repository import BucketRepository


class RequestThrottle:
    """Limits requests of one kind, within one transaction (ADR 38).

    If the transaction is rolled back, the request is not counted. E-mail addresses without an
    account are counted in the same way. So neither a rejection nor its time reveals which accounts
    exist.

    Args:
        buckets: the transaction's repository.
        kind: the kind of requests. Each kind has buckets of its own.
        limits: the limits; None for no throttling.
    """

    def __init__(
        self, *, buckets: BucketRepository, kind: str, limits: RequestLimits | None
    ) -> None:
        self._buckets = buckets
        self._kind = kind
        self._limits = limits

    async def count(self, *, email_key: str, address: str) -> None:
        """Count a request that concerns an e-mail address, from the client's `address`.

        Raises:
            TooManyRequests: a bucket is full. The error holds the seconds to wait.
        """
        limits = self._limits
        if limits is None:
            return
        # The order is the same for all requests, so that two of them can't deadlock.
        await self._fill(limits.of_address, "from", address)
        await self._fill(limits.of_both, "from and to", address, email_key)
        await self._fill(limits.of_email, "to", email_key)

    async def _fill(self, rate: Rate, *subject: str) -> None:
        key = bucket_key(self._kind, *subject)
        if await self._buckets.fill(key, rate) is None:
            seconds = await self._buckets.wait(key, rate)
            message = (
                f"Too many {self._kind}s for this e-mail address, or from your network. Wait "
                f"{seconds} s, then try again."
            )
            raise TooManyRequests(message, retry_after=seconds)


class HashingThrottle:
    """Limits requests of one kind that hash a password.

    The count is committed before the hash: it stays if the request fails, and no connection is held
    while Argon2 runs.

    Args:
        transaction: opens a transaction and returns its throttle.
        passwords: hashes passwords. While its queue is full, nothing is counted.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[RequestThrottle]],
        passwords: Passwords,
    ) -> None:
        self._transaction = transaction
        self._passwords = passwords

    async def count(self, *, email_key: str, address: str) -> None:
        """Count a request, as ``RequestThrottle.count`` does.

        Raises:
            PasswordsBusy: too many passwords are being hashed.
            TooManyRequests: a bucket is full. The error holds the seconds to wait.
        """
        self._passwords.check_room()
        async with self._transaction() as throttle:
            await throttle.count(email_key=email_key, address=address)

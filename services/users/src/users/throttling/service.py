"""Use cases of throttling: count what anyone may try or request, or reject it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from chassis.auth.passwords import Passwords, PasswordsBusy
from chassis.errors import TooManyRequests
from users.throttling.errors import TooManyFailedLogIns
from users.throttling.models import (
    LogInAttempt,
    LogInLimits,
    Rate,
    RequestLimits,
    bucket_key,
)
from users.throttling.repository import BucketRepository

_ONE_A_MINUTE = Rate(limit=1, window=timedelta(minutes=1))


async def fill_or_refuse(
    buckets: BucketRepository, key: bytes, rate: Rate, refusal: Callable[[int], TooManyRequests]
) -> bool:
    """Count one in a bucket, and return whether the bucket is known.

    Raises:
        TooManyRequests: the bucket is full. It is what `refusal` returns for the seconds to wait.
    """
    known = await buckets.fill(key, rate)
    if known is None:
        raise refusal(await buckets.wait(key, rate))
    return known


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
        for key, rate in self._counted(email_key, address):
            await fill_or_refuse(self._buckets, key, rate, self._refusal)

    async def accepts(self, *, email_key: str, address: str) -> bool:
        """Count a request like ``count``, but return False and count nothing if a bucket is full.

        For a request that is a part of another one, which is accepted all the same.
        """
        filled: list[tuple[bytes, Rate]] = []
        for key, rate in self._counted(email_key, address):
            if await self._buckets.fill(key, rate) is None:
                await self._take_back(filled)
                return False
            filled.append((key, rate))
        return True

    async def withdraw(self, *, email_key: str, address: str) -> None:
        """Stop counting a request: it did not do what is limited."""
        await self._take_back(self._counted(email_key, address))

    def _counted(self, email_key: str, address: str) -> Sequence[tuple[bytes, Rate]]:
        """Return the buckets of a request.

        The order is the same for all requests, so that two of them can't deadlock.
        """
        limits = self._limits
        if limits is None:
            return ()
        return (
            (bucket_key(self._kind, "from", address), limits.of_address),
            (bucket_key(self._kind, "from and to", address, email_key), limits.of_both),
            (bucket_key(self._kind, "to", email_key), limits.of_email),
        )

    async def _take_back(self, filled: Sequence[tuple[bytes, Rate]]) -> None:
        for key, rate in filled:
            await self._buckets.take_back(key, rate)

    def _refusal(self, seconds: int) -> TooManyRequests:
        message = (
            f"Too many {self._kind}s for this e-mail address, or from your network. Wait "
            f"{seconds} s, then try again."
        )
        return TooManyRequests(message, retry_after=seconds)


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

    @asynccontextmanager
    async def counted(self, *, email_key: str, address: str) -> AsyncIterator[None]:
        """Count a request, as ``RequestThrottle.count`` does, and run the block that hashes.

        If the block raises PasswordsBusy, the request is not counted. Otherwise a client that
        retries as `Retry-After` says would soon be throttled.

        Raises:
            PasswordsBusy: too many passwords are being hashed.
            TooManyRequests: a bucket is full. The error holds the seconds to wait.
        """
        self._passwords.check_room()
        async with self._transaction() as throttle:
            await throttle.count(email_key=email_key, address=address)

        async def withdraw() -> None:
            async with self._transaction() as throttle:
                await throttle.withdraw(email_key=email_key, address=address)

        async with withdrawn_if_busy(withdraw):
            yield


@asynccontextmanager
async def withdrawn_if_busy(
    withdraw: Callable[[], Awaitable[None]],
) -> AsyncIterator[None]:
    """Call `withdraw` if the block raises PasswordsBusy: nothing was verified or hashed.

    If it still counted, a client that retries as `Retry-After` says would soon be throttled.
    """
    try:
        yield
    except PasswordsBusy:
        await withdraw()
        raise


class LogInThrottle:
    """Limits the guessing of passwords, within one transaction (ADR 25).

    An attempt counts as failed before its password is verified; a success removes it again. So of
    many parallel attempts, no more than the limit reach the hash. E-mail addresses without an
    account are throttled in the same way, so that a rejection does not reveal which accounts exist.

    Args:
        buckets: the transaction's repository.
        limits: the limits; None for no throttling.
    """

    def __init__(self, *, buckets: BucketRepository, limits: LogInLimits | None) -> None:
        self._buckets = buckets
        self._limits = limits

    async def begin(self, *, email_key: str, address: str) -> LogInAttempt:
        """Count a log-in to an account from the client's `address`, and return the attempt.

        A log-in from a known address does not use the account's bucket. So strangers who fill that
        bucket do not lock the account's owner out.

        Raises:
            TooManyFailedLogIns: a bucket is full. The error holds the seconds to wait.
        """
        attempt = LogInAttempt.of(email_key=email_key, address=address)
        limits = self._limits
        if limits is None:
            return attempt
        # Always lock the address's bucket first, so that two attempts can't deadlock.
        if await fill_or_refuse(self._buckets, attempt.address, limits.of_address, _log_in_refusal):
            return replace(attempt, known=True)
        await fill_or_refuse(self._buckets, attempt.account, limits.of_account, _log_in_refusal)
        return attempt

    async def succeed(self, attempt: LogInAttempt) -> None:
        """Remove an attempt from the buckets, and mark the address as known: it succeeded."""
        if self._limits is None:
            return
        await self._buckets.make_known(attempt.address, lasting=self._limits.known_for)
        if not attempt.known:
            await self._buckets.take_back(attempt.account, self._limits.of_account)

    async def trust(self, *, email_key: str, address: str) -> None:
        """Mark a client's address as known: its user proved to own the account without a log-in."""
        if self._limits is not None:
            attempt = LogInAttempt.of(email_key=email_key, address=address)
            await self._buckets.make_known(attempt.address, lasting=self._limits.known_for)

    async def withdraw(self, attempt: LogInAttempt) -> None:
        """Remove an attempt from the buckets: it was no guess of a password."""
        if self._limits is None:
            return
        await self._buckets.take_back(attempt.address, self._limits.of_address)
        if not attempt.known:
            await self._buckets.take_back(attempt.account, self._limits.of_account)


def _log_in_refusal(seconds: int) -> TooManyRequests:
    message = (
        f"Too many log-ins to this e-mail address failed. Wait {seconds} s, then log in again."
    )
    return TooManyFailedLogIns(message, retry_after=seconds)


class CodeThrottle:
    """Limits the guessing of codes of authenticator apps, within one transaction (ADR 39).

    Args:
        buckets: the transaction's repository.
        limits: the limits; None for no throttling.
    """

    def __init__(self, *, buckets: BucketRepository, limits: LogInLimits | None) -> None:
        self._buckets = buckets
        self._limits = limits

    async def count(self, account_id: UUID, *, refusal: Callable[[int], TooManyRequests]) -> None:
        """Count a code as wrong, or raise what `refusal` returns for the seconds to wait."""
        if self._limits is not None:
            key = bucket_key("totp", str(account_id))
            await fill_or_refuse(self._buckets, key, self._limits.of_codes, refusal)

    async def withdraw(self, account_id: UUID) -> None:
        """Stop counting a code: it was accepted, or could not be verified."""
        if self._limits is not None:
            key = bucket_key("totp", str(account_id))
            await self._buckets.take_back(key, self._limits.of_codes)


class RefusalRecords:
    """Says which refused attempts go on record, within one transaction (ADR 44).

    Anyone can cause a refusal. So for each account and action, one a minute goes on record: an
    attacker can add 1,440 entries a day to the audit log for each account, and no more.

    Args:
        buckets: the transaction's repository.
    """

    def __init__(self, *, buckets: BucketRepository) -> None:
        self._buckets = buckets

    async def take(self, action: str, account: str) -> bool:
        """Return whether a refusal goes on record now, and count it if so.

        Args:
            action: the action in the audit log.
            account: the account's id, or the key of an e-mail address that may have none.
        """
        key = bucket_key("record", action, account)
        return await self._buckets.fill(key, _ONE_A_MINUTE) is not None

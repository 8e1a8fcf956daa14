"""The use case of passwords: replace one's own, which needs the current one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.auth.passwords import Passwords, PasswordsBusy
from chassis.errors import Unauthenticated
from users.accounts.models import Account, password_spellings
from users.accounts.repository import AccountRepository
from users.accounts.service import check_new_password, existing_account
from users.log_ins.models import LogInAttempt
from users.log_ins.service import LogInThrottle
from users.passwords.errors import WrongPassword
from users.security_events.service import PasswordMethod, SecurityEvents
from users.sessions.service import SessionRevoker


class PasswordService:
    """The steps of a change of a password, each within one transaction.

    Args:
        accounts: the transaction's accounts.
        revoker: ends sessions in the transaction.
        throttle: counts guesses of passwords in the transaction.
        events: publishes the change in the transaction.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        revoker: SessionRevoker,
        throttle: LogInThrottle,
        events: SecurityEvents,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._revoker = revoker
        self._throttle = throttle
        self._events = events
        self._audit = audit

    async def account(self, user_id: UUID) -> Account:
        """Return an account, or raise AccountNotFound."""
        return existing_account(await self._accounts.find(user_id), user_id)

    async def begin(self, *, email: str, address: str) -> LogInAttempt:
        """Count a guess of the current password as failed until it succeeds, and return it.

        Guesses fill the same buckets as log-ins. Otherwise a stolen access token would allow more
        guesses than the log-in does.

        Raises:
            TooManyFailedLogIns: too many log-ins or guesses failed.
        """
        return await self._throttle.begin(email=email, address=address)

    async def withdraw(self, attempt: LogInAttempt) -> None:
        """Stop counting a guess."""
        await self._throttle.withdraw(attempt)

    async def replace(
        self, user_id: UUID, *, attempt: LogInAttempt, verified_hash: str, new_hash: str, by: Actor
    ) -> bool:
        """Store the hash of a new password, end all sessions but that of `by`, and publish it.

        Returns False, and changes nothing, if the account's hash is no longer `verified_hash`.

        Raises:
            AccountNotFound: the account was deleted.
            Unauthenticated: the account was deactivated.
        """
        found = await self._accounts.find(user_id, lock=True)
        account = existing_account(found, user_id)
        if not account.is_active:
            message = "The account was deactivated. Ask support to reactivate it."
            raise Unauthenticated(message)
        if account.password_hash != verified_hash:
            return False
        await self._events.change_password(account, new_hash, method=PasswordMethod.CHANGE)
        await self._revoker.revoke_all(user_id, but=by.session_id)
        await self._throttle.succeed(attempt)
        self._audit.append("user.password_changed", actor=by, subject=f"user:{user_id}")
        return True


class PasswordChange:
    """The change of one's own password. Argon2 runs between transactions, as in the log-in.

    The hash may be replaced while Argon2 runs. The current password is then verified again, against
    the new hash. So of two changes at once, the second is rejected: its current password is the
    former one.

    Args:
        transaction: opens a transaction and returns its use cases.
        passwords: verifies and hashes passwords off the event loop.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[PasswordService]],
        passwords: Passwords,
    ) -> None:
        self._transaction = transaction
        self._passwords = passwords

    async def run(self, user_id: UUID, *, current: str, new: str, address: str, by: Actor) -> None:
        """Replace the password of `user_id`, and end all sessions but that of `by`.

        Args:
            user_id: whose password it is.
            current: the current password, as typed.
            new: the new password, in its prepared form.
            address: the client's address, by which guesses are counted.
            by: who acts.

        Raises:
            AccountNotFound: there is no such account.
            Invalid: see ``check_new_password``.
            PasswordsBusy: too many passwords are being verified.
            TooManyFailedLogIns: too many guesses failed. The password is not looked at.
            Unauthenticated: the account was deactivated.
            WrongPassword: `current` is not the account's password.
        """
        self._passwords.check_room()  # before the first query, and before the guess is counted
        async with self._transaction() as passwords:
            account = await passwords.account(user_id)
        await check_new_password(
            new, email=account.email, full_name=account.full_name, pointer="#/new_password"
        )
        async with self._transaction() as passwords:
            attempt = await passwords.begin(email=account.email, address=address)
        replaced = False
        while not replaced:  # repeats only if the hash was replaced during the try
            verified = await self._verified_hash(user_id, attempt, current)
            async with self._withdrawn_if_busy(attempt):
                new_hash = await self._passwords.hash(new)
            async with self._transaction() as passwords:
                replaced = await passwords.replace(
                    user_id, attempt=attempt, verified_hash=verified, new_hash=new_hash, by=by
                )

    async def _verified_hash(self, user_id: UUID, attempt: LogInAttempt, current: str) -> str:
        """Return the account's hash, which is that of `current`; or raise WrongPassword."""
        async with self._transaction() as passwords:
            stored = (await passwords.account(user_id)).password_hash
        first, *others = password_spellings(current)
        async with self._withdrawn_if_busy(attempt):
            good = await self._passwords.verify(first, stored)
        for spelling in others:
            good = good or await self._passwords.verify(spelling, stored)
        if not good:
            message = "The current password is wrong. Send the password that you log in with."
            raise WrongPassword(message)
        return stored

    @asynccontextmanager
    async def _withdrawn_if_busy(self, attempt: LogInAttempt) -> AsyncIterator[None]:
        """Stop counting the guess if the block raises PasswordsBusy.

        If it counted, a client that retries as `Retry-After` says would soon be throttled.
        """
        try:
            yield
        except PasswordsBusy:
            async with self._transaction() as passwords:
                await passwords.withdraw(attempt)
            raise

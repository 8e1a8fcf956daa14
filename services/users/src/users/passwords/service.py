"""Use cases of passwords: verify one that was typed, and replace one's own."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.auth.passwords import Passwords
from chassis.errors import Unauthenticated
from users.accounts.models import Account, Occasion, email_key, password_spellings
from users.accounts.repository import AccountRepository
from users.accounts.service import check_new_password, existing_account
from users.credentials.service import CredentialEnder
from users.passwords.errors import WrongPassword
from users.security_events.service import PasswordMethod, SecurityEvents
from users.throttling.models import LogInAttempt
from users.throttling.service import LogInThrottle, RefusalRecords, withdrawn_if_busy


async def matching_spelling(
    passwords: Passwords,
    typed: str,
    stored: str | None,
    *,
    withdraw: Callable[[], Awaitable[None]],
) -> str | None:
    """Return the spelling of a password that `stored` is the hash of, or None.

    Args:
        passwords: verifies passwords.
        typed: the password as it was typed.
        stored: the hash; None if there is no account, which costs as many verifications.
        withdraw: stops counting the guess. It is called if no spelling was verified.

    Raises:
        PasswordsBusy: too many passwords are being verified.
    """
    first, *others = password_spellings(typed)
    async with withdrawn_if_busy(withdraw):
        good = await passwords.verify(first, stored)
    if good:
        return first
    for spelling in others:
        if await passwords.verify(spelling, stored):
            return spelling
    return None


class PasswordService:
    """The steps of a change of a password, each within one transaction.

    Args:
        accounts: the transaction's accounts.
        ender: ends credentials in the transaction.
        throttle: counts guesses of passwords in the transaction.
        events: publishes the change in the transaction.
        refusals: says which wrong guesses go on record.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        ender: CredentialEnder,
        throttle: LogInThrottle,
        events: SecurityEvents,
        refusals: RefusalRecords,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._ender = ender
        self._throttle = throttle
        self._events = events
        self._refusals = refusals
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
        return await self._throttle.begin(email_key=email_key(email), address=address)

    async def withdraw(self, attempt: LogInAttempt) -> None:
        """Stop counting a guess."""
        await self._throttle.withdraw(attempt)

    async def record_refusal(self, user_id: UUID, *, by: Actor) -> None:
        """Record that the current password was wrong: for each account, once a minute."""
        action = "user.password_refused"
        if await self._refusals.take(action, str(user_id)):
            self._audit.append(action, actor=by, subject=f"user:{user_id}")

    async def replace(
        self, user_id: UUID, *, attempt: LogInAttempt, verified_hash: str, new_hash: str, by: Actor
    ) -> bool:
        """Store the hash of a new password, end all sessions but that of `by`, and publish it.

        Returns False, and changes nothing, if the account's hash is no longer `verified_hash`.

        Raises:
            AccountNotFound: the account was deleted.
            Unauthenticated: the account was deactivated, or the session of `by` has ended.
        """
        found = await self._accounts.find(user_id, lock=True)
        account = existing_account(found, user_id)
        if not account.is_active:
            message = "The account was deactivated. Ask support to reactivate it."
            raise Unauthenticated(message)
        if account.password_hash != verified_hash:
            return False
        await self._accounts.refuse_ended_session(by)
        await self._events.change_password(account, new_hash, method=PasswordMethod.CHANGE)
        await self._ender.end(user_id, Occasion.PASSWORD_CHANGED, but=by.session_id)
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
            Unauthenticated: the account was deactivated, or the session of `by` has ended.
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
            verified = await self._verified_hash(user_id, attempt, current, by)
            async with withdrawn_if_busy(lambda: self._withdraw(attempt)):
                new_hash = await self._passwords.hash(new)
            async with self._transaction() as passwords:
                replaced = await passwords.replace(
                    user_id, attempt=attempt, verified_hash=verified, new_hash=new_hash, by=by
                )

    async def _verified_hash(
        self, user_id: UUID, attempt: LogInAttempt, current: str, by: Actor
    ) -> str:
        """Return the account's hash, which is that of `current`; or raise WrongPassword."""
        async with self._transaction() as passwords:
            stored = (await passwords.account(user_id)).password_hash
        matched = await matching_spelling(
            self._passwords, current, stored, withdraw=lambda: self._withdraw(attempt)
        )
        if matched is None:
            async with self._transaction() as passwords:
                await passwords.record_refusal(user_id, by=by)
            message = "The current password is wrong. Send the password that you log in with."
            raise WrongPassword(message)
        return stored

    async def _withdraw(self, attempt: LogInAttempt) -> None:
        async with self._transaction() as passwords:
            await passwords.withdraw(attempt)

"""The log-in with a password and a second factor."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import structlog

from chassis.actor import Actor, ActorKind
from chassis.audit import AuditLog
from chassis.auth.passwords import Passwords, PasswordsBusy
from chassis.errors import TooManyRequests, Unauthenticated
from users.accounts.models import Account, email_key, password_spellings
from users.accounts.repository import AccountRepository
from users.log_ins.errors import (
    InvalidCredentials,
    InvalidTotp,
    TooManyWrongCodes,
    TotpRequired,
)
from users.passwords.service import matching_spelling
from users.sessions.models import UNKNOWN_CLIENT, Client
from users.sessions.service import IssuedTokens, SessionService
from users.throttling.models import LogInAttempt
from users.throttling.service import CodeThrottle, LogInThrottle, RefusalRecords
from users.totp.errors import TotpUnavailable
from users.totp.models import is_code, normalised
from users.totp.service import Accepted, TotpVerifier

log = structlog.get_logger(__name__)


class SecondFactor:
    """Asks for a code where TOTP is on, and limits the guessing of codes (ADR 39).

    It works within one transaction. Six digits can be guessed, so wrong codes are limited for the
    account, whatever the client's address. Only someone with the password gets here, so a stranger
    can't lock the owner out. The owner has recovery codes, which are too long to be guessed and
    are not limited.

    Args:
        totp: verifies codes in the transaction.
        throttle: counts codes in the transaction.
        refusals: says which refused codes go on record.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        totp: TotpVerifier,
        throttle: CodeThrottle,
        refusals: RefusalRecords,
        audit: AuditLog,
    ) -> None:
        self._totp = totp
        self._throttle = throttle
        self._refusals = refusals
        self._audit = audit

    async def begin(self, account_id: UUID, given: str) -> None:
        """Count a code as wrong until it is accepted.

        Raises:
            TooManyWrongCodes: too many were wrong. The error holds the seconds to wait.
        """
        if is_code(normalised(given)) and await self._totp.is_on(account_id):
            await self._throttle.count(account_id, refusal=_code_refusal)

    async def verify(
        self, account_id: UUID, given: str | None, *, address: str | None
    ) -> tuple[str, ...]:
        """Use up `given` if TOTP is on, and return how the user was authenticated (RFC 8176).

        Raises:
            TotpRequired: TOTP is on, and nothing was given.
            InvalidTotp: what was given is wrong, or was used before.
            TotpUnavailable: the settings do not hold the secret's key.
        """
        if not await self._totp.is_on(account_id):
            return ("pwd",)
        if given is None:
            message = (
                "TOTP is on for this account. Repeat the request with the member totp: a code of "
                "the authenticator app, or a recovery code."
            )
            raise TotpRequired(message)
        accepted = await self._totp.accept(account_id, given)
        if accepted is None:
            message = (
                "The code is wrong, or was used before. Wait for the app's next code, or send a "
                "recovery code."
            )
            raise InvalidTotp(message)
        if accepted is Accepted.RECOVERY_CODE:
            self._record("totp.recovery_code_used", account_id, address=address)
        else:
            await self._throttle.withdraw(account_id)
        return ("pwd", "otp", "mfa")

    async def withdraw(self, account_id: UUID, given: str | None) -> None:
        """Stop counting what ``begin`` has counted: it was not verified, so it was no guess."""
        if given is not None and is_code(normalised(given)) and await self._totp.is_on(account_id):
            await self._throttle.withdraw(account_id)

    async def refuse(self, account_id: UUID, *, address: str | None) -> None:
        """Record that the password was right and the second factor wrong: once a minute."""
        action = "totp.code_refused"
        if await self._refusals.take(action, str(account_id)):
            self._record(action, account_id, address=address)

    def _record(self, action: str, account_id: UUID, *, address: str | None) -> None:
        actor = Actor(
            kind=ActorKind.USER,
            user_id=account_id,
            methods=frozenset({"pwd"}),
            address=address,
        )
        self._audit.append(action, actor=actor, subject=f"user:{account_id}")


def _code_refusal(seconds: int) -> TooManyRequests:
    message = (
        f"Too many codes for this account were wrong. Wait {seconds} s, or log in with a recovery "
        "code."
    )
    return TooManyWrongCodes(message, retry_after=seconds)


class LogInService:
    """The steps of a log-in, each within one transaction.

    Args:
        accounts: the transaction's accounts.
        sessions: the transaction's use cases of log-in sessions.
        throttle: counts log-ins in the transaction.
        second_factor: verifies codes in the transaction.
        refusals: says which failed log-ins go on record.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        sessions: SessionService,
        throttle: LogInThrottle,
        second_factor: SecondFactor,
        refusals: RefusalRecords,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._throttle = throttle
        self.second_factor = second_factor
        self._refusals = refusals
        self._audit = audit

    async def begin(self, *, email: str, address: str) -> LogInAttempt:
        """Count a log-in as failed until it succeeds, and return the attempt.

        Raises:
            TooManyFailedLogIns: too many log-ins failed. The error holds the seconds to wait.
        """
        return await self._throttle.begin(email_key=email_key(email), address=address)

    async def withdraw(self, attempt: LogInAttempt) -> None:
        """Stop counting a log-in that was no guess of a password."""
        await self._throttle.withdraw(attempt)

    async def account_of(self, email: str) -> Account | None:
        """Return the account of an e-mail address, or None."""
        return await self._accounts.find_by_email(email)

    async def record_failure(self, email: str, *, client: Client) -> None:
        """Record that a log-in to an account failed: for each account, once a minute.

        A log-in to an address without an account is not recorded: anyone could fill the log with
        addresses that they make up, and the log can't be erased. The statements are the same, so
        that the time does not reveal whether there is an account.
        """
        action = "user.log_in_failed"
        account = await self._accounts.find_by_email(email)
        if await self._refusals.take(action, email_key(email)):
            self._audit.append_if(
                account is not None,
                action,
                actor=client.unidentified_actor(),
                subject="user:none" if account is None else f"user:{account.id}",
            )

    async def succeed(
        self,
        account_id: UUID,
        *,
        attempt: LogInAttempt,
        verified_hash: str,
        new_hash: str | None,
        totp: str | None,
        client: Client,
    ) -> IssuedTokens | None:
        """Open a session of an account whose password was verified against `verified_hash`.

        Returns None if the account has another hash by now. `new_hash`, if there is one, replaces
        the account's hash.

        Raises:
            InvalidCredentials: the account was deleted or is not active.
            TotpRequired: TOTP is on, and `totp` is None.
            InvalidTotp: TOTP is on, and `totp` is wrong or was used before.
            TotpUnavailable: TOTP is on, and `totp` can't be verified.
        """
        account = await self._accounts.find(account_id, lock=True)
        if account is None or not account.is_active:
            raise InvalidCredentials
        if account.password_hash != verified_hash:
            # The next try counts the code again.
            await self.second_factor.withdraw(account_id, totp)
            return None
        if new_hash is not None:
            await self._accounts.replace_hash(account, new_hash)
        methods = await self.second_factor.verify(account_id, totp, address=client.address)
        tokens = await self._sessions.open(account, methods=methods, client=client)
        await self._throttle.succeed(attempt)
        return tokens


class LogIn:
    """The log-in. Argon2 runs between transactions, so that no connection is held during a hash.

    A separate transaction counts the attempt, so that it stays counted if a later step fails.

    The account may change while Argon2 runs. If it was deleted or deactivated, the log-in is
    rejected. If its hash was replaced (by a new password, or by a parallel log-in that renewed the
    parameters), the password is verified again, against the new hash. The tokens get the roles that
    the account has at the end.

    Args:
        transaction: opens a transaction and returns its use cases.
        passwords: verifies passwords off the event loop.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[LogInService]],
        passwords: Passwords,
    ) -> None:
        self._transaction = transaction
        self._passwords = passwords

    async def run(
        self,
        *,
        email: str,
        password: str,
        address: str,
        totp: str | None = None,
        client: Client = UNKNOWN_CLIENT,
    ) -> IssuedTokens:
        """Open a session, and return its tokens.

        Args:
            email: the account's e-mail address.
            password: the password as it was typed.
            address: what the client's log-ins are counted by.
            totp: a code of the authenticator app, or a recovery code.
            client: the client that logs in.

        Raises:
            InvalidCredentials: the account or the password is wrong. A missing account takes the
                same time as a wrong password.
            TotpRequired: the password is right, and TOTP is on for the account. `totp` is None.
            InvalidTotp: the password is right, and `totp` is wrong or was used before.
            TooManyWrongCodes: too many codes were wrong. `totp` is not looked at.
            TooManyFailedLogIns: too many log-ins failed. The password is not looked at.
            TotpUnavailable: the password is right, and `totp` can't be verified. It is not counted.
            PasswordsBusy: too many passwords are being verified. The attempt is not counted, unless
                one spelling of its password was already verified.
        """
        try:
            return await self._run(email, password, address, totp, client)
        except (Unauthenticated, TooManyRequests) as error:
            # Neither the address nor the account: who is guessing must not be led to by a log.
            log.info("log-in refused", reason=error.name)
            raise

    async def _run(
        self, email: str, password: str, address: str, totp: str | None, client: Client
    ) -> IssuedTokens:
        self._passwords.check_room()  # before the first query, and before the attempt is counted
        async with self._transaction() as log_ins:
            attempt = await log_ins.begin(email=email, address=address)
        tokens: IssuedTokens | None = None
        try:
            while tokens is None:  # repeats only if the hash was replaced during the try
                tokens = await self._try(attempt, email, password, totp, client)
        except InvalidCredentials:
            async with self._transaction() as log_ins:
                await log_ins.record_failure(email, client=client)
            raise
        return tokens

    async def _try(
        self, attempt: LogInAttempt, email: str, password: str, totp: str | None, client: Client
    ) -> IssuedTokens | None:
        async with self._transaction() as log_ins:
            account = await log_ins.account_of(email)
        stored = None if account is None else account.password_hash
        # An unknown account costs as many verifications as a wrong password.
        matched = await matching_spelling(
            self._passwords, password, stored, withdraw=lambda: self._withdraw(attempt)
        )
        if account is None or stored is None or matched is None:
            raise InvalidCredentials
        new_hash = await self._renewed(password, matched, stored)
        if totp is not None:  # counted before it is verified, as the attempt is
            async with self._transaction() as log_ins:
                await log_ins.second_factor.begin(account.id, totp)
        try:
            async with self._transaction() as log_ins:
                return await log_ins.succeed(
                    account.id,
                    attempt=attempt,
                    verified_hash=stored,
                    new_hash=new_hash,
                    totp=totp,
                    client=client,
                )
        # Both rolled their transaction back.
        except InvalidTotp:
            async with self._transaction() as log_ins:
                await log_ins.second_factor.refuse(account.id, address=client.address)
            raise
        except TotpUnavailable:
            # Otherwise the owner, who may repeat it, would soon get 429 for a recovery code, too.
            async with self._transaction() as log_ins:
                await log_ins.second_factor.withdraw(account.id, totp)
                await log_ins.withdraw(attempt)
            raise

    async def _withdraw(self, attempt: LogInAttempt) -> None:
        async with self._transaction() as log_ins:
            await log_ins.withdraw(attempt)

    async def _renewed(self, password: str, matched: str, stored: str) -> str | None:
        """Return a new hash if the stored one is of another spelling or older parameters."""
        present = password_spellings(password)[0]
        if matched == present and not self._passwords.needs_rehash(stored):
            return None
        try:
            return await self._passwords.hash(present)
        except PasswordsBusy:
            return None  # the old hash is still valid; the next log-in renews it

"""Use cases of password resets: ask for one, mail it, complete it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from chassis.actor import Actor, ActorKind, Origin
from chassis.audit import AuditLog
from chassis.auth.passwords import Passwords
from chassis.jobs import Jobs
from chassis.messaging import Outbox
from contracts.users import PasswordResetRequested
from users.accounts.models import Account, Occasion, email_key
from users.accounts.repository import AccountRepository
from users.accounts.service import check_new_password, record_verified_email
from users.credentials.service import CredentialEnder
from users.one_time_tokens.models import MAIL_LOCALE, Purpose
from users.one_time_tokens.service import OneTimeTokens
from users.password_resets.models import MailPasswordReset
from users.security_events.service import FactorChange, PasswordMethod, SecurityEvents
from users.throttling.service import LogInThrottle, RequestThrottle


class PasswordResetRequests:
    """Requests for a reset, which anyone may send, within one transaction.

    A job looks for the account. So a request does the same work and has the same response whether
    the address has an account or not.

    Args:
        throttle: counts the requests.
        jobs: the transaction's jobs.
    """

    def __init__(self, *, throttle: RequestThrottle, jobs: Jobs) -> None:
        self._throttle = throttle
        self._jobs = jobs

    async def request(self, email: str, *, origin: Origin, address: str) -> None:
        """Have a reset mailed to `email`.

        Args:
            email: the address.
            origin: where the request came from, for the audit log.
            address: the client's address, by which the requests are counted.

        Raises:
            TooManyRequests: too many mails were requested. The error holds the seconds to wait.
        """
        await self._throttle.count(email_key=email_key(email), address=address)
        await self._jobs.enqueue(
            MailPasswordReset(email=email, address=origin.address, request_id=origin.request_id)
        )


class PasswordResetMails:
    """The mails of resets, within one transaction.

    Args:
        accounts: the transaction's accounts.
        tokens: the transaction's one-time tokens.
        outbox: the transaction's outbox.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        tokens: OneTimeTokens,
        outbox: Outbox,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._outbox = outbox
        self._audit = audit

    async def mail(self, wanted: MailPasswordReset) -> None:
        """Mail a reset, if the address has an active account.

        The address need not be verified. Otherwise an account would be lost with its password, and
        the owner of an address that a stranger registered could not take the account over.
        """
        account = await self._accounts.find_by_email(wanted.email)
        if account is None or not account.is_active:
            return
        issued = await self._tokens.issue(account, Purpose.RESET_PASSWORD)
        self._outbox.add(
            PasswordResetRequested(
                user_id=account.id,
                email=account.email,
                locale=MAIL_LOCALE,
                token=issued.token,
                expires_at=issued.expires_at,
            )
        )
        asking = Actor(kind=ActorKind.SYSTEM, address=wanted.address, request_id=wanted.request_id)
        self._audit.append(
            "user.password_reset_requested", actor=asking, subject=f"user:{account.id}"
        )


class PasswordResetService:
    """The steps of a reset, each within one transaction.

    Args:
        accounts: the transaction's accounts.
        tokens: the transaction's one-time tokens.
        outbox: the transaction's outbox.
        ender: ends credentials in the transaction.
        events: publishes the changes in the transaction.
        log_ins: throttles log-ins.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        tokens: OneTimeTokens,
        outbox: Outbox,
        ender: CredentialEnder,
        events: SecurityEvents,
        log_ins: LogInThrottle,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._outbox = outbox
        self._ender = ender
        self._events = events
        self._log_ins = log_ins
        self._audit = audit

    async def account_of(self, token: str) -> Account:
        """Return the account of a token, or raise InvalidOneTimeToken. The token stays unused."""
        return await self._tokens.account_of(token, Purpose.RESET_PASSWORD)

    async def complete(self, token: str, *, new_hash: str, origin: Origin, address: str) -> None:
        """Redeem a token: the account gets the new hash, and its sessions and API keys end.

        An address that was never verified may have been registered by a stranger. So nothing that
        was set up before the reset is kept: passkeys and TOTP are removed, too. Second factors of a
        verified account stay.

        The token came by mail, so the address is verified now. The client's `address` becomes
        known: strangers whose log-ins fail can't keep the owner from logging in after the reset.

        Raises:
            InvalidOneTimeToken: the token is not valid.
        """
        account = (await self._tokens.redeem(token, Purpose.RESET_PASSWORD)).account
        await self._events.change_password(account, new_hash, method=PasswordMethod.RESET)
        by = origin.acting_for(account.id)
        occasion = Occasion.PASSWORD_RESET
        if not account.email_verified:
            occasion = Occasion.UNVERIFIED_PASSWORD_RESET
            changed = await self._accounts.change(account, email_verified=True)
            record_verified_email(changed, by=by, outbox=self._outbox, audit=self._audit)
        for factor in await self._ender.end(account.id, occasion):
            await self._events.second_factor_changed(account, factor, FactorChange.REMOVED)
        await self._log_ins.trust(email_key=email_key(account.email), address=address)
        self._audit.append("user.password_reset", actor=by, subject=f"user:{account.id}")


class PasswordReset:
    """The reset of a password. Argon2 runs between transactions, so that it holds no connection.

    Args:
        transaction: opens a transaction and returns its use cases.
        passwords: hashes passwords off the event loop.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[PasswordResetService]],
        passwords: Passwords,
    ) -> None:
        self._transaction = transaction
        self._passwords = passwords

    async def run(self, token: str, *, new_password: str, origin: Origin, address: str) -> None:
        """Replace the password of the token's account. Nobody is logged in.

        What else ends is said in ``PasswordResetService.complete``. If there is a second factor
        afterwards, the next log-in asks for it.

        Args:
            token: the token of the mail.
            new_password: the new password, in its prepared form.
            origin: where the request came from, for the audit log.
            address: the client's address, by which log-ins are counted.

        Raises:
            InvalidOneTimeToken: the token is not valid. No password is hashed, unless the token was
                used during the hash.
            Invalid: see ``check_new_password``. The token stays valid.
            PasswordsBusy: too many passwords are being hashed. The token stays valid.
        """
        self._passwords.check_room()
        async with self._transaction() as resets:
            account = await resets.account_of(token)
        await check_new_password(
            new_password, email=account.email, full_name=account.full_name, pointer="#/new_password"
        )
        new_hash = await self._passwords.hash(new_password)
        async with self._transaction() as resets:
            await resets.complete(token, new_hash=new_hash, origin=origin, address=address)

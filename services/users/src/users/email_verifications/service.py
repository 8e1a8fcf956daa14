"""Use cases of e-mail verifications: ask for one, mail it, confirm it; change one's address."""

from datetime import UTC, datetime
from uuid import UUID

from chassis.actor import Actor, Origin
from chassis.audit import AuditLog
from chassis.auth.recency import require_recent_log_in
from chassis.jobs import Jobs
from chassis.messaging import Outbox
from chassis.versions import Expected
from contracts.users import (
    EmailChangeNoticeRequested,
    EmailVerificationRequested,
    UserEmailChanged,
)
from users.accounts.models import Account, email_key
from users.accounts.repository import AccountRepository
from users.accounts.service import record_verified_email
from users.email_verifications.models import MailVerification
from users.one_time_tokens.models import MAIL_LOCALE, MailedToken, Purpose
from users.one_time_tokens.service import OneTimeTokens
from users.throttling.service import LogInThrottle, RequestThrottle


class EmailVerificationRequests:
    """Requests for a verification, which anyone may send, within one transaction.

    A job looks for the account. So a request does the same work and has the same response whether
    the address has an account or not.

    Args:
        throttle: counts the requests.
        jobs: the transaction's jobs.
    """

    def __init__(self, *, throttle: RequestThrottle, jobs: Jobs) -> None:
        self._throttle = throttle
        self._jobs = jobs

    async def request(self, email: str, *, address: str) -> None:
        """Have a verification mailed to `email`, for a client at `address`.

        Raises:
            TooManyRequests: too many mails were requested. The error holds the seconds to wait.
        """
        await self._throttle.count(email_key=email_key(email), address=address)
        await self._jobs.enqueue(MailVerification(email=email))

    async def request_for_new(self, account: Account, address: str) -> None:
        """Have a verification mailed to an account that was registered from `address`.

        The mail is counted like those that are asked for. Otherwise strangers who register an
        address and delete the account again could send any number of mails to it. If too many were
        sent, none is sent now. The registration is accepted all the same: otherwise strangers who
        ask for mails could keep the owner of an address from registering.

        Args:
            account: the new account.
            address: the client's address.
        """
        counted = {"email_key": email_key(account.email)}
        if await self._throttle.accepts(**counted, address=address):
            await self._jobs.enqueue(MailVerification(user_id=account.id))


class EmailVerificationMails:
    """The mails of verifications, within one transaction.

    Args:
        accounts: the transaction's accounts.
        tokens: the transaction's one-time tokens.
        outbox: the transaction's outbox.
    """

    def __init__(
        self, *, accounts: AccountRepository, tokens: OneTimeTokens, outbox: Outbox
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._outbox = outbox

    async def mail(self, email: str) -> None:
        """Mail a verification, if `email` has an active account that is not verified."""
        await self._mail(await self._accounts.find_by_email(email))

    async def mail_to_account(self, account_id: UUID) -> None:
        """Mail a verification, if the account is active and its address is not verified."""
        await self._mail(await self._accounts.find(account_id))

    async def _mail(self, account: Account | None) -> None:
        if account is None or account.email_verified or not account.is_active:
            return
        issued = await self._tokens.issue(account, Purpose.VERIFY_EMAIL)
        self._outbox.add(_mail_of(account, issued, to=account.email))


class EmailConfirmations:
    """Confirmations of accounts' addresses by the token of a mail, within one transaction.

    Args:
        accounts: the transaction's accounts.
        tokens: the transaction's one-time tokens.
        log_ins: throttles log-ins.
        outbox: the transaction's outbox.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        tokens: OneTimeTokens,
        log_ins: LogInThrottle,
        outbox: Outbox,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._log_ins = log_ins
        self._outbox = outbox
        self._audit = audit

    async def confirm(self, token: str, *, origin: Origin, address: str) -> None:
        """Redeem a mailed token: the account's address is verified, or changed to a new one.

        The client's `address` becomes known, as after a log-in: failed log-ins of strangers can't
        keep the owner from logging in from there. Whoever reads the mail could also have the
        password reset, so this gives them nothing more.

        Args:
            token: the token of the mail.
            origin: where the request came from, for the audit log.
            address: the client's address, by which log-ins are counted.

        Raises:
            EmailTaken: another account got the new address since it was requested.
            InvalidOneTimeToken: the token is not valid.
        """
        redeemed = await self._tokens.redeem(token, Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL)
        by = origin.acting_for(redeemed.account.id)
        if redeemed.new_email is None:
            account = await self._verify(redeemed.account, by=by)
        else:
            account = await self._change(redeemed.account, redeemed.new_email, by=by)
        await self._log_ins.trust(email_key=email_key(account.email), address=address)

    async def _verify(self, account: Account, *, by: Actor) -> Account:
        if account.email_verified:
            return account
        changed = await self._accounts.change(account, email_verified=True)
        record_verified_email(changed, by=by, outbox=self._outbox, audit=self._audit)
        return changed

    async def _change(self, account: Account, email: str, *, by: Actor) -> Account:
        """Change the address, and have the previous one told of it.

        So the user learns of it if somebody else has changed the address.
        """
        previous = account.email  # `change_email` refreshes the account
        changed = await self._accounts.change_email(account, email)
        self._outbox.add(
            UserEmailChanged(version=changed.version, user_id=changed.id, email=changed.email)
        )
        self._outbox.add(
            EmailChangeNoticeRequested(
                user_id=changed.id,
                email=previous,
                locale=MAIL_LOCALE,
                changed_at=datetime.now(UTC),
            )
        )
        # Without the addresses: the log outlives an account, and its rows can't be erased.
        self._audit.append("user.email_changed", actor=by, subject=f"user:{account.id}")
        return changed


class EmailChanges:
    """Requests of users to change their own address, within one transaction.

    Args:
        accounts: the transaction's accounts.
        tokens: the transaction's one-time tokens.
        throttle: counts the mails.
        outbox: the transaction's outbox.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        tokens: OneTimeTokens,
        throttle: RequestThrottle,
        outbox: Outbox,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._throttle = throttle
        self._outbox = outbox
        self._audit = audit

    async def request(self, email: str, *, by: Actor, expected: Expected, address: str) -> None:
        """Mail a token to a new address. The account gets the address when the token is redeemed.

        An earlier request ends, so that a mistyped address can't be confirmed later. The account's
        present address only ends it. Whether another account has the address is checked when the
        token is redeemed: only then is it known that the user may learn it.

        Args:
            email: the new address.
            by: the user.
            expected: the version that the account must have.
            address: the client's address, by which the mails are counted.

        Raises:
            AccountNotFound: the account was deleted.
            PreconditionFailed: the account's version is not as `expected`.
            ReauthenticationNeeded: the user did not log in within RECENT.
            TooManyRequests: too many mails were requested. The error holds the seconds to wait.
        """
        user_id = require_recent_log_in(by)
        account = await self._accounts.lock_person(by)
        expected.check(account.version)
        # After the account, as buckets are the last rows that any transaction locks. A registration
        # of `email` waits for them, and a confirmation of an earlier change, which holds the
        # account, for the registration. If this held them first, the three would deadlock.
        await self._throttle.count(email_key=email_key(email), address=address)
        await self._tokens.withdraw(account, Purpose.CHANGE_EMAIL)
        if email == account.email:
            return
        issued = await self._tokens.issue(account, Purpose.CHANGE_EMAIL, new_email=email)
        self._outbox.add(_mail_of(account, issued, to=email))
        self._audit.append("user.email_change_requested", actor=by, subject=f"user:{user_id}")


def _mail_of(account: Account, issued: MailedToken, *, to: str) -> EmailVerificationRequested:
    return EmailVerificationRequested(
        user_id=account.id,
        email=to,
        locale=MAIL_LOCALE,
        token=issued.token,
        expires_at=issued.expires_at,
    )

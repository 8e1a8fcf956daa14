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
    UserEmailVerified,
)
from users.accounts.errors import AccountNotFound
from users.accounts.models import Account, email_key
from users.accounts.repository import AccountRepository
from users.email_verifications.models import MailVerification
from users.one_time_tokens.models import MAIL_LOCALE, MailedToken, Purpose
from users.one_time_tokens.service import OneTimeTokens
from users.throttling.service import RequestThrottle


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


class EmailVerifications:
    """Verifications of accounts' addresses, within one transaction.

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

    async def confirm(self, token: str, *, origin: Origin) -> None:
        """Redeem a mailed token: the account's address is verified, or changed to a new one.

        Raises:
            EmailTaken: another account got the new address since it was requested.
            InvalidOneTimeToken: the token is not valid.
        """
        redeemed = await self._tokens.redeem(token, Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL)
        if redeemed.new_email is None:
            await self._verify(redeemed.account)
        else:
            await self._change(redeemed.account, redeemed.new_email, origin=origin)

    async def _verify(self, account: Account) -> None:
        if account.email_verified:
            return
        changed = await self._accounts.change(account, email_verified=True)
        self._outbox.add(
            UserEmailVerified(version=changed.version, user_id=changed.id, email=changed.email)
        )

    async def _change(self, account: Account, email: str, *, origin: Origin) -> None:
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
        self._audit.append(
            "user.email_changed", actor=origin.acting_for(account.id), subject=f"user:{account.id}"
        )


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
        await self._throttle.count(email_key=email_key(email), address=address)
        account = await self._accounts.lock_person(by)
        if account is None:
            message = f"There is no account {user_id}. It was deleted. Register again."
            raise AccountNotFound(message)
        expected.check(account.version)
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

"""The use cases of accounts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from chassis.actor import SYSTEM, Actor
from chassis.audit import AuditLog
from chassis.auth.passwords import Passwords
from chassis.auth.recency import require_recent_log_in
from chassis.database import new_id
from chassis.database.unit import Unit
from chassis.errors import FieldError, Invalid
from chassis.exports import ExportedJob, exported_jobs
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows, TimePosition
from chassis.versions import Expected
from contracts.users import (
    UserDeactivated,
    UserDeleted,
    UserEmailVerified,
    UserProfileUpdated,
    UserReactivated,
    UserRegistered,
    UserRolesChanged,
    UserSnapshot,
)
from users.accounts.errors import AccountNotFound, EmailTaken, LastAdmin
from users.accounts.models import (
    Account,
    Occasion,
    Role,
    is_common_password,
    is_made_of_own_words,
    prepared_password,
)
from users.accounts.repository import AccountFilter, AccountRepository


class AccountService:
    """The use cases on accounts, within one transaction.

    Args:
        accounts: the transaction's repository.
        outbox: the transaction's outbox.
        passwords: hashes passwords off the event loop.
        end_credentials: ends what an account's change ends. Its row must be locked.
        mail_verification: has a verification mailed to a new account, which a client at the given
            address registered.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        outbox: Outbox,
        passwords: Passwords,
        end_credentials: Callable[[UUID, Occasion], Awaitable[object]],
        mail_verification: Callable[[Account, str], Awaitable[None]],
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._passwords = passwords
        self._end_credentials = end_credentials
        self._mail_verification = mail_verification
        self._audit = audit

    async def register_first_admin(self, *, email: str, password: str) -> Account:
        """Create the account of the first administrator, and return it.

        Its address counts as verified, because the operator vouches for it in the settings.

        Raises:
            EmailTaken: the address already has an account.
            Invalid: see ``check_new_password``.
        """
        account = await self._create(
            email=email, password=password, full_name="Administrator", roles=[Role.ADMIN]
        )
        self._audit.append(
            "user.first_admin_registered", actor=SYSTEM, subject=f"user:{account.id}"
        )
        verified = await self._accounts.change(account, email_verified=True)
        record_verified_email(verified, by=SYSTEM, outbox=self._outbox, audit=self._audit)
        return verified

    async def register(self, *, email: str, password: str, full_name: str, address: str) -> Account:
        """Create the account of a customer, and return it.

        Args:
            email: the account's e-mail address.
            password: its password.
            full_name: its name.
            address: the client's address, by which mails are counted.

        Raises:
            EmailTaken: the address already has an account.
            Invalid: see ``check_new_password``.
        """
        account = await self._create(
            email=email, password=password, full_name=full_name, roles=[Role.CUSTOMER]
        )
        await self._mail_verification(account, address)
        return account

    async def _create(
        self, *, email: str, password: str, full_name: str, roles: Iterable[Role]
    ) -> Account:
        """Create an account and return it.

        The password is hashed before the first statement, which begins the transaction. So no
        connection is held while Argon2 runs.
        """
        prepared = prepared_password(password)
        await check_new_password(prepared, email=email, full_name=full_name)
        account = Account(
            id=new_id(),
            email=email,
            password_hash=await self._passwords.hash(prepared),
            full_name=full_name,
            roles=_written(roles),
            version=1,
        )
        added = await self._accounts.add(account)
        if added is None:
            message = f"{email} has an account already. Log in, or register another address."
            raise EmailTaken(message)
        self._outbox.add(
            UserRegistered(
                version=added.version,
                user_id=added.id,
                email=added.email,
                full_name=added.full_name,
                roles=added.roles,
            )
        )
        return added

    async def get(self, account_id: UUID) -> Account:
        """Return an account, or raise AccountNotFound."""
        return existing_account(await self._accounts.find(account_id), account_id)

    async def page(
        self, wanted: PageRequest[TimePosition], *, only: AccountFilter
    ) -> PageRows[Account, TimePosition]:
        """Return a page of the accounts, newest first."""
        return await self._accounts.page(wanted, only=only)

    async def update_profile(
        self, account_id: UUID, *, full_name: str | None, expected: Expected
    ) -> Account:
        """Change the fields that are not None, and return the account.

        Raises:
            AccountNotFound: there is no such account.
            PreconditionFailed: the account's version is not as `expected`.
        """
        account = await self._locked(account_id, expected)
        if full_name is None or full_name == account.full_name:
            return account
        changed = await self._accounts.change(account, full_name=full_name)
        self._outbox.add(
            UserProfileUpdated(
                version=changed.version, user_id=changed.id, full_name=changed.full_name
            )
        )
        return changed

    async def administer(
        self,
        account_id: UUID,
        *,
        roles: Iterable[Role] | None = None,
        is_active: bool | None = None,
        expected: Expected,
        by: Actor,
    ) -> Account:
        """Change roles and activity of an account, and return it. None leaves a value as it is.

        Other roles end the account's sessions, since their access tokens hold the former roles. A
        deactivation ends them, too.

        Raises:
            AccountNotFound: there is no such account.
            LastAdmin: the change would leave no active administrator.
            PreconditionFailed: the account's version is not as `expected`.
            Unauthenticated: see ``refuse_ended_session``. An administrator who was demoted could
                otherwise take the role back, or give it to others.
        """
        wanted = None if roles is None else _written(roles)
        may_remove = is_active is False or (wanted is not None and Role.ADMIN not in wanted)
        if not may_remove:
            account = await self._locked(account_id, expected)
        else:
            account, others = await self._locked_with_admins(account_id, expected)
            _keep_an_admin(account, others)
        await self._accounts.refuse_ended_session(by)
        ends = False
        if wanted is not None and wanted != account.roles:
            ends = True
            account = await self._change_roles(account, wanted, by=by)
        if is_active is not None and is_active != account.is_active:
            account = await self._set_active(account, by=by, to=is_active)
            ends = ends or not is_active
        if ends:
            await self._end_credentials(account_id, Occasion.RIGHTS_CHANGED)
        return account

    async def _change_roles(self, account: Account, wanted: list[str], *, by: Actor) -> Account:
        before = list(account.roles)
        changed = await self._accounts.change(account, roles=wanted)
        self._outbox.add(
            UserRolesChanged(version=changed.version, user_id=changed.id, roles=changed.roles)
        )
        self._audit.append(
            "user.roles_changed",
            actor=by,
            subject=f"user:{account.id}",
            details={"before": before, "after": list(changed.roles)},
        )
        return changed

    async def _set_active(self, account: Account, *, by: Actor, to: bool) -> Account:
        changed = await self._accounts.change(account, is_active=to)
        now = datetime.now(UTC)
        self._outbox.add(
            UserReactivated(version=changed.version, user_id=changed.id, reactivated_at=now)
            if to
            else UserDeactivated(version=changed.version, user_id=changed.id, deactivated_at=now)
        )
        action = "user.reactivated" if to else "user.deactivated"
        self._audit.append(action, actor=by, subject=f"user:{account.id}")
        return changed

    async def delete(self, *, by: Actor, expected: Expected) -> None:
        """Delete the account of `by`, end its sessions, and publish it.

        The row is deleted, and with it all rows that refer to it. The entry in the audit log and
        the event stay. They name the account by its id alone.

        Raises:
            AccountNotFound: there is no such account.
            LastAdmin: the account is the only active administrator.
            PreconditionFailed: the account's version is not as `expected`.
            ReauthenticationNeeded: `by` did not log in within RECENT.
        """
        account_id = require_recent_log_in(by)
        account, others = await self._locked_with_admins(account_id, expected)
        await self._accounts.refuse_ended_session(by)
        _keep_an_admin(account, others)
        await self._end_credentials(account_id, Occasion.DELETED)
        version = account.version + 1
        await self._accounts.delete(account)
        self._outbox.add(
            UserDeleted(version=version, user_id=account_id, deleted_at=datetime.now(UTC))
        )
        self._audit.append("user.deleted", actor=by, subject=f"user:{account_id}")

    async def has_admin(self) -> bool:
        """Return whether any account has the role of an administrator."""
        return await self._accounts.has_admin()

    async def _locked_with_admins(
        self, account_id: UUID, expected: Expected
    ) -> tuple[Account, set[UUID]]:
        """Lock an account that may stop being an administrator; return it and the others.

        Active administrators are locked before it, but only if it is one of them. Otherwise each
        deletion of a customer would wait for the changes of all administrators.

        If the account becomes an administrator between the look-up and its lock, no others are
        returned, although there may be some. The change is then refused, which is safe.
        """
        found = await self._accounts.find(account_id)
        locked = set[UUID]()
        if found is not None and found.is_active_admin:
            locked = await self._accounts.lock_admins(also=account_id)
        return await self._locked(account_id, expected), locked - {account_id}

    async def _locked(self, account_id: UUID, expected: Expected) -> Account:
        account = existing_account(await self._accounts.find(account_id, lock=True), account_id)
        expected.check(account.version)
        return account


async def account_snapshots(
    accounts: AccountRepository, *, after: UUID | None, limit: int
) -> Sequence[UserSnapshot]:
    """Return snapshots of accounts, ordered by id. Their rows stay locked until the commit."""
    return [
        UserSnapshot(
            version=account.version,
            user_id=account.id,
            email=account.email,
            email_verified=account.email_verified,
            full_name=account.full_name,
            roles=account.roles,
            is_active=account.is_active,
            registered_at=account.created_at,
        )
        for account in await accounts.lock_page(after=after, limit=limit)
    ]


def record_verified_email(changed: Account, *, by: Actor, outbox: Outbox, audit: AuditLog) -> None:
    """Publish that an account's address has been verified, and record who did it."""
    outbox.add(UserEmailVerified(version=changed.version, user_id=changed.id, email=changed.email))
    audit.append("user.email_verified", actor=by, subject=f"user:{changed.id}")


async def account_export(accounts: AccountRepository, account_id: UUID) -> AsyncIterator[Account]:
    """Yield the account of a person, for the export of their data."""
    account = await accounts.find(account_id)
    if account is not None:
        yield account


async def mail_request_export(
    accounts: AccountRepository, unit: Unit, account_id: UUID
) -> AsyncIterator[ExportedJob]:
    """Yield the jobs that name a person's address: requests for mails, which name no account."""
    async for account in account_export(accounts, account_id):
        async for job in exported_jobs(unit, about=account.email):
            yield job


async def check_new_password(
    password: str, *, email: str, full_name: str, pointer: str = "#/password"
) -> None:
    """Check that a new password is not one of those that attackers try first.

    Call it before the first statement of a transaction: it reads a file.

    Args:
        password: the new password, in its prepared form.
        email: the account's address.
        full_name: the account's name.
        pointer: where the request has the password.

    Raises:
        Invalid: many people use the password, or it is made of the words of its account. The error
            does not quote it.
    """
    if is_made_of_own_words(password, email=email, full_name=full_name):
        detail = "is made only of words of the name, the e-mail address and this system's name"
    elif await asyncio.to_thread(is_common_password, password):
        detail = "is one of the passwords that are used most"
    else:
        return
    advice = "choose another, such as four words that have nothing to do with each other"
    field = FieldError(detail=f"{detail}, which attackers try first: {advice}", pointer=pointer)
    message = f"The request is not valid: {pointer}. See `errors`."
    raise Invalid(message, errors=[field])


def _keep_an_admin(account: Account, others: set[UUID]) -> None:
    """Raise LastAdmin if `account` is an active administrator and there are no others."""
    if account.is_active_admin and not others:
        message = (
            f"{account.id} is the only active administrator, or has just become one. Give another "
            "account that role first, or repeat the request."
        )
        raise LastAdmin(message)


def existing_account(account: Account | None, account_id: UUID) -> Account:
    """Return an account that was looked up, or raise AccountNotFound if there is none."""
    if account is None:
        message = (
            f"There is no account {account_id}. If it was yours, it was deleted: register again. "
            "Otherwise take the id from the list of accounts."
        )
        raise AccountNotFound(message)
    return account


def _written(roles: Iterable[Role]) -> list[str]:
    """Return roles sorted and without duplicates, as they are stored."""
    return sorted({role.value for role in roles})

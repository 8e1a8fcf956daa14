"""All SQL on accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import (
    Select,
    and_,
    bindparam,
    delete,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from chassis.actor import Actor
from chassis.auth.recency import RECENT, require_recent_log_in
from chassis.database.searching import condition_of_search
from chassis.database.unit import Unit
from chassis.errors import Unauthenticated
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition, locked_rows
from users.accounts.errors import AccountNotFound, EmailNotVerified, EmailTaken
from users.accounts.models import SEARCH_VECTOR, STAFF, Account, Role, email_key

_NEWEST_FIRST = ListOrder(TimePosition, Account.created_at, Account.id, descending=True)


# Built once: a third of what SQLAlchemy costs such a read is building the statement.
_FIND = (
    select(Account)
    .where(Account.id == bindparam("account_id"))
    .execution_options(populate_existing=True)
)
# Unlike FOR UPDATE, this does not block the insertion of sessions, which refer to the account by a
# foreign key.
_FIND_LOCKED = _FIND.with_for_update(key_share=True)
_LOCK_SESSION = "SELECT FROM sessions WHERE id = $1 FOR SHARE"
# A deleted account leaves no session, but its deletion is on record.
_ENDED = """
    SELECT 1 FROM sessions WHERE id = $1 AND revoked_at IS NOT NULL
    UNION ALL SELECT 1 FROM audit_log WHERE subject = $2 AND action = 'user.deleted'
"""
_ADMINS = and_(STAFF, Account.roles.contains([Role.ADMIN.value]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """Which accounts to list: without arguments, all.

    Attributes:
        text: only those with all its words in the name or the address; see ``search_query``.
        role: only those with this role.
        is_active: only active ones, or only inactive ones.
        created_after: only those that were registered later.
        created_before: only those that were registered earlier.
    """

    text: str | None = None
    role: Role | None = None
    is_active: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


# A new hash of the same password sets `updated_at`, and has no event.
VERSIONS = """
    SELECT id AS position, id::text AS key, id::text AS subject, version, created_at,
        created_at AS changed_at
    FROM users WHERE id > $1 ORDER BY id LIMIT $2
"""
"""Each account with its version, for ``slipway verify``."""


class _Changes(TypedDict, total=False):
    full_name: str
    roles: list[str]
    is_active: bool
    email: str
    email_key: str
    email_verified: bool
    password_hash: str


class AccountRepository:
    """The accounts of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, account: Account) -> Account | None:
        """Insert and return the account, or return None if its address is taken.

        If a parallel transaction inserts the same address, this waits for its end.
        """
        statement = (
            insert(Account)
            .values(
                id=account.id,
                email=account.email,
                email_key=email_key(account.email),
                password_hash=account.password_hash,
                full_name=account.full_name,
                roles=account.roles,
                version=account.version,
            )
            .on_conflict_do_nothing(index_elements=[Account.email_key])
            .returning(Account)
        )
        added: Account | None = await self._unit.session.scalar(statement)
        return added

    async def find(self, account_id: UUID, *, lock: bool = False) -> Account | None:
        """Return an account or None. `lock` keeps it unchanged until the transaction ends."""
        statement = _FIND_LOCKED if lock else _FIND
        return await self._unit.session.scalar(statement, {"account_id": account_id})

    async def lock_person(self, by: Actor, *, within: timedelta = RECENT) -> Account:
        """Lock and return the account of a person who acts, and lock the log-in session.

        Whoever ends the session alone locks only the session. Without its lock, what the person
        adds could be committed after that, unseen by it.

        Raises:
            AccountNotFound: the account was deleted.
            LogInRequired: see ``require_recent_log_in``.
            ReauthenticationNeeded: likewise.
            Unauthenticated: see ``refuse_ended_session``.
        """
        account = await self.find(require_recent_log_in(by, within=within), lock=True)
        if account is None:
            message = f"The account {by.user_id} was deleted. Register again."
            raise AccountNotFound(message)
        await self._unit.execute(_LOCK_SESSION, by.session_id)
        await self.refuse_ended_session(by)
        return account

    async def lock_verified_person(self, by: Actor, *, within: timedelta = RECENT) -> Account:
        """Lock and return the account of a person who adds something lasting to it (ADR 44).

        Raises:
            AccountNotFound: see ``lock_person``.
            EmailNotVerified: the account's address is not verified.
            LogInRequired: see ``lock_person``.
            ReauthenticationNeeded: likewise.
            Unauthenticated: likewise.
        """
        account = await self.lock_person(by, within=within)
        if not account.email_verified:
            message = (
                "The e-mail address of this account is not verified, so no passkey, authenticator "
                "app or API key can be added. Confirm the mail that was sent to it, or ask for "
                "another one: POST /api/v1/email-verifications."
            )
            raise EmailNotVerified(message)
        return account

    async def refuse_ended_session(self, by: Actor) -> None:
        """Raise Unauthenticated if the session of `by` has ended, or the account was deleted.

        An access token is accepted until the end of its session was announced, for up to its
        lifetime while Kafka is unavailable. It must not be turned into a credential or a role that
        lasts. If the row of the account of `by` is locked, its sessions do not end after this
        check. Otherwise they may end before the commit, as if they had ended after it.
        """
        if await self._unit.fetch(_ENDED, by.session_id, f"user:{by.user_id}"):
            message = "The log-in session of the access token has ended. Log in."
            raise Unauthenticated(message)

    async def lock_admins(self, *, also: UUID) -> set[UUID]:
        """Lock the active administrators and the account `also`, and return their ids.

        The rows are locked in the order of their ids, before any single account. So two
        transactions that each remove an administrator wait for each other and can't deadlock.
        PostgreSQL checks a row again after it waited for the lock, so an account that has just lost
        the role is not returned.
        """
        statement = (
            select(Account.id)
            .where(or_(and_(_ADMINS, Account.is_active), Account.id == also))
            .order_by(Account.id)
            .with_for_update(key_share=True)
        )
        return set(await self._unit.session.scalars(statement))

    async def find_by_email(self, email: str) -> Account | None:
        """Return the account of an address, in any spelling, or None."""
        return await self._unit.session.scalar(
            select(Account).where(Account.email_key == email_key(email))
        )

    async def page(
        self, wanted: PageRequest[TimePosition], *, only: AccountFilter
    ) -> PageRows[Account, TimePosition]:
        """Return a page of accounts, newest first."""
        statement = _filtered(only)
        if only.text:
            found = await condition_of_search(
                self._unit, only.text, vector=SEARCH_VECTOR, key=Account.id
            )
            statement = statement.where(found)
        return await _NEWEST_FIRST.page(self._unit.session, statement, wanted)

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Account]:
        """Lock a page of accounts until the commit, and return them, ordered by id."""
        statement = locked_rows(select(Account), Account.id, after=after, limit=limit)
        return (await self._unit.session.scalars(statement)).all()

    async def change(self, account: Account, **changes: Unpack[_Changes]) -> Account:
        """Write `changes` to a locked account, increment its version, and return it."""
        statement = (
            update(Account)
            .where(Account.id == account.id)
            .values(**changes, version=Account.version + 1)
            .returning(Account)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def change_email(self, account: Account, email: str) -> Account:
        """Replace the address of a locked account by a verified one, and return the account.

        If a parallel transaction takes the same address, this waits for its end.

        Raises:
            EmailTaken: another account has the address. The transaction can't be committed.
        """
        try:
            return await self.change(
                account, email=email, email_key=email_key(email), email_verified=True
            )
        except IntegrityError as error:
            message = (
                f"{email} has become the address of another account. Log in to that one, or choose "
                "another address."
            )
            raise EmailTaken(message) from error

    async def delete(self, account: Account) -> None:
        """Delete a locked account, with all rows that refer to it."""
        await self._unit.session.execute(
            delete(Account)
            .where(Account.id == account.id)
            .execution_options(synchronize_session=False)
        )

    async def replace_hash(self, account: Account, password_hash: str) -> None:
        """Store another hash of the same password of a locked account.

        The account's version stays, since nothing is published.
        """
        await self._unit.session.execute(
            update(Account)
            .where(Account.id == account.id)
            .values(password_hash=password_hash)
            .execution_options(synchronize_session=False)
        )

    async def has_admin(self) -> bool:
        """Return whether any account has the role of an administrator."""
        statement = select(Account.id).where(_ADMINS).limit(1)
        return await self._unit.session.scalar(statement) is not None


def _filtered(only: AccountFilter) -> Select[Account]:
    """Return the statement with all conditions of the filter but the text."""
    statement = select(Account)
    if only.role is not None:
        statement = statement.where(Account.roles.contains([only.role.value]))
        if only.role is not Role.CUSTOMER:
            statement = statement.where(STAFF)
    if only.is_active is not None:
        # `IS false` would not be the condition of the index.
        statement = statement.where(
            Account.is_active if only.is_active else not_(Account.is_active)
        )
    if only.created_after is not None:
        statement = statement.where(Account.created_at > only.created_after)
    if only.created_before is not None:
        statement = statement.where(Account.created_at < only.created_before)
    return statement

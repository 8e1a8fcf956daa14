"""All SQL on accounts."""

from collections.abc import Sequence
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.http.pages import Cursor
from users.accounts.models import Account, Role, email_key


class _Changes(TypedDict, total=False):
    full_name: str
    roles: list[str]


class AccountRepository:
    """The accounts of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, account: Account) -> Account | None:
        """Insert `account`; None where its address is taken, also by a transaction under way."""
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
        added: Account | None = await self._session.scalar(statement)
        return added

    async def find(self, account_id: UUID, *, lock: bool = False) -> Account | None:
        """Find an account; with `lock` it stays as it is until the transaction ends."""
        statement = select(Account).where(Account.id == account_id)
        if lock:
            # Unlike FOR UPDATE it lets sessions be opened meanwhile: they refer to the account.
            statement = statement.with_for_update(key_share=True)
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def find_by_email(self, email: str) -> Account | None:
        """Find the account of an address, in any spelling."""
        return await self._session.scalar(
            select(Account).where(Account.email_key == email_key(email))
        )

    async def page(
        self, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Account], Cursor | None]:
        """Give accounts, the newest first, and the place where the next page begins."""
        statement = select(Account).order_by(Account.created_at.desc(), Account.id.desc())
        if after is not None:
            place = tuple_(Account.created_at, Account.id)
            statement = statement.where(place < (after.at, after.id))
        rows = (await self._session.scalars(statement.limit(limit + 1))).all()
        if len(rows) <= limit:
            return (rows, None)
        last = rows[limit - 1]
        return (rows[:limit], Cursor(at=last.created_at, id=last.id))

    async def lock_page(self, *, after: UUID | None, limit: int) -> Sequence[Account]:
        """Give accounts in the order of their ids, which stay as they are until the end."""
        statement = select(Account).order_by(Account.id).limit(limit)
        if after is not None:
            statement = statement.where(Account.id > after)
        return (await self._session.scalars(statement.with_for_update(key_share=True))).all()

    async def change(self, account: Account, **changes: Unpack[_Changes]) -> Account:
        """Write `changes` to a locked account, and raise its version by one."""
        statement = (
            update(Account)
            .where(Account.id == account.id)
            .values(**changes, version=Account.version + 1)
            .returning(Account)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._session.scalars(statement)).one()

    async def replace_hash(self, account: Account, password_hash: str) -> None:
        """Store another hash of the same password: no event, so the version stays."""
        await self._session.execute(
            update(Account)
            .where(Account.id == account.id)
            .values(password_hash=password_hash)
            .execution_options(synchronize_session=False)
        )

    async def has_admin(self) -> bool:
        """Say whether any account has the role of an administrator."""
        statement = select(Account.id).where(Account.roles.contains([Role.ADMIN.value])).limit(1)
        return await self._session.scalar(statement) is not None

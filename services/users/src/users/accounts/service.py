"""What can be done with accounts."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

from chassis.auth.passwords import Passwords
from chassis.database import new_id
from chassis.http.concurrency import check_if_match
from chassis.http.pages import Cursor
from chassis.messaging import Outbox
from contracts.users import UserProfileUpdated, UserRegistered, UserRolesChanged, UserSnapshot
from users.accounts.errors import AccountNotFound, EmailTaken
from users.accounts.models import Account, Role
from users.accounts.repository import AccountRepository


class AccountService:
    """The use cases on accounts, within one transaction.

    Args:
        accounts: of the transaction.
        outbox: of the transaction.
        passwords: hashes them off the event loop.
        end_sessions: ends all sessions of an account whose row is locked.
    """

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        outbox: Outbox,
        passwords: Passwords,
        end_sessions: Callable[[UUID], Awaitable[None]],
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._passwords = passwords
        self._end_sessions = end_sessions

    async def register(
        self, *, email: str, password: str, full_name: str, roles: Iterable[Role] = (Role.CUSTOMER,)
    ) -> Account:
        """Make an account.

        The hash comes first: the transaction begins with the first statement, so no connection
        waits for Argon2.

        Raises:
            EmailTaken: the address has an account.
        """
        account = Account(
            id=new_id(),
            email=email,
            password_hash=await self._passwords.hash(password),
            full_name=full_name,
            roles=_written(roles),
            version=1,
        )
        added = await self._accounts.add(account)
        if added is None:
            message = f"{email} has an account: log in, or register another address"
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
        """Give one account; AccountNotFound where there is none."""
        return _found(await self._accounts.find(account_id), account_id)

    async def page(
        self, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Account], Cursor | None]:
        """Give one page of the accounts, the newest first, and where the next begins."""
        return await self._accounts.page(limit=limit, after=after)

    async def update_profile(
        self, account_id: UUID, *, full_name: str | None, if_match: str | None
    ) -> Account:
        """Change what is given of a person's own data.

        Raises:
            AccountNotFound: there is no such account.
            PreconditionFailed: the account is not at the version that `if_match` names.
        """
        account = await self._locked(account_id, if_match)
        if full_name is None or full_name == account.full_name:
            return account
        changed = await self._accounts.change(account, full_name=full_name)
        self._outbox.add(
            UserProfileUpdated(
                version=changed.version, user_id=changed.id, full_name=changed.full_name
            )
        )
        return changed

    async def change_roles(
        self, account_id: UUID, *, roles: Iterable[Role] | None, if_match: str | None
    ) -> Account:
        """Give an account these roles and no others.

        Its sessions end: access tokens that were issued before carry the former roles.

        Raises:
            AccountNotFound: there is no such account.
            PreconditionFailed: the account is not at the version that `if_match` names.
        """
        account = await self._locked(account_id, if_match)
        if roles is None or _written(roles) == account.roles:
            return account
        changed = await self._accounts.change(account, roles=_written(roles))
        self._outbox.add(
            UserRolesChanged(version=changed.version, user_id=changed.id, roles=changed.roles)
        )
        await self._end_sessions(account_id)
        return changed

    async def has_admin(self) -> bool:
        """Say whether there is an administrator."""
        return await self._accounts.has_admin()

    async def _locked(self, account_id: UUID, if_match: str | None) -> Account:
        account = _found(await self._accounts.find(account_id, lock=True), account_id)
        check_if_match(if_match, account.version)
        return account


async def account_snapshots(
    accounts: AccountRepository, *, after: UUID | None, limit: int
) -> Sequence[UserSnapshot]:
    """Tell what accounts are at present, in the order of their ids; they stay so until the end."""
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


def _found(account: Account | None, account_id: UUID) -> Account:
    if account is None:
        message = f"there is no user {account_id}"
        raise AccountNotFound(message)
    return account


def _written(roles: Iterable[Role]) -> list[str]:
    """Put roles into the one order in which they are stored."""
    return sorted({role.value for role in roles})

"""The first administrator: made once, from settings, where there is none."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import asyncpg
import structlog
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from chassis.database import is_infrastructure_error
from users.accounts.errors import EmailTaken
from users.accounts.models import Role
from users.accounts.service import AccountService

log = structlog.get_logger(__name__)

_OF_DATABASE = (DBAPIError, asyncpg.PostgresError)  # some statements run without SQLAlchemy
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAdmin:
    """Makes the first administrator, and ends; waits for a database that comes up later.

    Attributes:
        transaction: opens a transaction and gives the use cases on it.
        email: of the account.
        password: of the account.
    """

    transaction: Callable[[], AbstractAsyncContextManager[AccountService]]
    email: str
    password: SecretStr

    async def run(self) -> None:
        """Try until there is an administrator, or until it is certain that none can be made."""
        attempt = 0
        while True:
            try:
                await self._ensure()
            except Exception as error:
                # A schema that is not migrated yet is no fault of this process.
                if not (isinstance(error, _OF_DATABASE) or is_infrastructure_error(error)):
                    raise
                log.warning("the first admin waits for the database", error=str(error))
            else:
                return
            await asyncio.sleep(_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)])
            attempt += 1

    async def _ensure(self) -> None:
        async with self.transaction() as accounts:
            if await accounts.has_admin():
                return
        try:
            async with self.transaction() as accounts:
                account = await accounts.register(
                    email=self.email,
                    password=self.password.get_secret_value(),
                    full_name="Administrator",
                    roles=[Role.ADMIN],
                )
        except EmailTaken:
            await self._explain()
        else:
            log.info("the first admin was made", user_id=str(account.id))

    async def _explain(self) -> None:
        async with self.transaction() as accounts:
            if not await accounts.has_admin():
                log.error(
                    "there is no admin, and FIRST_ADMIN_EMAIL belongs to somebody else: "
                    "set an address that has no account, and start again"
                )

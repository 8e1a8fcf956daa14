"""Create the first administrator from the settings, if there is none."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import asyncpg
import structlog
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from chassis.auth.passwords import PasswordsBusy
from chassis.database import is_infrastructure_error
from chassis.errors import Invalid
from chassis.loops import until_success
from users.accounts.errors import EmailTaken
from users.accounts.service import AccountService

log = structlog.get_logger(__name__)

# Some statements run without SQLAlchemy, so asyncpg's errors occur too. PasswordsBusy occurs while
# many log-ins fill the queue of passwords.
_PASSING = (DBAPIError, asyncpg.PostgresError, PasswordsBusy)


def _passes(error: BaseException) -> bool:
    """Return whether to retry. A schema that is not migrated yet raises one of these errors too."""
    return isinstance(error, _PASSING) or is_infrastructure_error(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAdmin:
    """Creates the first administrator. Retries while the database is unavailable.

    Attributes:
        transaction: opens a transaction and returns its use cases.
        email: the account's address.
        password: the account's password.
    """

    transaction: Callable[[], AbstractAsyncContextManager[AccountService]]
    email: str
    password: SecretStr

    async def run(self) -> None:
        """Retry until there is an administrator, or until the address proves to be taken."""
        await until_success(self._ensure, name="first administrator", passes=_passes)

    async def _ensure(self) -> None:
        async with self.transaction() as accounts:
            if await accounts.has_admin():
                return
        try:
            async with self.transaction() as accounts:
                account = await accounts.register_first_admin(
                    email=self.email, password=self.password.get_secret_value()
                )
        except EmailTaken:
            await self._explain()
        except Invalid as error:
            _explain_refusal(error)
        else:
            log.info("first administrator created", user_id=str(account.id))

    async def _explain(self) -> None:
        async with self.transaction() as accounts:
            if not await accounts.has_admin():
                log.error(
                    "first administrator not created",
                    reason="The account of FIRST_ADMIN_EMAIL is not an administrator. Set an "
                    "address that has no account, then restart the service.",
                )


def _explain_refusal(error: Invalid) -> None:
    log.error(
        "first administrator not created",
        reason="FIRST_ADMIN_PASSWORD can be guessed. Set another one, then restart the service.",
        errors=[field.detail for field in error.errors],
    )

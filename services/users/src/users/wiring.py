"""The composition root: what the API process holds, and what each request gets of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.auth import TokenSigner
from chassis.auth.keys import PublicKeys, read_key_set
from chassis.auth.passwords import Passwords
from chassis.http import SessionDep
from chassis.process import Process
from chassis.wiring import ServiceResources, open_service
from contracts.users import SessionRevoked
from users.accounts.jobs import FirstAdmin
from users.accounts.repository import AccountRepository
from users.accounts.service import AccountService
from users.sessions.repository import SessionRepository
from users.sessions.service import LogIn, SessionService
from users.settings import UsersSettings

SERVICE = "users"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(ServiceResources):
    """What the API process holds; the worker holds the common part only."""

    passwords: Passwords
    signer: TokenSigner
    public_keys: PublicKeys
    refresh_lifetime: timedelta

    def accounts(self, session: AsyncSession) -> AccountService:
        """Put the use cases on accounts together for one transaction."""
        return AccountService(
            accounts=AccountRepository(session),
            outbox=self.outbox(session),
            passwords=self.passwords,
            end_sessions=self.sessions(session).end_all,
        )

    def sessions(self, session: AsyncSession) -> SessionService:
        """Put the use cases on sessions together for one transaction."""
        return SessionService(
            sessions=SessionRepository(session),
            accounts=AccountRepository(session),
            outbox=self.outbox(session),
            signer=self.signer,
            refresh_lifetime=self.refresh_lifetime,
        )

    @asynccontextmanager
    async def account_transaction(self) -> AsyncIterator[AccountService]:
        """Open a transaction of one's own for the use cases on accounts."""
        async with self.database.transaction() as session:
            yield self.accounts(session)

    @asynccontextmanager
    async def session_transaction(self) -> AsyncIterator[SessionService]:
        """Open a transaction of one's own for the use cases on sessions."""
        async with self.database.transaction() as session:
            yield self.sessions(session)


@asynccontextmanager
async def open_resources(settings: UsersSettings, process: Process) -> AsyncIterator[Resources]:
    """Open what the API process holds, and begin to make the first administrator."""
    signer = await asyncio.to_thread(_signer, settings)
    public_keys = await asyncio.to_thread(PublicKeys, settings.auth_jwks_file)
    common_parts = open_service(settings, process, service=SERVICE, sessions=SessionRevoked)
    async with common_parts as common:
        with Passwords() as passwords:
            resources = Resources(
                service=common.service,
                database=common.database,
                verifier=common.verifier,
                wakeups=common.wakeups,
                passwords=passwords,
                signer=signer,
                public_keys=public_keys,
                refresh_lifetime=settings.refresh_lifetime,
            )
            _start_first_admin(settings, process, resources)
            yield resources


def _signer(settings: UsersSettings) -> TokenSigner:
    kid, key = next(iter(read_key_set(settings.auth_signing_keys_file).items()))
    return TokenSigner(
        key=key,
        kid=kid,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        lifetime=settings.access_lifetime,
    )


def _start_first_admin(settings: UsersSettings, process: Process, resources: Resources) -> None:
    if settings.first_admin_email is None or settings.first_admin_password is None:
        return
    job = FirstAdmin(
        transaction=resources.account_transaction,
        email=settings.first_admin_email,
        password=settings.first_admin_password,
    )
    process.start(job.run(), name="first admin")


async def resources_of(connection: HTTPConnection) -> Resources:
    """Find what the process opened."""
    resources: Resources = connection.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(resources_of)]


async def _accounts(resources: ResourcesDep, session: SessionDep) -> AccountService:
    return resources.accounts(session)


async def _sessions(resources: ResourcesDep, session: SessionDep) -> SessionService:
    return resources.sessions(session)


async def _log_in(resources: ResourcesDep) -> LogIn:
    return LogIn(transaction=resources.session_transaction, passwords=resources.passwords)


async def _public_keys(resources: ResourcesDep) -> PublicKeys:
    return resources.public_keys


Accounts = Annotated[AccountService, Depends(_accounts)]
Sessions = Annotated[SessionService, Depends(_sessions)]
LogInDep = Annotated[LogIn, Depends(_log_in)]
PublicKeysDep = Annotated[PublicKeys, Depends(_public_keys)]

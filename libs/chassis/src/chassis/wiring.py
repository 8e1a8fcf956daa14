"""What every service's own ``wiring`` opens first: database, tokens, wake-ups."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.auth.keys import PublicKeys
from chassis.auth.tokens import TokenVerifier
from chassis.database.engine import Database, DatabaseSettings
from chassis.messaging.publishing.outbox import Outbox
from chassis.messaging.wakeup import Wakeups
from chassis.process import Process
from chassis.sessions import SessionsEnded, TokenSettings, follow_sessions
from chassis.settings import ProcessSettings


class ServiceSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """What each process of a service reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResources:
    """What each process of a service holds."""

    service: str
    database: Database
    verifier: TokenVerifier
    wakeups: Wakeups

    def outbox(self, session: AsyncSession) -> Outbox:
        """Make the outbox of one transaction."""
        return Outbox(
            session=session,
            source=f"/slipway/{self.service}",
            service=self.service,
            wakeups=self.wakeups,
        )


@asynccontextmanager
async def open_service(
    settings: ServiceSettings,
    process: Process,
    *,
    service: str,
    sessions: type[SessionsEnded] | None = None,
) -> AsyncIterator[ServiceResources]:
    """Open what each process of a service holds; closes it in the opposite order.

    Args:
        settings: of the process.
        process: gets the long-lived tasks.
        service: its name.
        sessions: the event that tells of ended sessions; without it, their tokens are good until
            they expire.
    """
    keys = await asyncio.to_thread(PublicKeys, settings.auth_jwks_file)
    verifier = TokenVerifier(
        keys=keys,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        revoked=frozenset() if sessions is None else follow_sessions(process, settings, sessions),
    )
    wakeups = Wakeups(dsn=settings.direct_dsn, application_name=f"{process.name}-wakeups")
    process.start(wakeups.run(), name="wakeups")
    async with Database(settings=settings, application_name=process.name).opened() as database:
        try:
            yield ServiceResources(
                service=service, database=database, verifier=verifier, wakeups=wakeups
            )
        finally:
            await process.end_tasks()

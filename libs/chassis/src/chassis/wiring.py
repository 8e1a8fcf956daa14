"""The resources that every service's process opens first: database, token verifier, wake-ups."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

from fastapi import Depends
from fastapi.requests import HTTPConnection

from chassis.auth.keys import PublicKeys
from chassis.auth.tokens import TokenVerifier
from chassis.database.database import Database
from chassis.database.reachability import Reachability
from chassis.database.settings import DatabaseSettings
from chassis.database.unit import Unit
from chassis.ended_sessions import SessionsEnded, TokenSettings, follow_ended_sessions
from chassis.http.unit import UnitDep
from chassis.jobs.enqueueing import Jobs
from chassis.library_internals.fastapi import DependsParameter
from chassis.messaging.publishing.outbox import Outbox
from chassis.messaging.wakeup import Wakeups
from chassis.process import Process
from chassis.product import product
from chassis.settings import ProcessSettings


class ServiceSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """The settings that each process of a service has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResources:
    """The resources that each process of a service holds."""

    service: str
    database: Database
    verifier: TokenVerifier
    wakeups: Wakeups

    def outbox(self, unit: Unit) -> Outbox:
        """Return the outbox of one transaction."""
        return Outbox(
            unit=unit,
            source=product().source_of(self.service),
            service=self.service,
            wakeups=self.wakeups,
        )

    def jobs(self, unit: Unit) -> Jobs:
        """Return the object that enqueues jobs in one transaction."""
        return Jobs(unit=unit, service=self.service, wakeups=self.wakeups)

    def extended[R: ServiceResources](self, kind: type[R], **more: Any) -> R:  # noqa: ANN401 - R's own fields
        """Return these resources, with the further fields `more`, as the subclass `kind`."""
        return kind(**{own.name: getattr(self, own.name) for own in fields(self)}, **more)


def use_case[R: ServiceResources, U](make: Callable[[R, Unit], U]) -> DependsParameter:
    """Return the dependency that makes a use case for the transaction of a request.

    A noun's ``wiring.py`` uses it once: ``Orders = Annotated[OrderService, use_case(orders)]``.

    Args:
        make: makes the use case from the process's resources and a session.
    """

    async def provide(connection: HTTPConnection, unit: UnitDep) -> U:
        return make(connection.app.state.resources, unit)

    parameter: DependsParameter = Depends(provide)
    return parameter


def resource[R: ServiceResources, T](find: Callable[[R], T]) -> DependsParameter:
    """Return the dependency that injects a part of the process's resources, without a transaction.

    Args:
        find: returns the part.
    """

    async def provide(connection: HTTPConnection) -> T:
        return find(connection.app.state.resources)

    parameter: DependsParameter = Depends(provide)
    return parameter


@asynccontextmanager
async def open_service(
    settings: ServiceSettings,
    process: Process,
    *,
    service: str,
    sessions: type[SessionsEnded] | None = None,
) -> AsyncIterator[ServiceResources]:
    """Open the common resources of a process, and close them after the body in reverse order.

    Args:
        settings: the settings of the process.
        process: runs the long-lived tasks.
        service: the service's name.
        sessions: the event that announces ended log-in sessions. Without it, their tokens are valid
            until they expire.
    """
    keys = await asyncio.to_thread(PublicKeys, settings.auth_jwks_file)
    verifier = TokenVerifier(
        keys=keys,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        lifetime=settings.access_lifetime,
        revoked=frozenset()
        if sessions is None
        else follow_ended_sessions(process, settings, sessions),
    )
    reachability = Reachability(health=process.health, registry=process.registry)
    opened = Database(settings=settings, application_name=process.name, reachability=reachability)
    async with opened.opened() as database:
        database.register_metrics(process.registry)
        for connector in database.connectors:
            watch = connector.watch(f"{process.name}-watch")
            process.start(watch, name=f"{connector.name} watch")
        wakeups = Wakeups(connector=database.direct, application_name=f"{process.name}-wakeups")
        process.start(wakeups.run(), name="wakeups")
        yield ServiceResources(
            service=service, database=database, verifier=verifier, wakeups=wakeups
        )

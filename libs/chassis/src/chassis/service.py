"""A service, declared once: its name, settings, tables, routes, subscriptions, jobs and snapshots.

A package registers its declaration in its ``pyproject.toml``::

    [project.entry-points."chassis.services"]
    orders = "orders.declaration:SERVICE"

All code that lists services (processes, documents, checks, local runs) reads these entry points.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from sqlalchemy import MetaData

from chassis.ended_sessions import SessionsEnded
from chassis.exports import Export
from chassis.exports.of_chassis import chassis_exports
from chassis.http.documentation import Documentation
from chassis.installed import service_entry_points, service_names
from chassis.jobs.kinds import JobKinds
from chassis.jobs.retention import Retention
from chassis.messaging.asyncapi.sockets import Socket
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.operations.replays import Snapshot
from chassis.process import Process
from chassis.verification.declared import Verification
from chassis.wiring import ServiceResources, ServiceSettings, open_service


@asynccontextmanager
async def _nothing_more(
    common: ServiceResources, _settings: ServiceSettings, _process: Process
) -> AsyncIterator[ServiceResources]:
    yield common


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition[S: ServiceSettings, R: ServiceResources]:
    """The settings and the resources of one kind of process.

    Attributes:
        settings: the class of its settings.
        extend: gets the common resources, the settings and the process. It opens the process's
            further resources, starts its long-lived tasks, and yields all resources.
    """

    settings: type[S]
    extend: Callable[[ServiceResources, S, Process], AbstractAsyncContextManager[R]]


def common_only[S: ServiceSettings](settings: type[S]) -> Composition[S, ServiceResources]:
    """Return the composition of a process that holds only the common resources."""
    return Composition(settings=settings, extend=_nothing_more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service[R: ServiceResources]:
    """The declaration of a service; `R` is the type of its worker's resources.

    Attributes:
        name: the name of the package, the schema, the roles, the consumer group and the processes.
        title: the title of the OpenAPI document.
        metadata: the metadata of the service's tables.
        about: the description in the OpenAPI document; Markdown.
        documentation: the tags of the OpenAPI document, and the values of its examples; None adds
            neither.
        routers: the routes of the API process.
        api: the composition of the API process.
        worker: the composition of the worker.
        subscriptions: the events that the worker consumes.
        jobs: the kinds of jobs that the worker runs, and their schedules.
        retention: which rows of the service's own tables are deleted, and when.
        snapshots: the present state that the worker can publish again, for ``slipway replay``.
        exports: what the service holds of a person, for the export of their own data. The chassis
            adds its own tables.
        verification: what ``slipway verify`` compares with the service's events.
        urgent_topics: the topics that the relay publishes in a lane of their own, so that their
            messages never wait behind a backlog.
        sockets: the WebSockets of the API process, for the AsyncAPI document.
        ended_sessions: the event that announces ended log-in sessions, whose access tokens every
            process rejects. Without it, tokens are valid until they expire.
    """

    name: str
    title: str
    metadata: MetaData
    about: str = ""
    documentation: Documentation | None = None
    routers: Sequence[APIRouter] = ()
    api: Composition[Any, Any] = field(default_factory=lambda: common_only(ServiceSettings))
    worker: Composition[Any, R]
    subscriptions: Subscriptions[R] = field(default_factory=lambda: Subscriptions(handled=[]))
    jobs: JobKinds[R] = field(default_factory=JobKinds[R])
    retention: Sequence[Retention] = ()
    snapshots: Sequence[Snapshot[R]] = ()
    exports: Sequence[Export[Any]] = ()
    verification: Verification = field(default_factory=Verification)
    urgent_topics: Collection[str] = ()
    sockets: Sequence[Socket] = ()
    ended_sessions: type[SessionsEnded] | None = None

    @property
    def all_exports(self) -> tuple[Export[Any], ...]:
        """The exports of the service's own tables, and those of the chassis' tables."""
        tables = set(self.metadata.tables)
        if not self.subscriptions.topics:
            tables.discard("parked_messages")
        return (*self.exports, *chassis_exports(tables))

    def open_api(
        self, settings: ServiceSettings, process: Process
    ) -> AbstractAsyncContextManager[ServiceResources]:
        """Open the resources of the API process."""
        return self._open(self.api, settings, process)

    def open_worker(
        self, settings: ServiceSettings, process: Process
    ) -> AbstractAsyncContextManager[R]:
        """Open the resources of the worker."""
        return self._open(self.worker, settings, process)

    @asynccontextmanager
    async def _open[X: ServiceResources](
        self, composition: Composition[Any, X], settings: ServiceSettings, process: Process
    ) -> AsyncIterator[X]:
        opened = open_service(settings, process, service=self.name, sessions=self.ended_sessions)
        async with opened as common, composition.extend(common, settings, process) as resources:
            yield resources


class UnknownServiceError(LookupError):
    """No installed package declares a service of this name."""


def load_service(name: str) -> Service[Any]:
    """Import and return a service's declaration.

    Raises:
        UnknownServiceError: no installed package declares it.
    """
    found = service_entry_points().select(name=name)
    if not found:
        known = ", ".join(service_names()) or "none"
        message = f"The service {name!r} is not installed. Installed are: {known}."
        raise UnknownServiceError(message)
    declared: Service[Any] = next(iter(found)).load()
    return declared


def installed_services() -> tuple[Service[Any], ...]:
    """Import and return the declarations of all installed services, sorted by name."""
    return tuple(load_service(name) for name in service_names())

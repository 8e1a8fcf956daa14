"""Opens every connection to PostgreSQL: the pool's, the relay's, the listeners', the migrations'.

One module does it so that all connections use the current secrets, show in probes and metrics,
reject an undeclared pooler, and raise errors that `is_infrastructure_error` recognises.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg

from chassis.cancellation import result_of
from chassis.database.errors import DRIVER_ERRORS, passes
from chassis.database.infrastructure import is_infrastructure_error, mark_infrastructure
from chassis.database.reachability import Outcome, Reachability
from chassis.database.waiting import DatabaseUnusableError
from chassis.database.watching import Watch, watch_nothing

type Connection = "asyncpg.Connection[asyncpg.Record]"

QUEUE_PLANS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of a session that reads a queue, like the outbox or the jobs.

A plan that is made while the table is short must still fit when it is long. And each statement is
planned once: planning would cost PostgreSQL as much as running it.
"""

_CONNECT_SECONDS = 3.0
_COMMAND_SECONDS = 10.0
_WATCH_SECONDS = 30.0
_KEEP_ALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # also a wrong password
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
# PgBouncer's text when it rejects a session setting; PostgreSQL accepts every setting that we send.
_STARTUP_PARAMETER = "unsupported startup parameter"


class UndeclaredPoolerError(DatabaseUnusableError):
    """The address leads to a pooler, but PostgreSQL itself was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of PostgreSQL, and the credentials for it.

    Attributes:
        url: ``postgresql://…`` as libpq accepts it, with several hosts or ``?sslmode=…`` if needed.
        password: replaces the URL's; None keeps the URL's.
    """

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments for ``asyncpg.connect``.

        If there are several hosts, they require one that accepts writes, unless the URL or
        PGTARGETSESSIONATTRS says otherwise: after a failover the first host may be a standby.
        """
        options: dict[str, Any] = {"dsn": self.url}
        if self.password is not None:
            options["password"] = self.password
        parts = urlsplit(self.url)
        query = parse_qs(parts.query)
        several = "," in "".join([parts.netloc.rpartition("@")[2], *query.get("host", ())])
        said = "target_session_attrs" in query or "PGTARGETSESSIONATTRS" in os.environ
        return options | ({"target_session_attrs": "read-write"} if several and not said else {})


class Connector:
    """Opens connections to one address.

    Args:
        address: returns the current address; called for each connection, because passwords change.
        name: the name of the setting with the URL, in lower case and without ``_url``.
        pooled: whether a pooler in transaction mode is expected there.
        reachability: records each attempt.
        watch: called with each new connection, to log its statements.

    Attributes:
        name: the name of the address.
    """

    def __init__(
        self,
        *,
        address: Callable[[], Address],
        name: str = "database",
        pooled: bool = False,
        reachability: Reachability | None = None,
        watch: Watch = watch_nothing,
    ) -> None:
        self._watch = watch
        self._address = address
        self.name = name
        self._pooled = pooled
        self._reachability = reachability

    @classmethod
    def to(cls, url: str, *, name: str = "database") -> Self:
        """Return a connector to an address that never changes.

        Args:
            url: ``postgresql://…``.
            name: as for the class.
        """
        address = Address(url=url)
        return cls(address=lambda: address, name=name)

    async def connect(self, *, timeout: float = _CONNECT_SECONDS, **options: Any) -> Connection:  # noqa: ANN401, ASYNC109 - handed on as they are
        """Return a new connection.

        Args:
            timeout: seconds that it may take.
            options: further arguments of ``asyncpg.connect``.

        Raises:
            UndeclaredPoolerError: the address leads to a pooler that the settings do not declare.
            Exception: asyncpg's error, marked as infrastructure, because it is no failure of the
                work that needs the connection: the server is unavailable or rejects the password.
        """
        # asyncpg leaves an exception that is never retrieved if it is cancelled half-way.
        connecting = asyncio.ensure_future(self._attempt(timeout, options))
        try:
            return await result_of(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await _close(await connecting)
            raise

    @contextlib.asynccontextmanager
    async def opened(
        self, application_name: str, *, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[Connection]:
        """Open a connection outside the pool, and close it after the body, within 1 s.

        If the server vanishes, the command time-out raises an error within seconds. If the client
        vanishes, TCP keep-alives let the server end the session and release its locks.

        Args:
            application_name: the connection's name in ``pg_stat_activity``.
            settings: further settings of the session.
        """
        connection = await self.connect(
            command_timeout=_COMMAND_SECONDS,
            server_settings={
                "application_name": application_name,
                "jit": "off",
                **_KEEP_ALIVE,
                **(settings or {}),
            },
        )
        try:
            yield connection
        except DRIVER_ERRORS as error:
            if passes(error):
                mark_infrastructure(error)
            raise
        finally:
            await _close(connection)

    async def watch(self, application_name: str, *, seconds: float = _WATCH_SECONDS) -> None:
        """Connect twice a minute until cancelled, so that probes and metrics are up to date.

        It detects a changed password while the pool's open connections still work.

        Args:
            application_name: the connections' name in ``pg_stat_activity``.
            seconds: the time from one attempt to the next; a sixth of it after a failure.

        Raises:
            UndeclaredPoolerError: the address leads to a pooler that the settings do not declare.
        """
        while True:
            delay = seconds
            try:
                connection = await self.connect(
                    server_settings={"application_name": application_name}
                )
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                delay = seconds / 6
            else:
                await _close(connection)
            await asyncio.sleep(delay)

    async def _attempt(self, seconds: float, options: Mapping[str, Any]) -> Connection:
        try:
            connection = await self._connect(seconds, options)
        except UndeclaredPoolerError as error:
            self._note(Outcome.POOLER, error)
            raise
        except asyncpg.ClientConfigurationError:  # the URL is wrong: not an outage
            raise
        except DRIVER_ERRORS as error:
            self._note(_outcome(error), error)
            mark_infrastructure(error)
            raise
        self._note(Outcome.OK)
        return connection

    async def _connect(self, seconds: float, options: Mapping[str, Any]) -> Connection:
        try:
            connection: Connection = await asyncpg.connect(
                **self._address().options, timeout=seconds, **options
            )
        except asyncpg.ProtocolViolationError as error:
            if _STARTUP_PARAMETER in str(error):
                raise self._pooler_found() from error
            raise
        if not self._pooled:
            await self._refuse_pooler(connection, seconds)
        self._watch(connection)
        return connection

    async def _refuse_pooler(self, connection: Connection, seconds: float) -> None:
        """Close the connection and raise UndeclaredPoolerError if it leads to a pooler.

        PostgreSQL sends each client its process id when a session begins (BackendKeyData). A pooler
        sends a number of its own, because a client has no server process to itself.

        The test must not use a prepared statement, which a pooler may confuse with another
        client's. So its result is the number of rows, which a simple query returns too.
        """
        sql = f"SELECT FROM pg_backend_pid() AS own (pid) WHERE pid = {connection.get_server_pid()}"
        try:
            itself = await connection.execute(sql, timeout=seconds) == "SELECT 1"
        except BaseException:
            connection.terminate()
            raise
        if not itself:
            connection.terminate()
            raise self._pooler_found()

    def _pooler_found(self) -> UndeclaredPoolerError:
        setting = f"{self.name.upper()}_URL"
        advice = (
            "set DATABASE_POOLER=transaction, and DATABASE_DIRECT_URL to PostgreSQL's own address"
            if self.name == "database"
            else "give PostgreSQL's own address: LISTEN and locks of the session need it"
        )
        return UndeclaredPoolerError(
            f"{setting} leads to a connection pooler that this process was not told of. Through it "
            f"a query may get the rows of another client's: {advice} (docs/guides/pooler.md)"
        )

    def _note(self, outcome: Outcome, error: Exception | None = None) -> None:
        if self._reachability is not None:
            self._reachability.note(self.name, outcome, error)


async def _close(connection: Connection) -> None:
    with contextlib.suppress(Exception):
        await connection.close(timeout=1)


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, _REFUSALS):
        return Outcome.REFUSED
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Outcome.READ_ONLY
    return Outcome.AWAY

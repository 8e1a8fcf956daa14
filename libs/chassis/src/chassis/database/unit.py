"""The unit of work: one transaction of PostgreSQL, and the only place that commits.

Statements go straight to asyncpg with ``fetch`` and ``execute``. SQLAlchemy's ORM shares the
transaction: ``session`` opens on the unit's connection when it is first used.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b
from time import perf_counter
from typing import Any, override

import asyncpg
import structlog
from opentelemetry import trace
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.cancellation import to_the_end
from chassis.database.deferred import Deferred, as_one
from chassis.database.errors import DRIVER_ERRORS
from chassis.database.limits import milliseconds
from chassis.database.orm import Orm
from chassis.database.pool import Pool, PooledConnection
from chassis.database.reading_ahead import OutdatedReadError
from chassis.database.reads import only_reads
from chassis.database.statements import Statements, rows_changed
from chassis.deadline import begin_commit, commit_failed
from chassis.error_text import describe
from chassis.telemetry.tracing import span_if_recording

type BeforeCommit = Callable[["Unit"], Awaitable[None]]
type AfterCommit = Callable[[], None]

# How long a task that is cancelled waits for a COMMIT that was sent.
_COMMIT_PATIENCE_SECONDS = 5.0
_ROLLBACK_SECONDS = 5.0

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)


class NotCommittedError(Exception):
    """The transaction could not be committed, since a statement of it had failed."""


class Unit(Statements):
    """One transaction; ``Database.transaction`` commits it or rolls it back.

    The first statement takes a connection. The first that may change or lock something begins the
    transaction: those before it only read, and READ COMMITTED gives each a snapshot of its own with
    or without BEGIN. So a unit that only reads costs a round trip for each statement, and two less
    than with BEGIN and COMMIT. If all changes were deferred, they are sent as one statement, which
    PostgreSQL commits by itself.

    Attributes:
        reads_ahead: whether ``fetch_ahead`` may read before the transaction begins, because the
            owner of the unit handles OutdatedReadError.
    """

    def __init__(self, *, pool: Pool, orm: Orm) -> None:
        super().__init__(pool=pool, orm=orm)
        self._before: list[BeforeCommit] = []
        self._after: list[AfterCommit] = []
        self._collected: dict[type, list[Any]] = {}
        self._only: dict[type, Any] = {}
        self._deferred: list[Deferred] = []
        self._begun = False
        self._beginning = False
        self._guards: set[str] = set()
        self.reads_ahead = False

    async def fetch_ahead(self, sql: str, *arguments: object, guard: str) -> list[asyncpg.Record]:
        """Return rows that were read before the transaction begins, in place of a read with a lock.

        A read, a decision, and deferred writes cost two round trips; four with a lock, because it
        needs BEGIN and COMMIT. In return, the rows may be outdated when the writes run. So the
        writes must lock these rows before they write anything else, and violate `guard` if a row is
        no longer as it was read. The commit then raises OutdatedReadError. Only ask a unit that
        ``may_fetch_ahead``.

        Args:
            sql: a statement that ``only_reads``.
            arguments: as for ``fetch``.
            guard: the name of a unique constraint.
        """
        rows = await self.fetch(sql, *arguments)
        self._guards.add(guard)
        return rows

    @property
    def may_fetch_ahead(self) -> bool:
        """Whether ``fetch_ahead`` may be used: the transaction has not begun."""
        return self.reads_ahead and not self._begun

    async def fetch_locked(
        self, select: str, *arguments: object, lock: str = "FOR UPDATE SKIP LOCKED"
    ) -> list[asyncpg.Record]:
        """Return rows and lock them until the transaction ends, for work that is rarely there.

        The rows are looked for without the lock first. If there are none, that is all: one round
        trip, where BEGIN, a locking read and COMMIT are three.

        Args:
            select: a statement that ``only_reads``, in the place of whose end a lock may stand.
            arguments: as for ``fetch``.
            lock: the locking clause.
        """
        if self._begun or await self.fetch(select, *arguments):
            return await self.fetch(f"{select} {lock}", *arguments)
        return []

    async def lock(self, name: str) -> None:
        """Take the advisory lock `name` until the transaction ends; wait while another holds it.

        As the first statement it costs no round trip, since it is sent with the BEGIN. The snapshot
        of the next statement is newer than the lock (READ COMMITTED), so that statement sees what
        the last holder committed.
        """
        await self.execute_first(f"SELECT pg_advisory_xact_lock({_lock_key(name)})")

    async def try_lock(self, name: str) -> bool:
        """Take the advisory lock `name` like ``lock``, unless another transaction holds it.

        Returns:
            Whether this transaction holds the lock.
        """
        return (
            await self.execute_first(f"SELECT 1 WHERE pg_try_advisory_xact_lock({_lock_key(name)})")
            == 1
        )

    async def execute_first(self, sql: str) -> int:
        """Run one statement in the transaction; return how many rows it changed or returned.

        If it begins the transaction it costs no round trip, since it is sent with the BEGIN.
        Arguments need the extended protocol, which has no such form. Write them into `sql`: only
        numbers, and UUIDs in single quotes, because neither can contain a quote.
        """
        if self._begun:
            return await self.execute(sql)
        return rows_changed(await self._begin(f"BEGIN; {sql}"))

    def defer(self, sql: str, *arguments: object, name: str | None = None) -> None:
        """Run a statement at the end of the transaction, for its effect alone.

        All deferred statements are sent as one, so only the first costs a round trip. They see the
        same snapshot and not each other's rows, and run in no set order, except that a statement
        runs after one whose returned rows it reads. Until then no statement sees their effect.
        Foreign keys between their rows are checked after all of them.

        Args:
            sql: an INSERT, UPDATE or DELETE without a WITH of its own.
            arguments: as for ``fetch``.
            name: the name of the rows that it returns, for statements that are deferred after it.
        """
        self._deferred.append(Deferred(sql, arguments, name))

    async def run_deferred(self) -> None:
        """Run what was deferred so far."""
        if deferred := self._deferred:
            self._deferred = []
            sql, arguments = as_one(deferred)
            await self.execute(sql, *arguments)

    def before_commit(self, step: BeforeCommit) -> None:
        """Run `step` at the end of the transaction, after the ORM's flush, in order of calls.

        A step may register further ones: they run last.
        """
        self._before.append(step)

    def after_commit(self, step: AfterCommit) -> None:
        """Call `step` once the transaction is committed; it must not block or raise."""
        self._after.append(step)

    def collected[T](self, kind: type[T]) -> list[T]:
        """Return the unit's list of values of `kind`, which a step before the commit writes.

        A savepoint that is rolled back takes back the values that were added in it.
        """
        return self._collected.setdefault(kind, [])

    def only[T](self, kind: type[T], make: Callable[[], T]) -> T:
        """Return the unit's only `kind`, which `make` makes when it is asked for first."""
        if kind not in self._only:
            self._only[kind] = make()
        one: T = self._only[kind]
        return one

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what the block did, and only that, if it raises; the error is raised again."""
        # Copies: what runs in the block leaves its list, and is undone with the block.
        steps = list(self._before), list(self._after), list(self._deferred)
        collected = {kind: list(values) for kind, values in self._collected.items()}
        try:
            await self.begin()
            async with AsyncSession.begin_nested(self.session):
                await self.session.connection()  # sends the SAVEPOINT
                yield
        except BaseException:
            self._before, self._after, self._deferred = steps
            for kind, values in self._collected.items():
                values[:] = collected.get(kind, [])
            raise

    @asynccontextmanager
    async def time_limit(self, seconds: float) -> AsyncIterator[None]:
        """Make PostgreSQL cancel each statement that takes longer than `seconds`.

        Use it for a statement whose cost depends on the caller's input. The server stops working on
        the statement, which a time-out in this process alone would not achieve. It costs one round
        trip, and lasts until the end of the transaction. The time that a statement waits for a lock
        counts.

        Raises:
            TimeoutError: a statement was cancelled; the transaction can only be rolled back.
        """
        limit = milliseconds(seconds)
        await self.fetch("SELECT set_config('statement_timeout', $1, true)", limit)
        try:
            yield
        except (DBAPIError, asyncpg.QueryCanceledError) as error:
            if isinstance(_driver_error_of(error), asyncpg.QueryCanceledError):
                message = f"a statement took over {seconds:g} s"
                raise TimeoutError(message) from error
            raise

    async def commit(self) -> None:
        """Run the steps before the commit, commit, and run those after it.

        Raises:
            DeadlineExceeded: the request's deadline has passed; nothing is committed.
            OutdatedReadError: see ``fetch_ahead``.
        """
        with span_if_recording(tracer, "commit", wanted=bool(self._before)):
            if self._session is not None:
                await self._session.flush_changes()
            # A step may register further steps, so loop until none are left.
            while before := self._before:
                self._before = []
                for step in before:
                    await step(self)
                if self._session is not None:
                    await self._session.flush_changes()
            try:
                await self._commit()
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name in self._guards:
                    commit_failed()
                    raise OutdatedReadError from error
                raise

    async def _commit(self) -> None:
        # A BEGIN that failed or was interrupted, and whose error was caught, may have begun it.
        if self._begun or self._beginning:
            await self.run_deferred()
            commit = self._send_commit
        elif self._deferred:
            commit = self._send_deferred
        else:
            self._call_after()
            return
        held = self._held or await self._take()
        begin_commit()
        # A COMMIT that is cancelled after it was sent may have taken effect, unknown to us.
        await to_the_end(
            commit(held),
            patience=_COMMIT_PATIENCE_SECONDS,
            give_up=partial(_give_up_commit, held.driver),
        )

    def ended_at_once(self) -> bool:
        """Give the connection of an ended transaction back, if that needs no waiting.

        Returns:
            Whether nothing is left for ``end``.
        """
        return not self._may_be_in_transaction() and self.released_at_once()

    @override
    async def end(self) -> None:
        """Roll back what is not committed, and give the connection back."""
        if self._held is not None and self._may_be_in_transaction():
            await _roll_back(self._held.driver)
        await super().end()

    def _may_be_in_transaction(self) -> bool:
        if self._held is None or self._held.driver.is_closed():
            return False
        return self._beginning or self._held.driver.is_in_transaction()

    @override
    def must_begin(self, sql: str) -> bool:
        return not self._begun and not only_reads(sql)

    @override
    async def begin(self) -> None:
        """Begin the transaction, if no statement has done so."""
        if not self._begun:
            await self._begin("BEGIN")

    async def _begin(self, sql: str) -> str:
        """Run `sql`, which begins the transaction, and return its status."""
        held = self._held or await self._take()
        # Until the server has responded, asyncpg does not know that there is a transaction.
        self._beginning = True
        status = await self._run(held, held.driver.execute(sql))
        self._beginning = False
        self._begun = True
        return status

    async def _send_deferred(self, held: PooledConnection) -> None:
        """Run what was deferred as the whole transaction."""
        sql, arguments = as_one(self._deferred)
        await self._send_last(held, sql, *arguments)
        self._call_after()

    async def _send_commit(self, held: PooledConnection) -> None:
        status = await self._send_last(held, "COMMIT")
        if status != "COMMIT":  # PostgreSQL does not raise an error for this
            message = (
                "PostgreSQL rolled the transaction back, because one of its statements failed and "
                "the code went on. Let the error through, or run the statement in a savepoint"
            )
            raise NotCommittedError(message)
        self._call_after()

    async def _send_last(self, held: PooledConnection, sql: str, *arguments: object) -> str:
        """Run the statement that commits, and return its status."""
        began = perf_counter()
        status = await self._run(held, held.driver.execute(sql, *arguments))
        self._pool.commit_took(perf_counter() - began)
        return status

    def _call_after(self) -> None:
        after, self._after = self._after, []
        for step in after:
            step()


def _give_up_commit(driver: asyncpg.Connection) -> None:
    """Close the connection of a COMMIT that does not end, and leave the COMMIT alone.

    It may wait for a standby. A server that is asked to cancel it ends this wait and shows the
    changes to others (documentation, 26.2.8), who would act on what a failover takes back. A
    time-out of the driver ends the same way: the pool closes the connection, and the driver then
    asks for nothing more.
    """
    log.warning("commit not confirmed, connection closed")
    driver.terminate()


def _driver_error_of(error: BaseException) -> BaseException | None:
    """Return the driver's error, which SQLAlchemy wraps twice."""
    return error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error


def _lock_key(name: str) -> int:
    """Return the number of an advisory lock, a signed integer of 64 bits."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


async def _roll_back(driver: asyncpg.Connection) -> None:
    """Roll back; if it is unsure whether the transaction began, PostgreSQL may only warn.

    The driver first waits until a statement that it cancelled has ended.
    """
    try:
        await driver.execute("ROLLBACK", timeout=_ROLLBACK_SECONDS)
    except DRIVER_ERRORS as error:
        log.warning("rollback failed, connection closed", error=describe(error))
        driver.terminate()  # the server rolls back when it sees the end of the connection

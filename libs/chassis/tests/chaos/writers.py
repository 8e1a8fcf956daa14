"""Users of the ledger: concurrent transactions, of which some roll back and some are slow."""

import asyncio
import random
from collections.abc import Sequence

from chassis.database import Database, is_infrastructure_error
from chassis.database.unit import Unit
from chassis.jobs import Jobs
from chassis.messaging import Outbox, Wakeups

from .enqueueing import enqueue
from .services import DOOMED, LEDGER, change

_WRITERS = 6
_ROLLED_BACK = 0.1
_LINGERING = 0.05
_OUT_OF_ORDER = 0.02
_MOST = 3


class RolledBackError(Exception):
    """Rolls a transaction back on purpose."""


class Writers:
    """Changes accounts until so many events are committed; each transaction enqueues jobs, too.

    Args:
        database: the ledger's.
        wakeups: of this process.
        seed: for all random decisions.
        aggregates: how many accounts there are.
        events: how many events to commit, at least.
        seconds: the time over which to spread them.
    """

    def __init__(
        self,
        *,
        database: Database,
        wakeups: Wakeups,
        seed: str,
        aggregates: int,
        events: int,
        seconds: float,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._seed = seed
        self._names = [*(f"account-{number}" for number in range(aggregates)), *DOOMED]
        self._events = events
        self._pause = seconds * _WRITERS * (1 + _MOST) / 2 / events
        self._hurry = asyncio.Event()
        self.committed = 0
        self.rolled_back = 0
        self.interrupted = 0

    def hurry(self) -> None:
        """Write the rest without pauses: there are no more faults."""
        self._hurry.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._write(random.Random(f"{self._seed}:writer-{number}")))

    async def _write(self, chance: random.Random) -> None:
        while self.committed < self._events:
            names = chance.sample(self._names, chance.randint(1, _MOST))
            if chance.random() > _OUT_OF_ORDER:
                names.sort()  # without an order, they would deadlock
            try:
                await self._transaction(names, chance)
                self.committed += len(names)
            except RolledBackError:
                self.rolled_back += 1
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                self.interrupted += 1
                await asyncio.sleep(0.1)
            await self._rest(chance.uniform(0, 2 * self._pause))

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return

    async def _transaction(self, names: Sequence[str], chance: random.Random) -> None:
        fate = chance.random()
        early = chance.random() < 0.5

        async def change_its_mind(_: Unit) -> None:
            raise RolledBackError

        async def linger(_: Unit) -> None:
            # Others take a higher place in the outbox, and commit first.
            await asyncio.sleep(chance.uniform(0, 0.2))

        async with self._database.transaction() as unit:
            outbox = Outbox(
                unit=unit, source=f"/chaos/{LEDGER}", service=LEDGER, wakeups=self._wakeups
            )
            for name in names:
                await change(unit, outbox, name)
            jobs = Jobs(unit=unit, service=LEDGER, wakeups=self._wakeups)
            await enqueue(unit, jobs, chance)
            if fate < _ROLLED_BACK:
                if early:
                    raise RolledBackError
                unit.before_commit(change_its_mind)  # the outbox's rows are written by then
            elif fate < _ROLLED_BACK + _LINGERING:
                unit.before_commit(linger)

"""Users of the ledger: transactions at the same time, of which some roll back and some linger."""

import asyncio
import random
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database import Database, before_commit, is_infrastructure_error
from chassis.messaging import Outbox, Wakeups

from .services import DOOMED, LEDGER, change

_WRITERS = 6
_ROLLED_BACK = 0.1
_LINGERING = 0.05
_OUT_OF_ORDER = 0.02
_MOST = 3


class RolledBackError(Exception):
    """A transaction that changes its mind."""


class Writers:
    """Changes accounts until so many events are committed.

    Args:
        database: the ledger's.
        wakeups: of this process.
        seed: of all that is random here.
        aggregates: how many accounts there are.
        events: how many to commit, at least.
        seconds: over which to spread them.
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
        """Write what is left without pauses: nothing happens any more that it could meet."""
        self._hurry.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._write(random.Random(f"{self._seed}:writer-{number}")))

    async def _write(self, chance: random.Random) -> None:
        while self.committed < self._events:
            names = chance.sample(self._names, chance.randint(1, _MOST))
            if chance.random() > _OUT_OF_ORDER:
                names.sort()  # or they would lock each other out
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

        async def change_its_mind(_: AsyncSession) -> None:
            raise RolledBackError

        async def linger(_: AsyncSession) -> None:
            # Others take a higher place in the outbox, and commit first.
            await asyncio.sleep(chance.uniform(0, 0.2))

        async with self._database.transaction() as session:
            outbox = Outbox(
                session=session, source=f"/chaos/{LEDGER}", service=LEDGER, wakeups=self._wakeups
            )
            for name in names:
                await change(session, outbox, name)
            if fate < _ROLLED_BACK:
                if early:
                    raise RolledBackError
                before_commit(session, change_its_mind)  # the outbox's rows are written by then
            elif fate < _ROLLED_BACK + _LINGERING:
                before_commit(session, linger)

"""What goes wrong, and when: two lanes of faults at the same time, chosen by a seed.

One lane is hard on processes, the other on servers, so that a consumer is also paused while Kafka
restarts. Each lane goes through all its kinds before one comes again.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import asyncpg

from chassis.servers import LocalServer

from .services import LEDGER, TALLY
from .system import SESSION_SECONDS, System
from .workers import Worker

_LOOK_SECONDS = 10.0
_GIVEN_UP_SECONDS = 16.0  # the relay waits 15 for an acknowledgement
_IN_A_TRANSACTION = """
    SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE application_name = $1 AND state = 'idle in transaction'
      AND locktype = 'advisory' AND granted
"""

# Says what it did; an empty text says that there was no occasion.
type Fault = Callable[[random.Random], Awaitable[str]]


class Faults:
    """Breaks a system for a while.

    Args:
        system: what to break.
        seed: chooses kinds, victims and durations.
        long: whether there is time for faults that take their own.
        say: told of each fault.

    Attributes:
        done: how often each kind happened; a kind for which there was no time stands at 0.
    """

    def __init__(
        self, *, system: System, seed: str, long: bool, say: Callable[[str], None]
    ) -> None:
        self._system = system
        self._seed = seed
        self._long = long
        self._say = say
        self._began = time.monotonic()
        kinds = [*self._of_processes(), *self._of_servers()]
        self.done = Counter({kind.__name__: 0 for kind in kinds})

    async def run(self, seconds: float) -> None:
        """Break things for so long; all is whole again when it returns."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lane("processes", self._of_processes(), until))
            group.create_task(self._lane("servers", self._of_servers(), until))

    def _of_processes(self) -> Sequence[Fault]:
        return [
            self.consumer_killed,
            self.relay_killed,
            self.consumer_paused_in_a_transaction,
            self.worker_paused,
        ]

    def _of_servers(self) -> Sequence[Fault]:
        return [
            self.kafka_killed,
            self.kafka_restarted,
            self.connections_cut,
            self.connections_frozen,
            self.postgres_restarted,
            *([self.kafka_away_for_long] if self._long else []),
        ]

    async def _lane(self, name: str, faults: Sequence[Fault], until: float) -> None:
        chance = random.Random(f"{self._seed}:{name}")
        bag: list[Fault] = []
        while time.monotonic() < until:
            bag = bag or chance.sample(faults, len(faults))
            fault = bag.pop()
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            said = await fault(chance)
            self.done[fault.__name__] += bool(said)
            text = said or "no occasion"
            self._say(f"{time.monotonic() - self._began:6.1f} s  {fault.__name__}: {text}")

    async def consumer_killed(self, chance: random.Random) -> str:
        return await self._kill(chance.choice(self._system.workers_of(TALLY)), chance)

    async def relay_killed(self, chance: random.Random) -> str:
        return await self._kill(chance.choice(self._system.workers_of(LEDGER)), chance)

    async def _kill(self, worker: Worker, chance: random.Random) -> str:
        await asyncio.sleep(chance.uniform(0, 0.5))
        worker.signal(signal.SIGKILL)
        return worker.name

    async def worker_paused(self, chance: random.Random) -> str:
        """Any worker, at any moment, for longer than the group waits for its members."""
        worker = chance.choice(self._system.workers)
        seconds = chance.uniform(1.2, 1.6) * SESSION_SECONDS
        worker.signal(signal.SIGSTOP)
        await self._resume(worker, seconds)
        return f"{worker.name} for {seconds:.1f} s"

    async def consumer_paused_in_a_transaction(self, chance: random.Random) -> str:
        """In the middle of a batch, for less or more than PostgreSQL and the group bear."""
        worker = chance.choice(self._system.workers_of(TALLY))
        seconds = chance.uniform(0.6, 1.6) * SESSION_SECONDS
        if not await self._stop_in_a_transaction(worker):
            return ""
        await self._resume(worker, seconds)
        return f"{worker.name} for {seconds:.1f} s"

    async def _resume(self, worker: Worker, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            worker.signal(signal.SIGCONT)

    async def _stop_in_a_transaction(self, worker: Worker) -> bool:
        """Stop it when it is seen in a batch, and look again: it may have been quicker."""
        until = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < until:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self._system.postgres.url(), timeout=2)
                try:
                    while time.monotonic() < until:
                        if await _is_in_a_transaction(connection, worker):
                            worker.signal(signal.SIGSTOP)
                            if await _is_in_a_transaction(connection, worker):
                                return True
                            worker.signal(signal.SIGCONT)
                        await asyncio.sleep(0.002)
                finally:
                    await connection.close()
            worker.signal(signal.SIGCONT)  # PostgreSQL may have gone between the two looks
            await asyncio.sleep(0.1)
        return False

    async def kafka_killed(self, chance: random.Random) -> str:
        return await self._killed(self._system.kafka, signal.SIGKILL, chance)

    async def postgres_restarted(self, chance: random.Random) -> str:
        """In mode "immediate": no session is ended in order, and the log is replayed at start."""
        return await self._killed(self._system.postgres, signal.SIGQUIT, chance)

    async def _killed(
        self, server: LocalServer, number: signal.Signals, chance: random.Random
    ) -> str:
        assert server.pid is not None
        os.kill(server.pid, number)
        await server.wait()
        await server.stop()
        return await self._start_after_a_while(server, chance)

    async def kafka_restarted(self, chance: random.Random) -> str:
        await self._system.kafka.stop()
        return await self._start_after_a_while(self._system.kafka, chance)

    async def kafka_away_for_long(self, chance: random.Random) -> str:
        """So long that producers give up what they have in hand, and the backlog grows."""
        await self._system.kafka.stop()
        return await self._start_after_a_while(
            self._system.kafka, chance, at_least=_GIVEN_UP_SECONDS
        )

    async def _start_after_a_while(
        self, server: LocalServer, chance: random.Random, *, at_least: float = 0
    ) -> str:
        stopped = time.monotonic()
        await asyncio.sleep(at_least + chance.uniform(0, 1.5))
        await server.start()
        return f"{server.name} was away for {time.monotonic() - stopped:.1f} s"

    async def connections_cut(self, chance: random.Random) -> str:
        """Several times: a producer in mid-flight is more likely met then."""
        proxy, cut = self._system.proxy, 0
        for _ in range(chance.randint(1, 5)):
            cut += proxy.cut()
            if chance.random() < 0.3:
                proxy.refuse()
            await asyncio.sleep(chance.uniform(0, 0.6))
            proxy.let_pass()
        return f"{cut} connections"

    async def connections_frozen(self, chance: random.Random) -> str:
        """Silence, and then either everything that was held back, or a cut."""
        proxy, seconds = self._system.proxy, chance.uniform(0.5, 0.7 * SESSION_SECONDS)
        proxy.freeze()
        await asyncio.sleep(seconds)
        cut = proxy.cut() if chance.random() < 0.5 else 0
        proxy.let_pass()
        return f"for {seconds:.1f} s, then cut {cut}"


async def _is_in_a_transaction(connection: asyncpg.Connection, worker: Worker) -> bool:
    return bool(await connection.fetchval(_IN_A_TRANSACTION, worker.name, timeout=2))

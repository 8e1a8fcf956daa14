"""Injects faults in two lanes at the same time, chosen by a seed.

One lane breaks processes, the other breaks servers. So a consumer may, for example, be paused while
Kafka restarts. Each lane uses all its kinds of fault before it repeats one.
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

from localservers import LocalServer

from .job_kinds import LEASE_SECONDS
from .services import LEDGER, TALLY
from .system import SESSION_SECONDS, System
from .workers import Worker

_LOOK_SECONDS = 10.0
_GIVEN_UP_SECONDS = 16.0  # the relay waits 15 s for an acknowledgement
_IN_A_TRANSACTION = """
    SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE application_name = $1 AND state = 'idle in transaction'
      AND locktype = 'advisory' AND granted
"""
_IN_A_JOB = f"""
    SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE application_name = $1 AND state = 'idle in transaction'
      AND relation = '{LEDGER}.jobs'::regclass AND mode = 'RowExclusiveLock' AND granted
"""
_BEFORE_A_COMPLETION = f"""
    SELECT count(*) FROM {LEDGER}.jobs AS j
    JOIN {LEDGER}.job_effects AS e ON e.name = coalesce(j.arguments ->> 'name', j.id::text)
    WHERE j.state = 'running' AND e.worker = $1
"""

# Returns what it did. An empty text means that there was no opportunity.
type Fault = Callable[[random.Random], Awaitable[str]]


class Faults:
    """Breaks a system for a while.

    Args:
        system: the system to break.
        seed: chooses kinds, victims and durations.
        long: whether there is time for faults that take long.
        say: called with a description of each fault.

    Attributes:
        done: how often each kind happened; 0 for a kind for which there was no time.
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
        """Break things for this long. When it returns, everything is repaired."""
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
            self.killed_in_a_job,
            self.paused_in_a_job,
        ]

    def _of_servers(self) -> Sequence[Fault]:
        return [
            self.kafka_killed,
            self.kafka_restarted,
            self.connections_cut,
            self.connections_frozen,
            self.postgres_restarted,
            *([self.kafka_down_for_long] if self._long else []),
        ]

    async def _lane(self, name: str, faults: Sequence[Fault], until: float) -> None:
        chance = random.Random(f"{self._seed}:{name}")
        bag: list[Fault] = []
        while time.monotonic() < until:
            bag = bag or chance.sample(faults, len(faults))
            fault = bag.pop()
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            description = await fault(chance)
            self.done[fault.__name__] += bool(description)
            text = description or "no occasion"
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
        """Pause any worker, at any moment, for longer than the group waits for its members."""
        worker = chance.choice(self._system.workers)
        seconds = chance.uniform(1.2, 1.6) * SESSION_SECONDS
        worker.signal(signal.SIGSTOP)
        await self._resume(worker, seconds)
        return f"{worker.name} for {seconds:.1f} s"

    async def consumer_paused_in_a_transaction(self, chance: random.Random) -> str:
        """Pause in the middle of a batch, for less or more than PostgreSQL and the group allow."""
        worker = chance.choice(self._system.workers_of(TALLY))
        seconds = chance.uniform(0.6, 1.6) * SESSION_SECONDS
        if not await self._stop_when(worker, _IN_A_TRANSACTION):
            return ""
        await self._resume(worker, seconds)
        return f"{worker.name} for {seconds:.1f} s"

    async def killed_in_a_job(self, chance: random.Random) -> str:
        """Between the effect of a job and its commit, or between that and the completion."""
        worker = chance.choice(self._system.workers_of(LEDGER))
        moment = chance.choice([_IN_A_JOB, _BEFORE_A_COMPLETION])
        if not await self._stop_when(worker, moment):
            return ""
        worker.signal(signal.SIGKILL)
        return f"{worker.name} {_said_of(moment)}"

    async def paused_in_a_job(self, chance: random.Random) -> str:
        """At the same moments, until another worker may have leased the job."""
        worker = chance.choice(self._system.workers_of(LEDGER))
        moment = chance.choice([_IN_A_JOB, _BEFORE_A_COMPLETION])
        seconds = chance.uniform(1.3, 2) * LEASE_SECONDS
        if not await self._stop_when(worker, moment):
            return ""
        await self._resume(worker, seconds)
        return f"{worker.name} {_said_of(moment)} for {seconds:.1f} s"

    async def _resume(self, worker: Worker, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            worker.signal(signal.SIGCONT)

    async def _stop_when(self, worker: Worker, moment: str) -> bool:
        """Stop it when it is seen at a moment, and look again: it may have been quicker."""
        until = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < until:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self._system.postgres.url(), timeout=2)
                try:
                    while time.monotonic() < until:
                        if await _is_at(moment, connection, worker):
                            worker.signal(signal.SIGSTOP)
                            if await _is_at(moment, connection, worker):
                                return True
                            worker.signal(signal.SIGCONT)
                        await asyncio.sleep(0.002)
                finally:
                    await connection.close()
            worker.signal(signal.SIGCONT)  # PostgreSQL may have stopped between the two checks
            await asyncio.sleep(0.1)
        return False

    async def kafka_killed(self, chance: random.Random) -> str:
        return await self._killed(self._system.kafka, signal.SIGKILL, chance)

    async def postgres_restarted(self, chance: random.Random) -> str:
        """Restart in mode "immediate": sessions are cut, and PostgreSQL replays its log."""
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

    async def kafka_down_for_long(self, chance: random.Random) -> str:
        """Stop Kafka for so long that producers drop their messages and the backlog grows."""
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
        """Cut several times, so that a cut is more likely to meet a producer that is sending."""
        proxy, cut = self._system.proxy, 0
        for _ in range(chance.randint(1, 5)):
            cut += proxy.cut()
            if chance.random() < 0.3:
                proxy.refuse()
            await asyncio.sleep(chance.uniform(0, 0.6))
            proxy.let_pass()
        return f"{cut} connections"

    async def connections_frozen(self, chance: random.Random) -> str:
        """Hold back all data; then either deliver it, or cut the connections."""
        proxy, seconds = self._system.proxy, chance.uniform(0.5, 0.7 * SESSION_SECONDS)
        proxy.freeze()
        await asyncio.sleep(seconds)
        cut = proxy.cut() if chance.random() < 0.5 else 0
        proxy.let_pass()
        return f"for {seconds:.1f} s, then cut {cut}"


async def _is_at(moment: str, connection: asyncpg.Connection, worker: Worker) -> bool:
    return bool(await connection.fetchval(moment, worker.name, timeout=2))


def _said_of(moment: str) -> str:
    return "before a commit" if moment == _IN_A_JOB else "before a completion"

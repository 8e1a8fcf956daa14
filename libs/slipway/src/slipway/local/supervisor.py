"""Keeps units running: reports and restarts a unit that died, and stops all in order."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localservers import ServerError
from slipway.errors import StartError
from slipway.local.logtail import tail
from slipway.local.program import describe


class Unit(Protocol):
    """A local server or a program that can be supervised."""

    @property
    def name(self) -> str:
        """Return its name, for people."""

    @property
    def log_file(self) -> Path:
        """Return the path of its log."""

    @property
    def pid(self) -> int | None:
        """Return the id of the running process."""

    async def start(self) -> None:
        """Start it and return once it is ready, or raise StartError or ServerError."""

    async def stop(self) -> None:
        """Stop it, by force after a limit."""

    async def wait(self) -> int:
        """Wait for it to end; return its exit status."""


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How often, and how soon, a unit that died is started again.

    Attributes:
        attempts: this many failed starts in a row, within `window` seconds, stop the system.
        window: in seconds.
        settled: a unit that ends by itself within this many seconds after it was ready counts
            as a failed start, too.
        backoff: seconds before the first restart; doubles with each failed start.
        backoff_limit: the longest of these pauses, in seconds.
    """

    attempts: int = 3
    window: float = 30.0
    settled: float = 5.0
    backoff: float = 0.25
    backoff_limit: float = 10.0


class Supervisor:
    """Starts units and watches each; use `supervising`, which also stops them.

    Args:
        group: holds the watching tasks; a unit that can't be kept running fails it.
        say: called for each death and restart, with the last lines of the log.
        changed: awaited after each start, so that records of pids can follow.
        policy: of restarts.
    """

    def __init__(
        self,
        *,
        group: asyncio.TaskGroup,
        say: Callable[[str], None],
        changed: Callable[[], Awaitable[None]],
        policy: RestartPolicy,
    ) -> None:
        self._group = group
        self._say = say
        self._changed = changed
        self._policy = policy
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._units: dict[int, list[Unit]] = {}
        self._held: set[str] = set()

    async def start(self, unit: Unit, *, tier: int, attempts: int = 1, held: bool = False) -> None:
        """Start a unit and keep it running.

        Args:
            unit: is stopped in the end, even if it doesn't start.
            tier: higher ones are stopped first; those of one tier together.
            attempts: the number of failed starts in a row that is too many.
            held: once started, it does not stop the system when it can't be kept running, but
                waits for `restart`.
        """
        self._units.setdefault(tier, []).append(unit)
        for attempt in range(1, attempts + 1):
            try:
                await unit.start()
                break
            except StartError as error:
                if attempt == attempts:
                    raise
                self._say(f"{error}\nStarting {unit.name} again")
                await asyncio.sleep(self._pause(attempt))
        await self._changed()
        if held:
            self._held.add(unit.name)
        self._begin_watching(unit)

    async def restart(self, unit: Unit) -> None:
        """Stop a started unit, and start it again.

        A unit that doesn't start is reported, and waits for the next call. So does a unit whose
        restart is cancelled.
        """
        watcher = self._watchers.pop(unit.name, None)
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait([watcher])
        await unit.stop()
        try:
            await unit.start()
        except (StartError, ServerError) as error:
            self._hold(unit, str(error))
        else:
            self._say(f"{unit.name} is ready again, pid {unit.pid}")
            self._begin_watching(unit)
        await self._changed()

    def stop_watching(self) -> None:
        """Treat the end of a unit as intended from now on."""
        for watcher in self._watchers.values():
            watcher.cancel()

    async def stop(self) -> None:
        """Stop all units, tier by tier."""
        errors: list[Exception] = []
        for tier in sorted(self._units, reverse=True):
            units = self._units[tier]
            results = await asyncio.gather(*(u.stop() for u in units), return_exceptions=True)
            errors += [result for result in results if isinstance(result, Exception)]
        if errors:
            message = "Some processes could not be stopped."
            raise ExceptionGroup(message, errors)

    def _begin_watching(self, unit: Unit) -> None:
        watcher = self._group.create_task(self._watch(unit), name=f"watch {unit.name}")
        self._watchers[unit.name] = watcher

    def _hold(self, unit: Unit, error: str) -> None:
        self._say(f"{error}\n{unit.name} waits for the next change of its source")

    async def _watch(self, unit: Unit) -> None:
        try:
            await self._keep(unit)
        except StartError as error:
            if unit.name not in self._held:
                raise
            await unit.stop()  # ends its children, while its id can't be that of another process
            self._hold(unit, str(error))
            await self._changed()

    async def _keep(self, unit: Unit) -> None:
        failures: deque[float] = deque(maxlen=self._policy.attempts)
        while True:
            ready_at = time.monotonic()
            pid = unit.pid
            status = await unit.wait()
            text = (
                f"{unit.name} (pid {pid}) ended with {describe(status)}. "
                f"Its log, {unit.log_file}, ends:\n{tail(unit.log_file)}"
            )
            if time.monotonic() - ready_at > self._policy.settled:
                failures.clear()
            elif status >= 0:  # a unit ended by a signal did not fail by itself
                self._count(unit, failures, text)
            self._say(f"{text}\nStarting {unit.name} again")
            await self._restart(unit, failures)
            self._say(f"{unit.name} is ready again, pid {unit.pid}")
            await self._changed()

    async def _restart(self, unit: Unit, failures: deque[float]) -> None:
        count = len(failures)
        while True:
            await asyncio.sleep(self._pause(count))
            try:
                await unit.start()
            except (StartError, ServerError) as error:
                count += 1
                self._count(unit, failures, str(error))
                self._say(f"{error}\nStarting {unit.name} again")
            else:
                return

    def _count(self, unit: Unit, failures: deque[float], last: str) -> None:
        """Record a failed start; raise StartError once there are too many."""
        policy = self._policy
        failures.append(time.monotonic())
        if len(failures) == policy.attempts and failures[-1] - failures[0] <= policy.window:
            consequence = "" if unit.name in self._held else ", so the system stops"
            message = (
                f"{unit.name} failed {policy.attempts} starts in a row within "
                f"{policy.window:g} s{consequence}. The last: {last}"
            )
            raise StartError(message)

    def _pause(self, failures: int) -> float:
        return min(self._policy.backoff * float(2**failures), self._policy.backoff_limit)


@asynccontextmanager
async def supervising(
    *,
    say: Callable[[str], None],
    changed: Callable[[], Awaitable[None]],
    policy: RestartPolicy | None = None,
) -> AsyncIterator[Supervisor]:
    """Yield a supervisor; on exit, for any reason, stop its units in order.

    A unit that can't be kept running cancels the body, and its StartError is raised (in a group).
    """
    supervisor: Supervisor | None = None
    try:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(
                group=group, say=say, changed=changed, policy=policy or RestartPolicy()
            )
            try:
                yield supervisor
            finally:
                supervisor.stop_watching()
    finally:
        if supervisor is not None:
            await supervisor.stop()

"""`slipway up --reload`: a change of source restarts the processes that run it, and no others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from watchfiles import awatch

from slipway.local.sources import Sources
from slipway.local.supervisor import Supervisor, Unit

_QUIET_MILLISECONDS = 200  # an editor that saves all its files, or a checkout, is one change
_LONGEST_MILLISECONDS = 2000


class Reloader:
    """Restarts processes one at a time, in the order of their table; use `reloading`.

    Args:
        sources: which package a source file belongs to.
        units: the processes, by name, in order.
        supervisor: restarts them.
        may_restart: set once all have started; until then, changes are only recorded.
        say: called with each change and the processes that it restarts.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        units: Mapping[str, Unit],
        supervisor: Supervisor,
        may_restart: asyncio.Event,
        say: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._units = units
        self._supervisor = supervisor
        self._may_restart = may_restart
        self._say = say
        self._due: set[str] = set()
        self._news = asyncio.Event()
        self._restarting: tuple[str, asyncio.Task[None]] | None = None

    async def watch(self) -> None:
        """Record which restarts each change makes due; never return.

        If a change concerns a process that is restarting, that restart is cancelled: the process
        may never become ready, and the change may be its fix.
        """
        directories = self._sources.directories
        async for changes in awatch(
            *directories,
            watch_filter=None,  # it would also filter by the folders above the repository
            step=_QUIET_MILLISECONDS,
            debounce=_LONGEST_MILLISECONDS,
        ):
            due = self._note({Path(path) for _, path in changes})
            if self._restarting is not None and self._restarting[0] in due:
                self._restarting[1].cancel()

    async def restart(self) -> None:
        """Restart what is due; never return."""
        await self._may_restart.wait()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._due:
                    name = next(name for name in self._units if name in self._due)
                    self._due.remove(name)
                    task = group.create_task(self._supervisor.restart(self._units[name]))
                    self._restarting = name, task
                    await asyncio.wait([task])
                    self._restarting = None

    def _note(self, paths: Iterable[Path]) -> set[str]:
        changed: dict[str, list[str]] = {}
        for path in sorted(paths):
            package = self._sources.package(path)
            if package is not None:
                changed.setdefault(package, []).append(path.name)
        due: set[str] = set()
        for package, files in changed.items():
            names = self._sources.processes[package]
            due |= set(names)
            self._say(f"{package} changed ({few(files)}): {_consequence(names)}")
        self._due |= due
        self._news.set()
        return due


@asynccontextmanager
async def reloading(reloader: Reloader) -> AsyncIterator[None]:
    """Watch while the block runs: from before the start, so that no change is missed."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reloader.watch()), group.create_task(reloader.restart())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def few(names: list[str], most: int = 3) -> str:
    """Return the names as a short list."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _consequence(names: tuple[str, ...]) -> str:
    if names:
        return f"restarting {', '.join(names)}"
    return "slipway itself is not reloaded. Stop and start it to run the change."

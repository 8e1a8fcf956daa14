"""``python -m bench.mixed load|soak|memory|flame``, at the top of the repository."""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.mixed import verdict
from bench.mixed.driving import Driven, Load, drive
from bench.mixed.profiles import MemoryProfile, known_process, record_cpu
from bench.mixed.tables import error_table, latency_table, usage_table
from localservers import ServerError
from slipway.console import Reporter
from slipway.guard import guard, run
from slipway.local.foreground import run_until_signal
from slipway.local.ports import with_free_ports
from slipway.local.program import end_leftovers
from slipway.local.system import Plan, System
from slipway.place import repository_root, state_directory
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory

app = typer.Typer(add_completion=False, no_args_is_help=True)

_CUSTOMERS = 20
_SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.0/8",  # locust tells each customer's address
    "OTEL_TRACES_SAMPLER_ARG": "0.1",  # a usual share; a developer's system samples all
}

_Customers = Annotated[int, typer.Option(min=1, help="Customers; each takes a step per second.")]
_Minutes = Annotated[float, typer.Option(min=0.05, help="How long it measures.")]
_Process = Annotated[str, typer.Option(help="The process to profile: gateway, orders-worker …")]


@app.command()
def load(customers: _Customers = _CUSTOMERS, minutes: _Minutes = 1.0) -> None:
    """Measure latency under a mixed load. Exit status 1 if a bar does not hold."""
    asked = Load(customers=customers, seconds=minutes * 60)

    def judge(driven: Driven) -> Iterator[str]:
        yield from verdict.errors(driven.result)
        yield from verdict.carried(driven.result, asked.steps_per_second)
        yield from verdict.latencies(driven.result)
        yield from verdict.restarts(driven.usages.values())

    _end(holds=_Run(asked).run(judge))


@app.command()
def soak(customers: _Customers = _CUSTOMERS, minutes: _Minutes = 60.0) -> None:
    """Run the load for long. Exit status 1 if a process keeps growing, or requests fail."""
    asked = Load(customers=customers, seconds=minutes * 60)

    def judge(driven: Driven) -> Iterator[str]:
        yield from verdict.errors(driven.result)
        yield from verdict.carried(driven.result, asked.steps_per_second)
        yield from verdict.restarts(driven.usages.values())
        yield from verdict.flatness(driven.usages.values())

    _end(holds=_Run(asked).run(judge))


@app.command()
def memory(
    process: _Process = "orders", customers: _Customers = _CUSTOMERS, minutes: _Minutes = 1.0
) -> None:
    """Profile the memory of one process under the load with memray."""
    guard(lambda: known_process(process))
    asked = Load(customers=customers, seconds=minutes * 60)
    profile = MemoryProfile(process=process, directory=_profiles())
    holds = _Run(asked, interpreters={process: profile.interpreter}).run(_failures)
    _tell_files(*run(profile.write()))
    _end(holds=holds)


@app.command()
def flame(
    process: _Process = "orders", customers: _Customers = _CUSTOMERS, minutes: _Minutes = 1.0
) -> None:
    """Draw a flame graph of one process's CPU time under the load with py-spy."""
    guard(lambda: known_process(process))
    asked = Load(customers=customers, seconds=minutes * 60)
    path = _profiles() / f"{process}-cpu.svg"

    async def record(system: System) -> None:
        await asyncio.sleep(asked.warm_up)
        pid = system.process(process).pid
        if pid is not None:
            await record_cpu(pid, path, seconds=asked.seconds)

    holds = _Run(asked, beside=record).run(_failures)
    _tell_files(path)
    _end(holds=holds)


def _failures(driven: Driven) -> Iterator[str]:
    """Judge what makes a profile worthless; latency is not, as a profiler takes time itself."""
    yield from verdict.errors(driven.result)
    yield from verdict.restarts(driven.usages.values())


class _Run:
    """One load on a system of its own, in a fresh state directory and on free ports.

    Args:
        asked: the load.
        interpreters: what runs a process in place of Python.
        beside: runs together with the load.
    """

    def __init__(
        self,
        asked: Load,
        *,
        interpreters: Mapping[str, tuple[str, ...]] | None = None,
        beside: Callable[[System], Coroutine[None, None, None]] | None = None,
    ) -> None:
        self._asked = asked
        self._interpreters = interpreters or {}
        self._beside = beside
        self._reporter = Reporter(Console())
        self._found: list[Driven] = []

    def run(self, judge: Callable[[Driven], Iterator[str]]) -> bool:
        """Run it and print the tables and what `judge` finds; return whether it finds nothing."""
        run(self._run(), ServerError)
        if not self._found:
            raise typer.Exit(1)
        (driven,) = self._found
        console = Console(width=max(120, Console().width))
        console.print(latency_table(driven.result))
        console.print(usage_table(driven.usages.values(), driven.result))
        if driven.result.errors:
            console.print(error_table(driven.result))
        faults = list(judge(driven))
        for fault in faults:
            self._reporter.say(f"FAILED: {fault}")
        if not faults:
            self._reporter.say("All bars hold.")
        return not faults

    async def _run(self) -> None:
        plan = await asyncio.to_thread(self._plan)
        await _empty(plan.state, self._reporter)
        await run_until_signal(plan, self._reporter, self._drive)

    def _plan(self) -> Plan:
        directory = state_directory().path / "load"
        settings = SlipwaySettings(
            slipway_state_dir=directory, kafka_bootstrap_servers=None, slipway_limits="on"
        )
        return Plan(
            settings=with_free_ports(settings),
            root=repository_root(),
            env_file=os.devnull,
            environment=_SETTINGS,
            interpreters=self._interpreters,
        )

    async def _drive(self, system: System) -> None:
        asked = self._asked
        step = f"{asked.customers} customers for {asked.warm_up:g} s and {asked.seconds:g} s"
        with self._reporter.step(step):
            async with asyncio.TaskGroup() as group:
                driving = group.create_task(drive(asked, system))
                if self._beside is not None:
                    group.create_task(self._beside(system))
        self._found.append(driving.result())


async def _empty(state: StateDirectory, reporter: Reporter) -> None:
    """Remove the data and logs of the last run, so that each run begins alike."""
    with state.lock():
        await end_leftovers(state, reporter.say)
        for path in (state.servers, state.logs):
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _end(*, holds: bool) -> None:
    if not holds:
        raise typer.Exit(1)


def _profiles() -> Path:
    directory = state_directory().path / "profiles"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _tell_files(*paths: Path) -> None:
    for path in paths:
        Reporter(Console()).say(f"wrote {path}")


if __name__ == "__main__":
    app(prog_name="python -m bench.mixed")

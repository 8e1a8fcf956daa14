"""Measures rows one after the other, keeps each result, and writes the page from all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from bench import (
    backbone,
    bodies,
    connections,
    cost,
    gateway,
    graphql,
    jobs,
    latency,
    lists,
    log_ins,
    orders,
    peers,
    push,
    slow_clients,
    sockets,
    start,
    telemetry,
    tokens,
    transitions,
    webhooks,
)
from bench.builds import Build
from bench.machine import Machine, Others, optimizations
from bench.records import PAGE, Record, commit_of, keep, kept
from bench.report import as_rows, document
from bench.results import Finding
from bench.rig import Rig, open_rig
from bench.rounds import Pace
from bench.tools import install_missing
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.signals import until_signal

TRIAL = Pace(sweeps=1, seconds=1.0, warm_up=0.5)
"""The pace of a trial: long enough to see that a row runs to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that is measured.

    Attributes:
        name: for the command line.
        tools: Debian's packages that it needs.
        measure: measures it on an empty rig.
    """

    name: str
    tools: Sequence[str]
    measure: Callable[[Rig, Pace], Awaitable[Finding]]


ROWS = (
    Row(name="gateway", tools=gateway.TOOLS, measure=gateway.measure),
    Row(name="peers", tools=peers.TOOLS, measure=peers.measure),
    Row(name="bodies", tools=bodies.TOOLS, measure=bodies.measure),
    Row(name="latency", tools=latency.TOOLS, measure=latency.measure),
    Row(name="connections", tools=(), measure=connections.measure),
    Row(name="graphql", tools=graphql.TOOLS, measure=graphql.measure),
    Row(name="slow-clients", tools=slow_clients.TOOLS, measure=slow_clients.measure),
    Row(name="orders", tools=orders.TOOLS, measure=orders.measure),
    Row(name="transitions", tools=transitions.TOOLS, measure=transitions.measure),
    Row(name="lists", tools=lists.TOOLS, measure=lists.measure),
    Row(name="push", tools=(), measure=push.measure),
    Row(name="sockets", tools=(), measure=sockets.measure),
    Row(name="cost", tools=cost.TOOLS, measure=cost.measure),
    Row(name="telemetry", tools=telemetry.TOOLS, measure=telemetry.measure),
    Row(name="relay", tools=(), measure=backbone.measure_relay),
    Row(name="consumer", tools=(), measure=backbone.measure_consumer),
    Row(name="jobs", tools=(), measure=jobs.measure),
    Row(name="webhooks", tools=(), measure=webhooks.measure),
    Row(name="log-ins", tools=(), measure=log_ins.measure),
    Row(name="tokens", tools=(), measure=tokens.measure),
    Row(name="memory", tools=(), measure=backbone.measure_memory),
    Row(name="start", tools=start.TOOLS, measure=start.measure),
)


class Bench:
    """One run.

    Args:
        root: the top of the repository.
        directory: for data and logs; it is emptied.
        reporter: shows progress and the result.
        rows: all rows.
        pace: how long each row is measured.
        trial: whether results are only shown, and the page stays as it is.
    """

    def __init__(
        self,
        *,
        root: Path,
        directory: Path,
        reporter: Reporter,
        rows: Sequence[Row] = ROWS,
        pace: Pace | None = None,
        trial: bool = False,
    ) -> None:
        self._root = root
        self._directory = directory
        self._reporter = reporter
        self._rows = rows
        self._pace = pace or (TRIAL if trial else Pace())
        self._trial = trial
        self._rigs: list[Rig] = []

    async def run(self, names: Sequence[str]) -> bool:
        """Measure the named rows, or all; a signal stops it early, but cleanly.

        Returns:
            whether it completed.

        Raises:
            SlipwayError: a name is unknown, a tool is missing, or a measurement is void.
        """
        chosen = self._chosen(names)
        return await until_signal(self._measure(chosen), say=self._reporter.say, kill=self._kill)

    def _chosen(self, names: Sequence[str]) -> Sequence[Row]:
        known = {row.name: row for row in self._rows}
        unknown = [name for name in names if name not in known]
        if unknown:
            message = f"There is no row {', '.join(unknown)}. The rows are: {', '.join(known)}."
            raise SlipwayError(message)
        return [row for row in self._rows if not names or row.name in names]

    async def _measure(self, rows: Sequence[Row]) -> None:
        tools = sorted({tool for row in rows for tool in row.tools})
        await install_missing(tools, self._reporter)
        machine = await asyncio.to_thread(Machine.now)
        if not machine.was_quiet:
            self._reporter.say(
                f"The machine is busy (load average {machine.busy:.2f}): figures will be noisy"
            )
        if not optimizations():
            self._reporter.say(
                "This Python was configured without profile-guided optimization: it is "
                "slower than that of the official images"
            )
        commit = await commit_of(self._root)
        findings = []
        for row in rows:
            findings.append(await self._measure_one(row))
            if not self._trial:  # kept at once: a later row may be void
                record = Record(
                    row=row.name,
                    at=datetime.now(UTC),
                    commit=commit,
                    machine=machine,
                    pace=self._pace,
                    finding=findings[-1],
                )
                await asyncio.to_thread(self._keep, record)
        self._show(findings)
        for note in (note for finding in findings for note in finding.notes):
            self._reporter.say(note)
        self._reporter.say("A trial: nothing is written" if self._trial else f"Written: {PAGE}")

    def _keep(self, record: Record) -> None:
        keep(self._root, record)
        names = [row.name for row in self._rows]
        records = kept(self._root, names)
        missing = [name for name in names if name not in {one.row for one in records}]
        (self._root / PAGE).write_text(document(records, missing=missing))

    async def _measure_one(self, row: Row) -> Finding:
        self._reporter.say(f"Row {row.name}")
        async with open_rig(Build.this(self._root), self._directory, self._reporter) as rig:
            self._rigs.append(rig)
            others = await asyncio.to_thread(Others.since_now)
            finding = await row.measure(rig, self._pace)
            return replace(finding, others=await asyncio.to_thread(others.share))

    def _show(self, findings: Sequence[Finding]) -> None:
        table = Table("what", "measured", "bar", "holds")
        for finding in findings:
            for cells in as_rows(finding.lines):
                table.add_row(*cells)
        self._reporter.console.print(table)

    def _kill(self) -> None:
        for rig in self._rigs:
            rig.kill()

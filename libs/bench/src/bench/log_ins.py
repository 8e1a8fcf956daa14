"""Log-ins beside bare argon2-cffi, and the delay of the event loop while 50 clients log in."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from time import monotonic
from urllib.parse import urljoin

import httpx

from bench.identity_sides import PASSWORD
from bench.machine import cpu_seconds, python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Side, ratio, take_turns
from bench.shop import start_database
from bench.tokens import identity_side
from bench.watched_api import delay_between, delays_in
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.program import Program

LOG_INS = "log-ins"
ARGON2 = "bare argon2-cffi with the same threads"
_BAR = 0.7
_DELAY_BAR = 20
_SHARE = 0.99
_CLIENTS = 50
_AT_ONCE = 8
_PAUSE_SECONDS = 0.5
_METHOD = f"""\
{_CLIENTS} clients log in to accounts of their own, one log-in after the other, directly at the
users process, which hashes with its default parameters and threads (cores - 1). They are more than
its queue of passwords has room for: one that gets 503 waits {_PAUSE_SECONDS:g} s, and is not
counted.
The peer verifies the same kind of hash in a process of its own, with as many threads and nothing
else. The delay of the event loop is sampled 200 times a second in the users process, with a
resolution of 1 ms."""


@dataclass(slots=True, kw_only=True)
class _Door:
    """Where clients log in.

    Attributes:
        client: of the users process.
        process: that process.
        emails: the accounts, one for each client.
        delays: the p99 of the event loop's delay in each turn, in ms.
        refused: how many log-ins got 503.
    """

    client: httpx.AsyncClient
    process: Program
    emails: Sequence[str]
    delays: list[float] = field(default_factory=list)
    refused: int = 0

    async def run(self, seconds: float) -> Sample:
        """Log in for so many seconds."""
        before, cpu, began = await self._read_delays(), cpu_seconds(self.process), monotonic()
        counts = await asyncio.gather(*(self._visit(one, began + seconds) for one in self.emails))
        taken, cpu = monotonic() - began, cpu_seconds(self.process) - cpu
        self.delays.append(delay_between(before, await self._read_delays(), _SHARE))
        return Sample(operations=sum(counts), seconds=taken, cpu=cpu)

    async def register(self) -> None:
        """Create the accounts."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def add(email: str) -> None:
            body = {"email": email, "password": PASSWORD, "full_name": "Ada Lovelace"}
            async with room:
                answer = await self.client.post("/api/v1/users", json=body)
            answer.raise_for_status()

        await asyncio.gather(*map(add, self.emails))

    async def _visit(self, email: str, end: float) -> int:
        done = 0
        while monotonic() < end:
            body = {"email": email, "password": PASSWORD}
            answer = await self.client.post("/api/v1/auth/login", json=body)
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                self.refused += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            elif answer.status_code == HTTPStatus.OK:
                done += 1
            else:
                message = f"A log-in got {answer.status_code}: {answer.text}. See the log of users."
                raise SlipwayError(message)
        return done

    async def _read_delays(self) -> dict[float, float]:
        metrics = urljoin(str(self.process.spec.ready_url), "/metrics")
        return delays_in((await self.client.get(metrics)).raise_for_status().text)


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    return await compare(rig, pace, clients=_CLIENTS)


async def compare(rig: Rig, pace: Pace, *, clients: int) -> Finding:
    """Measure both sides in turns."""
    process = await _start_users(rig)
    limits = httpx.Limits(max_connections=2 * clients)
    async with httpx.AsyncClient(
        base_url=process.spec.address, trust_env=False, timeout=30, limits=limits
    ) as client:
        emails = [f"user-{number}@example.com" for number in range(clients)]
        door = _Door(client=client, process=process, emails=emails)
        with rig.reporter.step(f"{clients} accounts"):
            await door.register()
        sides: dict[str, Side] = {LOG_INS: door.run, ARGON2: partial(identity_side, "argon2")}
        samples = await take_turns(sides, pace, rig.reporter.say)
    delays = door.delays[-pace.sweeps :]  # not the warm-up
    return Finding(
        title="Log-ins",
        lines=[
            Line(
                what="log-ins",
                measured=ratio(samples[LOG_INS], samples[ARGON2]),
                unit=ARGON2,
                bar=_BAR,
            ),
            Line(
                what=f"delay of the event loop while {clients} clients log in, p99",
                measured=Ratio.of(delays),
                unit="ms",
                bar=_DELAY_BAR,
                plain=True,
                at_most=True,
            ),
        ],
        method=_METHOD,
        samples=samples,
        notes=[f"{door.refused} log-ins got 503 because the queue of passwords was full."],
        versions=python_versions("argon2-cffi", "uvicorn", "fastapi", "asyncpg"),
    )


async def _start_users(rig: Rig) -> Program:
    _, database = await start_database(rig, {})
    sink = await rig.run(rig.module("upstream", free_port()))
    spec = rig.process(
        "users", database, OTEL_EXPORTER_OTLP_ENDPOINT=sink.spec.address, SLIPWAY_LIMITS="off"
    )
    watched = (sys.executable, "-m", "bench.watched_api", "users")
    return await rig.run(replace(spec, command=watched))

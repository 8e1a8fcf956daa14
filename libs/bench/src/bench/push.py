"""From an order's commit to the push on its customer's WebSocket, beside Kafka alone."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from statistics import median
from uuid import UUID

from pydantic import BaseModel

from bench import chain, customers
from bench.arrivals import percentile
from bench.machine import python_versions, valkey_version
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, take_turns
from bench.tools import output_of
from bench.whole import Commits, Whole, open_whole
from contracts.base import Topic
from localservers.kafka_jars import VERSION as KAFKA_VERSION
from slipway.errors import SlipwayError

OURS = "from commit to push"
CALM = "from commit to push, calm"
CHAIN = "plain aiokafka producer → consumer"
_WHAT = "commit → push received on a WebSocket through the gateway"
_BARS = (("p50", 0.5, 10.0), ("p99", 0.99, 50.0))
_CALM_BARS = (("p50", 0.5, 8.0),)
_PER_SECOND = 100.0
_CALM_PER_SECOND = 20.0
_CUSTOMERS = 50
_PRODUCTS = 200
TOPIC = Topic(
    name="bench.chain",
    producer="bench",
    key="the message's number",
    partitions=6,
    retention=timedelta(days=1),
    personal_data=False,
)
_METHOD = f"""\
Gateway, orders, notifications and both workers run as one process each, with limits and a tenth of
all traces on, beside PostgreSQL (durable), Kafka and Valkey. {_CUSTOMERS} customers follow their
feed on a WebSocket through the gateway; together they place {_PER_SECOND:g} orders a second (calm:
{_CALM_PER_SECOND:g}) of two products each, in a process of their own, at times that were drawn
before (a Poisson process): no order waits for the answer to another. An order's latency is the time
from its commit, as PostgreSQL noted it (`track_commit_timestamp`; it does so before it writes the
log to the disk, so that this is counted), to the message at the client, by the same clock. An order
without a push, or with two, voids the run. The bars are for all orders of the run together; in
brackets stand the lowest and the highest round.

The plain chain sends as many messages of an order's size, at times drawn likewise, by aiokafka's
idempotent producer, `acks=all`, to a topic of {TOPIC.partitions} partitions on the same broker; a
consumer in the same process takes them and commits their offsets. Nothing is written to a database
and nothing is kept from coming twice. No program is kept on a core; the other side's processes
stand idle meanwhile."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    whole = await open_whole(rig, customers=_CUSTOMERS, products=_PRODUCTS, topics=[TOPIC])
    return await compare(rig, whole, pace)


async def compare(
    rig: Rig,
    whole: Whole,
    pace: Pace,
    *,
    per_second: float = _PER_SECOND,
    calm_per_second: float = _CALM_PER_SECOND,
) -> Finding:
    """Measure orders at both rates and the plain chain in turns."""
    seeds = count(1)
    orders = Orders(rig, whole, per_second=per_second, seeds=seeds)
    calm = Orders(rig, whole, per_second=calm_per_second, seeds=seeds)
    plain = Chain(rig, whole, per_second=per_second)
    sides = {OURS: orders.run, CALM: calm.run, CHAIN: plain.run}
    samples = await take_turns(sides, pace, rig.reporter.say)
    rounds = orders.rounds[-pace.sweeps :]  # without the warm-up
    packages = ("uvicorn", "fastapi", "sqlalchemy", "asyncpg", "aiokafka", "aiohttp", "websockets")
    return Finding(
        title="From an order to its push",
        lines=[
            *_lines(rounds, per_second, _BARS),
            *_lines(calm.rounds[-pace.sweeps :], calm_per_second, _CALM_BARS),
        ],
        method=_METHOD,
        samples=samples,
        notes=[_where(rounds), cost(rounds, per_second)],
        versions=(
            *python_versions(*packages),
            ("PostgreSQL", await whole.postgres_version()),
            ("Kafka", KAFKA_VERSION),
            ("Valkey", await valkey_version(rig.valkey())),
        ),
    )


def _lines(
    rounds: "Sequence[Round]", per_second: float, bars: Sequence[tuple[str, float, float]]
) -> list[Line]:
    return [
        Line(
            what=f"{_WHAT}, at {per_second:g} orders/s, {name}",
            measured=of_all([one.latencies for one in rounds], share),
            unit="ms",
            bar=bar,
            plain=True,
            at_most=True,
        )
        for name, share, bar in bars
    ]


class Round:
    """The orders of one round, in milliseconds.

    Args:
        commits: when each order and its notification were committed.
        received: when its push came.
        late: the longest delay between an order's due time and its sending, in seconds.
        cpu: CPU seconds of each process that took part.

    Raises:
        SlipwayError: they do not fit.
    """

    def __init__(
        self,
        commits: Mapping[UUID, Commits],
        received: Mapping[UUID, float],
        *,
        late: float,
        cpu: Mapping[str, float],
    ) -> None:
        if commits.keys() != received.keys():
            message = (
                f"{len(received)} pushes arrived, but the database has {len(commits)} orders with "
                "a notification, so the round is void. Run the row again."
            )
            raise SlipwayError(message)
        self.latencies = [(received[one] - at.placed) * 1000 for one, at in commits.items()]
        self.until_noted = [(at.noted - at.placed) * 1000 for at in commits.values()]
        self.late = late * 1000
        self.cpu = cpu
        if min(self.latencies) < 0:
            message = (
                "A push arrived before the order's commit: the row was written again later, or the "
                "clocks differ. The round is void. Run the row again."
            )
            raise SlipwayError(message)


class Orders:
    """The side with the whole system.

    Args:
        rig: where files go.
        whole: what is measured.
        per_second: orders.
        seeds: of the rounds; a seed that a system has seen places no new orders.

    Attributes:
        rounds: all that were run, the warm-up too.
    """

    def __init__(self, rig: Rig, whole: Whole, *, per_second: float, seeds: Iterator[int]) -> None:
        self.rounds: list[Round] = []
        self._rig = rig
        self._whole = whole
        self._per_second = per_second
        self._seeds = seeds

    async def run(self, seconds: float) -> Sample:
        """Place orders for this number of seconds."""
        plan = customers.Plan(
            gateway=self._whole.gateway_url,
            tokens=[one.token for one in self._whole.customers],
            products=list(self._whole.products),
            per_second=self._per_second,
            seconds=seconds,
            seed=next(self._seeds),
        )
        before = self._whole.cpu_seconds()
        found = customers.Result.model_validate_json(await _run(self._rig, "customers", plan))
        after = self._whole.cpu_seconds()
        cpu = {name: after[name] - taken for name, taken in before.items()}
        received = received_once(found)
        one = Round(
            await self._whole.commits(found.placed),
            received,
            late=found.late,
            cpu={**cpu, "the customers": found.cpu},
        )
        self.rounds.append(one)
        return Sample(
            operations=len(found.placed),
            seconds=found.seconds,
            p50=percentile(one.latencies, 0.5),
            p99=percentile(one.latencies, 0.99),
            cpu=sum(cpu[name] for name in self._whole.programs),
        )


class Chain:
    """The side with Kafka alone; takes the same arguments."""

    def __init__(self, rig: Rig, whole: Whole, *, per_second: float) -> None:
        self._rig = rig
        self._whole = whole
        self._per_second = per_second
        self._seeds = count(1)

    async def run(self, seconds: float) -> Sample:
        """Send messages for this number of seconds."""
        plan = chain.Plan(
            bootstrap_servers=self._whole.kafka.bootstrap_servers,
            topic=TOPIC.name,
            per_second=self._per_second,
            seconds=seconds,
            seed=next(self._seeds),
        )
        found = chain.Result.model_validate_json(await _run(self._rig, "chain", plan))
        latencies = [one * 1000 for one in found.latencies]
        return Sample(
            operations=len(latencies),
            seconds=seconds,
            p50=percentile(latencies, 0.5),
            p99=percentile(latencies, 0.99),
            cpu=found.cpu,
        )


def received_once(found: customers.Result) -> dict[UUID, float]:
    """Return each push's time; SlipwayError if one is missing, duplicated or of no order."""
    placed = set(found.placed)
    missing = placed - found.pushed.keys()
    doubled = [one for one, times in found.pushed.items() if len(times) > 1]
    strange = found.pushed.keys() - placed
    if missing or doubled or strange or not placed:
        message = (
            f"Of {len(placed)} orders {len(missing)} had no push and {len(doubled)} had two, and "
            f"{len(strange)} pushes were about no order of the round. It is void. Run the row "
            "again."
        )
        raise SlipwayError(message)
    return {order: times[0] for order, times in found.pushed.items()}


def of_all(rounds: Sequence[Sequence[float]], share: float) -> Ratio:
    """Return a percentile over all rounds, with the lowest and the highest round's."""
    each = [percentile(one, share) for one in rounds]
    together = [value for one in rounds for value in one]
    return Ratio(value=percentile(together, share), low=min(each), high=max(each))


def _where(rounds: Sequence[Round]) -> str:
    until_noted = [value for one in rounds for value in one.until_noted]
    latencies = [value for one in rounds for value in one.latencies]
    rest = [whole - part for whole, part in zip(latencies, until_noted, strict=True)]
    parts = [
        f"{what} {median(values):.1f} ms (p99 {percentile(values, 0.99):.1f} ms)"
        for what, values in (
            ("from the order's commit to that of its notification", until_noted),
            ("from there to the client", rest),
        )
    ]
    late = max(one.late for one in rounds)
    return (
        f"Of {len(latencies)} orders the median is {parts[0]}, and {parts[1]}. "
        f"No order was sent more than {late:.1f} ms after it was due."
    )


def cost(rounds: Sequence[Round], per_second: float) -> str:
    """Return the CPU time of each process for one order, which limits the rate of orders."""
    orders = sum(len(one.latencies) for one in rounds)
    each = {name: sum(one.cpu[name] for one in rounds) / orders * 1000 for name in rounds[0].cpu}
    parts = ", ".join(f"{name} {each[name]:.1f}" for name in sorted(each, key=lambda n: -each[n]))
    cores = len(os.sched_getaffinity(0))
    return (
        f"An order's CPU time in ms: {parts}; together {sum(each.values()):.1f}. "
        f"{cores} cores have {cores * 1000 / per_second:.1f} ms for each of {per_second:g} orders "
        "a second: what is near to that makes each wait for the one before."
    )


async def _run(rig: Rig, module: str, plan: BaseModel) -> bytes:
    """Run a module of this package on a plan, and return the result that it wrote."""
    asked = await rig.write(f"{module}-plan.json", plan.model_dump_json())
    answer = rig.state.path / f"{module}-result.json"
    await output_of(sys.executable, "-m", f"bench.{module}", asked, answer)
    return await asyncio.to_thread(answer.read_bytes)

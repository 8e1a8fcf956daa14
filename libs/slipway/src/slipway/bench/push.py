"""From an order's commit to the push on its customer's WebSocket, beside Kafka alone."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from statistics import median
from uuid import UUID

from pydantic import BaseModel

from chassis.servers.kafka_jars import VERSION as KAFKA_VERSION
from contracts.base import Topic
from slipway.bench import chain, customers
from slipway.bench.arrivals import percentile
from slipway.bench.machine import python_versions, valkey_version
from slipway.bench.results import Finding, Line
from slipway.bench.rig import Rig
from slipway.bench.rounds import Pace, Ratio, Sample, take_turns
from slipway.bench.tools import output_of
from slipway.bench.whole import Commits, Whole, open_whole
from slipway.errors import SlipwayError

OURS = "from commit to push"
CHAIN = "plain aiokafka producer → consumer"
_WHAT = "commit → push received on a WebSocket through the gateway, at 100 orders/s"
_BARS = (("p50", 0.5, 10.0), ("p99", 0.99, 50.0))
_PER_SECOND = 100.0
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
feed on a WebSocket through the gateway; together they place {_PER_SECOND:g} orders a second of two
products each, in a process of their own, at times that were drawn before (a Poisson process): no
order waits for the answer to another. An order's latency is the time from its commit, as PostgreSQL
noted it (`track_commit_timestamp`; it does so before it writes the log to the disk, so that this is
counted), to the message at the client, by the same clock. An order without a push, or with two,
voids the run. The two bars are for all orders of the run together; in brackets stand the lowest and
the highest round.

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
    rig: Rig, whole: Whole, pace: Pace, *, per_second: float = _PER_SECOND
) -> Finding:
    """Give orders and the plain chain their turns."""
    orders = Orders(rig, whole, per_second=per_second)
    plain = Chain(rig, whole, per_second=per_second)
    samples = await take_turns({OURS: orders.run, CHAIN: plain.run}, pace, rig.reporter.say)
    rounds = orders.rounds[-pace.sweeps :]  # without the warm-up
    packages = ("uvicorn", "fastapi", "sqlalchemy", "asyncpg", "aiokafka", "aiohttp", "websockets")
    return Finding(
        title="From an order to its push",
        lines=[
            Line(
                what=f"{_WHAT}, {name}",
                measured=of_all([one.latencies for one in rounds], share),
                unit="ms",
                bar=bar,
                plain=True,
                at_most=True,
            )
            for name, share, bar in _BARS
        ],
        method=_METHOD,
        samples=samples,
        notes=[_where(rounds), _cost(rounds, per_second)],
        versions=(
            *python_versions(*packages),
            ("PostgreSQL", await whole.postgres_version()),
            ("Kafka", KAFKA_VERSION),
            ("Valkey", await valkey_version(rig.valkey())),
        ),
    )


class Round:
    """The orders of one round, in milliseconds.

    Args:
        commits: when each order and its notification were committed.
        received: when its push came.
        late: the longest that an order was sent after it was due, in seconds.
        cpu: seconds that each took who had a part in it.

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
                f"{len(received)} pushes came, and the database knows of {len(commits)} orders "
                "with a notification: void"
            )
            raise SlipwayError(message)
        self.latencies = [(received[one] - at.placed) * 1000 for one, at in commits.items()]
        self.until_noted = [(at.noted - at.placed) * 1000 for at in commits.values()]
        self.late = late * 1000
        self.cpu = cpu
        if min(self.latencies) < 0:
            message = (
                "a push came before the order's commit: the row was written again since, or the "
                "clocks differ: void"
            )
            raise SlipwayError(message)


class Orders:
    """The side with everything.

    Args:
        rig: where files go.
        whole: what is measured.
        per_second: orders.

    Attributes:
        rounds: all that were run, the warm-up too.
    """

    def __init__(self, rig: Rig, whole: Whole, *, per_second: float) -> None:
        self.rounds: list[Round] = []
        self._rig = rig
        self._whole = whole
        self._per_second = per_second
        self._seeds = count(1)

    async def run(self, seconds: float) -> Sample:
        """Place orders for so many seconds."""
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
        """Send messages for so many seconds."""
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
    """When each order's push came; SlipwayError where one is missing, doubled or of no order."""
    placed = set(found.placed)
    missing = placed - found.pushed.keys()
    doubled = [one for one, times in found.pushed.items() if len(times) > 1]
    strange = found.pushed.keys() - placed
    if missing or doubled or strange or not placed:
        message = (
            f"of {len(placed)} orders {len(missing)} had no push and {len(doubled)} had two, and "
            f"{len(strange)} pushes told of no order of the round: void"
        )
        raise SlipwayError(message)
    return {order: times[0] for order, times in found.pushed.items()}


def of_all(rounds: Sequence[Sequence[float]], share: float) -> Ratio:
    """Take a percentile over all rounds together, beside the lowest and the highest round's."""
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


def _cost(rounds: Sequence[Round], per_second: float) -> str:
    """Say who takes how much of the machine: beyond that no order could be any faster."""
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
    """Run a module of this package on a plan, and give the result that it wrote."""
    asked = await rig.write(f"{module}-plan.json", plan.model_dump_json())
    answer = rig.state.path / f"{module}-result.json"
    await output_of(sys.executable, "-m", f"slipway.bench.{module}", asked, answer)
    return await asyncio.to_thread(answer.read_bytes)

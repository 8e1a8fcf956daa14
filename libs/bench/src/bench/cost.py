"""The CPU time of an order, from its request to the push, beside that of an earlier build."""

from collections.abc import Sequence
from itertools import count

from bench import builds
from bench.machine import python_versions
from bench.push import Orders, Round, cost
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, take_turns
from bench.whole import Whole, open_whole

TOOLS = ("git", "make")
OURS = "this build"
BEFORE = "the build before"
_PER_SECOND = 50.0
_CUSTOMERS = 50
_PRODUCTS = 200
_BARS = (("CPU time of the orders process for an order", ("orders",), 1.0),)
_WHOLE_BAR = ("CPU time of all our processes for an order, from request to push", 1.0)
_METHOD = f"""\
Each build is a whole system with servers of its own, started from its own tree and packages; the
earlier one is commit `{builds.BEFORE[:12]}`, and the bar is that an order has become no dearer.
{_CUSTOMERS} customers place {_PER_SECOND:g} orders a
second at times that were drawn before, and follow their feed on a WebSocket, as in the row above.
While one build has its turn, the other is idle. CPU time is that of each process, as the kernel
counts it; it does not contain PostgreSQL, Kafka and the customers."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    before = await builds.earlier(
        builds.BEFORE, root=rig.root, directory=rig.state.path, reporter=rig.reporter
    )
    other = await rig.beside(before)
    ours = await open_whole(rig, customers=_CUSTOMERS, products=_PRODUCTS)
    theirs = await open_whole(other, customers=_CUSTOMERS, products=_PRODUCTS)
    return await compare((rig, ours), (other, theirs), pace)


async def compare(
    ours: tuple[Rig, Whole],
    theirs: tuple[Rig, Whole],
    pace: Pace,
    *,
    per_second: float = _PER_SECOND,
    seeds: tuple[int, int] = (1, 1),
) -> Finding:
    """Measure two builds in turns.

    Args:
        ours: this build.
        theirs: the build before.
        pace: of the turns.
        per_second: the orders a second.
        seeds: each side's first seed. They differ only if both sides are one system.
    """
    new, old = (
        Orders(rig, whole, per_second=per_second, seeds=count(seed))
        for (rig, whole), seed in zip((ours, theirs), seeds, strict=True)
    )
    rig, whole = ours
    samples = await take_turns({OURS: new.run, BEFORE: old.run}, pace, rig.reporter.say)
    rounds, before = new.rounds[-pace.sweeps :], old.rounds[-pace.sweeps :]  # not the warm-up
    bars = (*_BARS, (_WHOLE_BAR[0], tuple(whole.programs), _WHOLE_BAR[1]))
    return Finding(
        title="The CPU time of an order",
        lines=[
            Line(
                what=what,
                measured=cpu_ratio(rounds, before, names),
                unit=BEFORE,
                bar=bar,
                at_most=True,
            )
            for what, names, bar in bars
        ],
        method=_METHOD,
        samples=samples,
        notes=[
            f"{name}: {cost(taken, per_second)}"
            for name, taken in (("This build", rounds), ("The build before", before))
        ],
        versions=python_versions("uvicorn", "fastapi", "sqlalchemy", "asyncpg", "aiokafka"),
    )


def cpu_ratio(ours: Sequence[Round], theirs: Sequence[Round], names: Sequence[str]) -> Ratio:
    """Return how the CPU times of an order in these processes compare, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return Ratio.of([_each(one, names) / _each(other, names) for one, other in pairs])


def _each(one: Round, names: Sequence[str]) -> float:
    return sum(one.cpu[name] for name in names) / len(one.latencies)

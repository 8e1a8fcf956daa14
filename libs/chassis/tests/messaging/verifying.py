"""Verifies the tests' service: reads its facts as its own process would, and judges them."""

import asyncio

from chassis.verification.declared import Aggregate, Effect, Rows, Verification
from chassis.verification.judging import Judge
from chassis.verification.pace import Pace
from chassis.verification.reading import FactReader
from chassis.verification.sorting import SortedFacts
from chassis.verification.topics import topic_reader

from .counting import SERVICE, CounterRaised, CounterSnapshot

COUNTERS = Aggregate(
    name="counter",
    events=[CounterRaised, CounterSnapshot],
    rows=[
        Rows(
            sql="SELECT name AS position, name AS key, name AS subject, value AS version,"
            " now() AS created_at, now() AS changed_at"
            " FROM counters WHERE name > $1 ORDER BY name LIMIT $2",
            start="",
        )
    ],
)
EFFECTS = Effect(
    name="effect",
    of=[CounterRaised],
    key=lambda event: event.counter,
    rows=Rows(
        sql="SELECT place AS position, counter AS key, event_id, now() AS at"
        " FROM effects WHERE place > $1 ORDER BY place LIMIT $2",
        start=0,
    ),
)
DECLARED = Verification(aggregates=[COUNTERS], effects=[EFFECTS])


async def facts_of(service, *, declared=DECLARED, rate=1_000_000, page=2):
    """Return the facts of the tests' service; pages are small, so that they have borders."""
    pace = Pace(rate)
    async with topic_reader(service.kafka, service=SERVICE, pace=pace) as topics:
        reader = FactReader(
            service=SERVICE,
            declared=declared,
            database=service.database,
            topics=topics,
            pace=pace,
            page=page,
        )
        return [fact async for fact in reader.facts()]


async def judged(facts, *, in_memory=3):
    """Return what differs, as pairs of member and difference, and the judge."""
    return await asyncio.to_thread(_judged, facts, in_memory)


def _judged(facts, in_memory):
    judge = Judge()
    with SortedFacts(in_memory=in_memory) as ordered:
        for fact in facts:
            ordered.add(fact)
        found = [
            (finding.member, finding.difference)
            for finding in judge.findings(same for _, same in ordered.by_key())
        ]
    return found, judge


async def verified(service, **options):
    """Return what differs in the tests' service."""
    return (await judged(await facts_of(service, **options)))[0]

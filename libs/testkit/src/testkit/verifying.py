"""Verifies the rows and the outbox of a service under test, without Kafka and a relay."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from chassis.database.database import Database
from chassis.service import Service
from chassis.verification.facts import Fact
from chassis.verification.judging import Judge
from chassis.verification.pace import Pace
from chassis.verification.reading import FactReader
from chassis.verification.sorting import SortedFacts


class _NoTopics:
    """Topics without a message."""

    async def starts(self, topic: str) -> dict[Any, int]:
        del topic
        return {}

    ends = committed = starts

    async def read(
        self, begins: Mapping[Any, int], ends: Mapping[Any, int]
    ) -> AsyncIterator[Sequence[Any]]:
        for place in begins.keys() & ends.keys():
            yield [place]


async def differences(service: Service[Any], database: Database) -> list[tuple[str, str]]:
    """Return what differs in a service whose events are all in its outbox: subject and kind."""
    reader = FactReader(
        service=service.name,
        declared=service.verification,
        database=database,
        topics=_NoTopics(),
        pace=Pace(1_000_000),
        page=2,
    )
    facts = [fact async for fact in reader.facts()]
    return await asyncio.to_thread(_judged, facts)


def _judged(facts: Sequence[Fact]) -> list[tuple[str, str]]:
    with SortedFacts() as ordered:
        for fact in facts:
            ordered.add(fact)
        found = Judge().findings(same for _, same in ordered.by_key())
        return [(finding.member, finding.difference.value) for finding in found]

"""Verifies both services as an operator would, beside the checker, which knows every commit."""

import asyncio

from pydantic import SecretStr

from chassis.settings import Environment
from chassis.verification.declared import Aggregate, Effect, Rows, Verification
from chassis.verification.judging import Finding, Judge
from chassis.verification.sorting import SortedFacts
from chassis.verification.writing import FactsSettings, fact_reader

from .services import LEDGER, TALLY, AccountChanged, AccountDoomed, ChangeSeen

_CHANGES = (AccountChanged, AccountDoomed)
_RATE = 1_000_000
DECLARED = {
    LEDGER: Verification(
        aggregates=[
            Aggregate(
                name="account",
                events=_CHANGES,
                rows=[
                    Rows(
                        sql="SELECT name AS position, name AS key, name AS subject, version,"
                        " now() AS created_at, now() AS changed_at"
                        " FROM accounts WHERE name > $1 ORDER BY name LIMIT $2",
                        start="",
                    )
                ],
            )
        ]
    ),
    TALLY: Verification(
        aggregates=[
            Aggregate(
                name="receipt",
                events=[ChangeSeen],
                rows=[
                    Rows(
                        sql="SELECT aggregate AS position, aggregate AS key, aggregate AS subject,"
                        " max(version) AS version, now() AS created_at, now() AS changed_at"
                        " FROM effects WHERE aggregate > $1 GROUP BY 1 ORDER BY 1 LIMIT $2",
                        start="",
                    )
                ],
            )
        ],
        effects=[
            Effect(
                name="effect",
                of=_CHANGES,
                key=lambda event: event.aggregate,
                rows=Rows(
                    sql="SELECT place AS position, aggregate AS key, event_id::text AS event_id,"
                    " now() AS at FROM effects WHERE place > $1 ORDER BY place LIMIT $2",
                    start=0,
                ),
            )
        ],
    ),
}


async def verified(reader) -> list[Finding]:
    """Return what differs in the two services; `reader` knows where they are."""
    facts = []
    for service, url in ((LEDGER, reader.ledger), (TALLY, reader.tally)):
        settings = await asyncio.to_thread(  # settings look for files
            FactsSettings,
            environment=Environment.DEVELOPMENT,
            database_url=SecretStr(url),
            kafka_bootstrap_servers=reader.kafka,
        )
        async with fact_reader(service, DECLARED[service], settings, rate=_RATE) as opened:
            facts += [fact async for fact in opened.facts()]
    return await asyncio.to_thread(_judged, facts)


def _judged(facts) -> list[Finding]:
    judge = Judge()
    with SortedFacts() as ordered:
        for fact in facts:
            ordered.add(fact)
        found = list(judge.findings(same for _, same in ordered.by_key()))
    assert judge.counts, "nothing was verified"
    return found

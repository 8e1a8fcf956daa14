"""The times of statements and commits, as metrics."""

import contextlib

import asyncpg
import pytest
from prometheus_client import CollectorRegistry


@pytest.fixture
def counts(ledgers):
    """Return how many statements and commits were measured."""
    registry = CollectorRegistry()
    ledgers.register_metrics(registry)

    def read():
        return tuple(
            registry.get_sample_value(f"database_{kind}_seconds_count")
            for kind in ("statement", "commit")
        )

    return read


async def test_each_statement_and_the_commit_are_measured_once(ledgers, counts):
    async with ledgers.transaction() as unit:
        await unit.fetch("SELECT 1")
        await unit.execute("INSERT INTO ledgers VALUES ('a', 1)")
    assert counts() == (2, 1)


async def test_a_transaction_that_is_rolled_back_has_no_commit(ledgers, counts):
    with contextlib.suppress(asyncpg.PostgresSyntaxError):
        async with ledgers.transaction() as unit:
            await unit.fetch("SELECT 1")
            await unit.fetch("this is no statement")
    assert counts() == (1, 0)

"""Snapshots: what users publishes of each account in a replay."""

import json
from uuid import UUID

import asyncpg
import pytest

from contracts.examples import has_shape_of_example
from users.declaration import SERVICE

(ACCOUNTS,) = SERVICE.snapshots


async def test_accounts_are_published_as_they_are_in_the_order_of_their_ids(
    resources, register, db
):
    ada, grace = await register("ada@example.com"), await register("grace@example.com")
    await db.execute(
        "UPDATE users SET version = 4, is_active = false, email_verified = true WHERE id = $1",
        UUID(grace["id"]),
    )
    async with resources.database.transaction() as unit:
        first = await ACCOUNTS.page(unit, resources, None, 1)
        second = await ACCOUNTS.page(unit, resources, UUID(first[0].subject), 1)
        assert await ACCOUNTS.page(unit, resources, UUID(second[0].subject), 1) == []
    (one,), (other,) = first, second
    assert (one.subject, one.sequence) == (ada["id"], 1)
    assert (other.subject, other.sequence) == (grace["id"], 4)
    data = json.loads(other.to_json())
    assert has_shape_of_example(ACCOUNTS.name, data)
    known = (data["email"], data["is_active"], data["email_verified"])
    assert known == ("grace@example.com", False, True)


async def test_an_account_stays_as_it_is_until_its_snapshot_is_written(
    resources, register, log_in, db
):
    """Otherwise an event of a later change could precede the snapshot of an earlier state."""
    await register()
    await db.execute("SET lock_timeout = 50")
    async with resources.database.transaction() as unit:
        assert len(await ACCOUNTS.page(unit, resources, None, 10)) == 1
        with pytest.raises(asyncpg.LockNotAvailableError):
            await db.execute("UPDATE users SET version = 2")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await db.execute("DELETE FROM users")
    await log_in()

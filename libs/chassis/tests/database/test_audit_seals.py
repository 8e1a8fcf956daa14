"""Entries of the audit log are sealed once, whatever commits when, and expire with their seals."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from chassis.actor import SYSTEM
from chassis.audit import AuditLog
from chassis.audit.chain import ENTRY_COLUMNS
from chassis.database.migrations import downgrade, upgrade
from chassis.jobs.sealing import _add_seal
from testkit.waiting import until

from .audited import (
    INSERT,
    NOW,
    db,
    insert,
    intruder,
    package,
    pool,
    prune,
    seal_all,
    sealing,
    settings,
    urls,
    verify,
)

__all__ = ["db", "insert", "intruder", "package", "pool", "sealing", "settings", "urls", "verify"]


async def test_entries_are_sealed_in_small_parts_and_nothing_is_found(pool, sealing, verify, db):
    async with pool.transaction() as unit:
        for number in range(7):
            AuditLog(unit).append("x.done", actor=SYSTEM, subject=f"x:{number}")
    assert (await verify())[1].waiting == 7
    await seal_all(sealing)
    faults, page = await verify()
    assert faults == []
    assert (page.seals, page.entries, page.waiting) == (3, 7, 0)
    rows = await db.fetch("SELECT number, entry_ids FROM audit_seals ORDER BY number")
    assert [(row["number"], row["entry_ids"]) for row in rows] == [
        (1, [1, 2, 3]),
        (2, [4, 5, 6]),
        (3, [7]),
    ]


async def test_without_entries_there_is_no_seal(sealing, verify, db):
    await seal_all(sealing)
    faults, page = await verify()
    assert (faults, page.seals, page.end, page.waiting) == ([], 0, None, 0)
    assert await db.fetchval("SELECT count(*) FROM audit_seals") == 0


async def test_between_its_insertion_and_its_commit_a_later_entry_is_sealed(
    urls, sealing, verify, insert
):
    """An entry gets its id long before its transaction commits; it is sealed nevertheless."""
    async with urls.connected() as slow:
        transaction = slow.transaction()
        await transaction.start()
        late = await slow.fetchval(INSERT, NOW, "late")
        [early] = await insert("early")
        assert late < early
        await seal_all(sealing)
        assert (await verify())[1].entries == 1
        await transaction.commit()
    faults, page = await verify()
    assert (faults, page.waiting) == ([], 1)
    await seal_all(sealing)
    faults, page = await verify()
    assert (faults, page.entries, page.waiting) == ([], 2, 0)


async def test_an_entry_that_is_rolled_back_does_not_wait(urls, sealing, verify):
    async with urls.connected() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetchval(INSERT, NOW, "x")
        await transaction.rollback()
    await seal_all(sealing)
    assert (await verify())[1].waiting == 0


async def test_between_the_seal_and_the_commit_the_worker_dies(pool, sealing, verify, insert):
    await insert("x", "y")
    with suppress(LookupError):
        async with pool.transaction() as unit:
            entries = await unit.fetch(f"SELECT {ENTRY_COLUMNS} FROM audit_log ORDER BY id")
            await _add_seal(unit, entries)
            raise LookupError
    faults, page = await verify()
    assert (faults, page.seals, page.waiting) == ([], 0, 2)
    await seal_all(sealing)
    assert (await verify())[1].entries == 2


async def test_between_two_workers_reads_of_the_last_seal_none_is_continued_twice(
    sealing, verify, insert
):
    await insert(*map(str, range(30)))
    await asyncio.gather(*(seal_all(sealing) for _ in range(4)))
    faults, page = await verify()
    assert (faults, page.entries, page.waiting) == ([], 30, 0)


async def test_a_new_seal_is_logged_so_that_the_chain_is_known_elsewhere(
    sealing, insert, logs, verify
):
    await insert("x")
    await seal_all(sealing)
    [line] = [line for line in logs if line["event"] == "audit sealed"]
    assert line["seal"] == str((await verify())[1].end)
    assert line["entries"] == 1


async def test_seals_are_append_only_for_the_service_and_for_its_owner(sealing, insert, urls, db):
    await insert("a")
    await seal_all(sealing)
    async with urls.connected(as_owner=True) as owner:
        for connection in (db, owner):
            for change in ("UPDATE audit_seals SET number = 5", "DELETE FROM audit_seals"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                    await connection.execute(change)


async def test_expired_entries_go_with_their_seals_and_the_rest_is_verified(
    pool, sealing, verify, insert, db
):
    await insert(*"abcdef", age=timedelta(days=400))
    await insert("g", age=timedelta(days=400))
    await insert("h", "i", "j", age=timedelta(days=364))
    await seal_all(sealing)  # g shares its seal with h and i
    assert await prune(pool) == 6
    assert await prune(pool) == 0
    kept = await db.fetch("SELECT subject FROM audit_log ORDER BY id")
    assert [row["subject"] for row in kept] == ["g", "h", "i", "j"]
    seals = await db.fetch("SELECT number FROM audit_seals ORDER BY number")
    assert [row["number"] for row in seals] == [2, 3, 4], "2 shows where the chain continues"
    faults, page = await verify()
    assert (faults, page.entries) == ([], 4)
    await insert("k")
    await seal_all(sealing)
    assert (await verify())[0] == []


async def test_when_all_has_expired_the_chain_still_continues(pool, sealing, verify, insert, db):
    await insert(*"abcdef", age=timedelta(days=400))
    await seal_all(sealing)
    assert await prune(pool) == 6
    await insert("g")
    await seal_all(sealing)
    seals = await db.fetch("SELECT number FROM audit_seals ORDER BY number")
    assert [row["number"] for row in seals] == [2, 3]
    assert (await verify())[0] == []


async def test_expired_entries_are_deleted_a_part_at_a_time(pool, sealing, insert, db):
    await insert(*map(str, range(12)), age=timedelta(days=400))
    await seal_all(sealing)
    assert [await prune(pool, limit=4) for _ in range(4)] == [6, 6, 0, 0]
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_what_is_not_sealed_is_not_deleted(pool, sealing, insert, db):
    await insert("a", age=timedelta(days=400))
    assert await prune(pool) == 0
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 1
    await seal_all(sealing)
    assert await prune(pool) == 1


async def test_the_trigger_finds_its_table_from_any_session(urls, intruder):
    await intruder.execute("SET session_replication_role = origin")
    await intruder.execute("SET search_path = public")
    await intruder.execute(
        f"INSERT INTO {urls.service}.audit_log (actor_kind, action, subject, details)"
        " VALUES ('system', 'x.done', 'x', '{}')"
    )
    waiting = await intruder.fetchval(f"SELECT count(*) FROM {urls.service}.audit_unsealed")
    assert waiting == 1


async def test_entries_from_before_the_seals_are_sealed_too(
    package, urls, sealing, verify, insert, db
):
    """The schema of the release before is migrated while that release writes entries."""
    await insert("a", "b")
    await asyncio.to_thread(downgrade, package.directory, urls.owner_url, "chassis_0003")
    try:
        await insert("c")
    finally:
        await asyncio.to_thread(upgrade, package.directory, urls.owner_url)
    assert [row["id"] for row in await db.fetch("SELECT id FROM audit_unsealed ORDER BY id")] == [
        1,
        2,
        3,
    ]
    await seal_all(sealing)
    faults, page = await verify()
    assert (faults, page.entries, page.waiting) == ([], 3, 0)


async def test_between_two_tries_for_the_lock_the_release_before_writes_entries(
    package, urls, insert, db
):
    """A transaction writes an entry for a long time, and others must not wait for it."""
    await asyncio.to_thread(downgrade, package.directory, urls.owner_url, "chassis_0005")
    writer = await asyncpg.connect(urls.runtime_url)
    waiting = """
        SELECT count(*) FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND relation = 'audit_log'::regclass AND NOT granted
    """
    try:
        writing = writer.transaction()
        await writing.start()
        await writer.execute(INSERT, NOW, "long")
        upgrading = asyncio.create_task(
            asyncio.to_thread(upgrade, package.directory, urls.owner_url)
        )

        async def migration_waits():
            return await db.fetchval(waiting) == 1

        await until(migration_waits)
        await insert("short")  # behind a lock that is waited for, it would wait for "long"
        await writing.commit()
        await upgrading
    finally:
        await writer.close()
    assert await db.fetchval("SELECT count(*) FROM audit_unsealed") == 2

"""Whoever changes or removes sealed entries of the audit log is found out."""

from datetime import timedelta

import pytest

from chassis.audit.chain import ENTRY_COLUMNS, SealMark
from chassis.audit.verification import _COVERED, AuditVerifier
from chassis.jobs.sealing import _add_seal
from testkit.waiting import until

from .audited import (
    INSERT,
    NOW,
    YEAR,
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


CHANGES = {
    "at": "now() - interval '1 day'",
    "actor_kind": "'user'",
    "actor_id": "gen_random_uuid()",
    "session_id": "gen_random_uuid()",
    "api_key_id": "gen_random_uuid()",
    "methods": "'{pwd}'",
    "action": "'x.undone'",
    "subject": "'somebody else'",
    "details": "'{}'",
    "address": "'192.0.2.7'",
    "request_id": "'r'",
    "traceparent": "'t'",
}


@pytest.mark.parametrize("column", CHANGES)
async def test_a_changed_entry_is_named(sealing, verify, insert, intruder, column):
    ids = await insert(*"abcdefg")
    await seal_all(sealing)
    await intruder.execute(
        f"UPDATE audit_log SET {column} = {CHANGES[column]} WHERE id = $1", ids[4]
    )
    [fault] = (await verify())[0]
    assert (fault.seal, fault.entry, fault.reason) == (2, ids[4], "The entry was changed.")


async def test_all_columns_are_sealed(db):
    columns = await db.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'audit_log'"
        " AND table_schema = current_schema()"
    )
    assert {row["column_name"] for row in columns} == {"id", *CHANGES}


async def test_a_removed_entry_is_named(sealing, verify, insert, intruder):
    ids = await insert(*"abcdefg")
    await seal_all(sealing)
    await intruder.execute("DELETE FROM audit_log WHERE id = $1", ids[1])
    [fault] = (await verify())[0]
    assert (fault.seal, fault.entry, fault.reason) == (1, ids[1], "The entry was removed.")


@pytest.mark.parametrize(
    "change",
    [
        "sealed_at = now() - interval '1 h'",
        "newest_at = now() - interval '2 years'",
        "entry_ids = entry_ids[1:2]",
        "entry_hashes = entry_hashes[1:2]",
        "previous = hash",
        "number = 20",
    ],
)
async def test_a_changed_seal_is_named(sealing, verify, insert, intruder, change):
    await insert(*"abcdefg")
    await seal_all(sealing)
    await intruder.execute(f"UPDATE audit_seals SET {change} WHERE number = 2")
    faults, _ = await verify()
    assert "The seal was changed." in {fault.reason for fault in faults}


async def test_an_entry_that_is_changed_with_its_hash_breaks_the_chain(
    pool, sealing, verify, insert, intruder
):
    """Whoever computes a seal anew changes its hash, which the next one holds."""
    ids = await insert(*"abcdefg")
    await seal_all(sealing)
    await intruder.execute("UPDATE audit_log SET subject = 'z' WHERE id = $1", ids[0])
    await _seal_anew(pool, intruder, numbers=[1])
    [fault] = (await verify())[0]
    assert fault.seal == 2
    assert "does not continue the chain" in fault.reason


async def _seal_anew(pool, intruder, *, numbers):
    """Replace seals by ones of the present entries, as an intruder with our code could."""
    rows = await intruder.fetch("SELECT * FROM audit_seals ORDER BY number")
    await intruder.execute("DELETE FROM audit_seals")
    for row in rows:
        if row["number"] in numbers:
            async with pool.transaction() as unit:
                entries = await unit.fetch(
                    f"SELECT {ENTRY_COLUMNS} FROM audit_log WHERE id = ANY($1) ORDER BY id",
                    row["entry_ids"],
                )
                await _add_seal(unit, entries)
        else:
            await intruder.execute(
                "INSERT INTO audit_seals VALUES ($1, $2, $3, $4, $5, $6, $7)", *row
            )


async def test_a_chain_that_is_made_anew_differs_from_a_seal_that_was_noted(
    pool, sealing, verify, insert, intruder
):
    ids = await insert(*"abcdefg")
    await seal_all(sealing)
    _, noted = await verify()
    await insert("h")
    await seal_all(sealing)
    assert (await verify(known=noted.end))[0] == [], "the chain has only grown"
    await intruder.execute("UPDATE audit_log SET subject = 'z' WHERE id = $1", ids[0])
    await _seal_anew(pool, intruder, numbers=[1, 2, 3, 4])
    assert (await verify())[0] == [], "the chain alone can't show it"
    [fault] = (await verify(known=noted.end))[0]
    assert "was made anew" in fault.reason


@pytest.mark.parametrize(
    ("removed", "reason"),
    [
        ("number = 1", "The seals 1 to 1 were removed."),
        ("number IN (1, 2)", "The seals 1 to 2 were removed."),
        ("number = 2", "The seals 2 to 2 were removed."),
        ("number = 3", "neither sealed nor waiting"),
        ("true", "neither sealed nor waiting"),
    ],
)
async def test_removed_seals_are_found(sealing, verify, insert, intruder, removed, reason):
    await insert(*"abcdefg")
    await seal_all(sealing)
    await intruder.execute(f"DELETE FROM audit_seals WHERE {removed}")
    assert any(reason in fault.reason for fault in (await verify())[0])


async def test_the_newest_seals_that_are_removed_with_their_entries_are_missed_by_who_noted_them(
    sealing, verify, insert, intruder
):
    await insert(*"abcdefg")
    await seal_all(sealing)
    _, noted = await verify()
    await intruder.execute("DELETE FROM audit_log WHERE id = 7")
    await intruder.execute("DELETE FROM audit_seals WHERE number = 3")
    assert (await verify())[0] == [], "the chain alone can't show it"
    [fault] = (await verify(known=noted.end))[0]
    assert fault.seal == 3
    assert "is not in the chain" in fault.reason


async def test_an_entry_that_avoided_the_queue_is_named(sealing, verify, insert, intruder, db):
    await insert("a")
    await seal_all(sealing)
    await intruder.execute(
        "INSERT INTO audit_log (actor_kind, action, subject, details)"
        " VALUES ('system', 'x.done', 'forged', '{}')"
    )
    [hidden] = await insert("hidden")
    await db.execute("DELETE FROM audit_unsealed WHERE id = $1", hidden)
    found = [(fault.seal, fault.entry) for fault in (await verify())[0]]
    assert found == [(None, hidden - 1), (None, hidden)]


async def test_entries_are_looked_up_in_the_seals_page_by_page(pool, sealing, insert, intruder):
    """In one statement for all entries, a large log would exceed the time of a transaction."""
    await insert(*"abcd")
    await seal_all(sealing)
    await insert("e")
    for subject in "fg":
        await intruder.execute(INSERT, NOW, subject)
    verifier, compared, places, found = AuditVerifier(entries=3), None, [], []
    more, after = True, None
    while more:
        async with pool.transaction() as unit:
            page = await verifier.verify_page(unit, after=after, compared=compared)
        after, compared, more = page.end, page.compared, page.more
        places.append(compared)
        found += [fault.entry for fault in page.faults]
    assert places == [None, 3, 6, 7]
    assert found == [6, 7]


async def test_the_seal_of_an_entry_is_found_by_an_index(intruder):
    await intruder.execute(
        "INSERT INTO audit_seals SELECT n, now(), now(), ARRAY[2 * n, 2 * n + 1], '{}', '', ''"
        " FROM generate_series(1, 100000) AS n"
    )
    await intruder.execute("VACUUM ANALYZE audit_seals")
    plan = await intruder.fetch(f"EXPLAIN {_COVERED.replace('$1', '0').replace('$2', '1000')}")
    assert any("ix_audit_seals_entry_ids" in row[0] for row in plan), plan


async def test_more_than_what_has_expired_was_removed(pool, sealing, verify, insert, intruder):
    """The start of a chain is known: only expired seals may be missing before it."""
    await insert(*"abc", age=timedelta(days=400))
    await insert(*"defghi", age=timedelta(days=10))
    await seal_all(sealing)
    await prune(pool)
    await intruder.execute("DELETE FROM audit_log WHERE id <= 6")
    await intruder.execute("DELETE FROM audit_seals WHERE number <= 2")
    [fault] = (await verify())[0]
    assert fault.reason == "The seals 1 to 2 were removed."


async def test_between_two_pages_expired_seals_are_deleted(pool, sealing, insert):
    await insert(*"abcdef", age=timedelta(days=400))
    await insert(*"ghi")
    await seal_all(sealing)
    verifier = AuditVerifier(entries=3)
    async with pool.transaction() as unit:
        first = await verifier.verify_page(unit)
    assert (first.seals, first.more, first.waiting) == (1, True, None)
    await prune(pool)
    async with pool.transaction() as unit:
        second = await verifier.verify_page(unit, after=first.end)
    assert (list(second.faults), second.more) == ([], True)
    async with pool.transaction() as unit:
        third = await verifier.verify_page(unit, after=second.end)
    assert (list(third.faults), third.compared, third.more) == ([], 9, True)
    async with pool.transaction() as unit:
        last = await verifier.verify_page(unit, after=third.end, compared=third.compared)
    assert (list(last.faults), last.more, last.waiting) == ([], False, 0)


async def test_between_the_begin_of_a_page_and_its_entries_they_expire_and_are_deleted(
    pool, sealing, insert, db
):
    await insert("a", age=YEAR - timedelta(seconds=1))
    await seal_all(sealing)
    async with pool.transaction() as unit:
        await unit.fetch("SELECT FROM audit_log WHERE at > now() - $1::interval", YEAR)

        async def expired():
            return await db.fetchval("SELECT at < now() - $1::interval FROM audit_log", YEAR)

        await until(expired)
        assert await prune(pool) == 1
        page = await AuditVerifier().verify_page(unit)
    assert (list(page.faults), page.seals, page.entries) == ([], 1, 0)


async def test_a_page_has_at_least_one_seal(sealing, verify, insert):
    await insert(*map(str, range(10)))
    await seal_all(sealing)
    faults, page = await verify(entries=1)
    assert (faults, page.end.number, page.compared, page.waiting) == ([], 4, 10, 0)


def test_a_mark_is_read_as_it_is_written():
    mark = SealMark(number=12, hash=bytes(range(32)))
    assert SealMark.parse(str(mark)) == mark
    for text in ("", "x:00", "1:xyz"):
        with pytest.raises(ValueError, match=r".+"):
            SealMark.parse(text)

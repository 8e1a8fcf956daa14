"""Changes of roles are recorded with who made them and from where; a record can't be changed."""

import json
from contextlib import suppress

import asyncpg
import pytest

from chassis.actor import SYSTEM
from chassis.audit import AuditLog
from chassis.database import new_id

from .test_accounts import USERS

ENTRIES = "SELECT * FROM audit_log ORDER BY id"


@pytest.fixture
def admin():
    return new_id()


@pytest.fixture
def writer(tokens, admin):
    return tokens.headers(subject=admin, scopes=["users:write"])


async def test_a_change_of_roles_is_on_record_with_its_actor(client, register, writer, admin, db):
    user = await register()
    sent = {**writer, "X-Real-IP": "192.0.2.7", "X-Request-ID": "r-1"}
    await client.patch(f"{USERS}/{user['id']}", json={"roles": ["support"]}, headers=sent)
    [entry] = await db.fetch(ENTRIES)
    assert (entry["actor_kind"], entry["actor_id"]) == ("user", admin)
    assert entry["session_id"] is not None
    assert entry["methods"] == ["pwd"]
    assert (entry["action"], entry["subject"]) == ("user.roles_changed", f"user:{user['id']}")
    assert json.loads(entry["details"]) == {"before": ["customer"], "after": ["support"]}
    assert (entry["address"], entry["request_id"]) == ("192.0.2.7", "r-1")


async def test_what_was_refused_or_changed_nothing_is_not_on_record(client, register, writer, db):
    user = await register()
    for roles in (["customer"], ["root"]):
        await client.patch(f"{USERS}/{user['id']}", json={"roles": roles}, headers=writer)
    assert await db.fetch(ENTRIES) == []


async def test_all_entries_of_a_transaction_are_on_record_and_none_if_it_is_rolled_back(
    api_resources, db
):
    async with api_resources.database.transaction() as unit:
        audit = AuditLog(unit)
        for number in range(2):
            audit.append("x.done", actor=SYSTEM, subject=f"x:{number}", details={"n": number})
    with suppress(LookupError):
        async with api_resources.database.transaction() as unit:
            AuditLog(unit).append("x.done", actor=SYSTEM, subject="x:2")
            raise LookupError
    entries = await db.fetch(ENTRIES)
    assert {entry["subject"]: json.loads(entry["details"]) for entry in entries} == {
        "x:0": {"n": 0},
        "x:1": {"n": 1},
    }


@pytest.mark.parametrize(
    "change", ["UPDATE audit_log SET subject = 'user:nobody'", "DELETE FROM audit_log"]
)
async def test_the_record_cannot_be_changed_by_the_service_nor_by_its_owner(
    client, register, writer, db, database, change
):
    user = await register()
    await client.patch(f"{USERS}/{user['id']}", json={"roles": ["support"]}, headers=writer)
    owner = await asyncpg.connect(database.owner_url)
    try:
        for connection in (db, owner):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(change)
    finally:
        await owner.close()
    assert len(await db.fetch(ENTRIES)) == 1


async def test_an_old_entry_can_be_deleted(db):
    await db.execute(
        "INSERT INTO audit_log (at, actor_kind, action, subject, details)"
        " VALUES (now() - interval '31 days', 'system', 'x.done', 'x:1', '{}'),"
        " (now() - interval '29 days', 'system', 'x.done', 'x:2', '{}')"
    )
    await db.execute("DELETE FROM audit_log WHERE at < now() - interval '30 days'")
    assert [entry["subject"] for entry in await db.fetch(ENTRIES)] == ["x:2"]

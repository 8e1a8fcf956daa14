"""Administrators read the audit log: filters, pages, one statement, and an index for each list."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from chassis.audit.reading import EntryFilter, EntryPosition
from chassis.database import new_id
from chassis.paging import PageRequest
from testkit.plans import generic_plan
from testkit.statements import statements_in_transaction
from users.audit.wiring import audit_reader

AUDIT = "/api/v1/audit"
USERS = "/api/v1/users"
INSERT = """
    INSERT INTO audit_log (at, actor_kind, actor_id, action, subject, details)
    VALUES ($1, $2, $3, $4, $5, '{}') RETURNING id
"""
ADA, BOB = UUID(int=1), UUID(int=2)
PAGE = PageRequest[EntryPosition](limit=20)


@pytest.fixture
def auditor(tokens):
    return tokens.headers(scopes=["audit:read"])


@pytest.fixture
async def entries(db):
    """Four entries, one for each day from January 1 on; return their ids."""
    rows = [
        (1, "user", ADA, "user.roles_changed", "user:7"),
        (2, "user", BOB, "user.roles_changed", "user:8"),
        (3, "api_key", ADA, "user.deleted", "user:7"),
        (4, "system", None, "user.first_admin_registered", "user:9"),
    ]
    return [
        await db.fetchval(INSERT, datetime(2026, 1, day, tzinfo=UTC), *rest) for day, *rest in rows
    ]


async def test_a_change_can_be_read_with_who_made_it_how_and_from_where(
    client, register, tokens, auditor
):
    user, admin = await register(), new_id()
    writer = tokens.headers(subject=admin, scopes=["users:write"])
    await client.patch(
        f"{USERS}/{user['id']}",
        json={"roles": ["support"]},
        headers={**writer, "X-Real-IP": "192.0.2.7", "X-Request-ID": "r-1"},
    )

    answer = await client.get(AUDIT, headers=auditor)

    assert answer.status_code == 200, answer.text
    [entry] = answer.json()["items"]
    assert entry["actor"] == {
        "kind": "user",
        "id": str(admin),
        "session_id": entry["actor"]["session_id"],
        "api_key_id": None,
        "methods": ["pwd"],
    }
    assert UUID(entry["actor"]["session_id"]).version == 7
    assert (entry["action"], entry["subject"]) == ("user.roles_changed", f"user:{user['id']}")
    assert entry["details"] == {"before": ["customer"], "after": ["support"]}
    assert (entry["address"], entry["request_id"]) == ("192.0.2.7", "r-1")
    assert entry["traceparent"] is None or entry["traceparent"].startswith("00-")


@pytest.mark.parametrize(
    ("parameters", "days"),
    [
        ({}, [4, 3, 2, 1]),
        ({"action": "user.roles_changed"}, [2, 1]),
        ({"action": "user.roles"}, []),
        ({"subject": "user:7"}, [3, 1]),
        ({"actor": str(ADA)}, [3, 1]),
        ({"since": "2026-01-02T00:00:00Z"}, [4, 3, 2]),
        ({"before": "2026-01-02T00:00:00Z"}, [1]),
        ({"since": "2026-01-02T01:00:00+01:00", "before": "2026-01-04T00:00:00Z"}, [3, 2]),
        ({"actor": str(ADA), "action": "user.deleted", "subject": "user:7"}, [3]),
    ],
    ids=str,
)
async def test_filters(client, entries, auditor, parameters, days):
    answer = await client.get(AUDIT, params=parameters, headers=auditor)
    assert [item["id"] for item in answer.json()["items"]] == [entries[day - 1] for day in days]


@pytest.mark.parametrize(
    "parameters",
    [
        {"actor": "ada"},
        {"since": "yesterday"},
        {"before": "2026-01-02T00:00:00"},
        {"action": ""},
        {"subject": "x" * 201},
        {"action": "a\0b"},
        {"from": "2026-01-02T00:00:00Z"},
        {"cursor": "x"},
    ],
    ids=str,
)
async def test_a_wrong_filter_is_refused(client, auditor, parameters):
    answer = await client.get(AUDIT, params=parameters, headers=auditor)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["parameter"] == next(iter(parameters))


async def test_pages_lose_and_repeat_nothing_while_entries_are_added(client, db, auditor):
    """Entries of a transaction have the same time, so the id orders them."""
    same = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [await db.fetchval(INSERT, same, "user", ADA, "x.done", "x:1") for _ in range(5)]
    found, url = [], f"{AUDIT}?limit=2&action=x.done"
    while url:
        answer = await client.get(url, headers=auditor)
        found += [item["id"] for item in answer.json()["items"]]
        link = answer.links.get("next")
        url = link and link["url"]
        await db.fetchval(INSERT, datetime.now(UTC), "user", ADA, "x.done", "x:1")
    assert found == ids[::-1]


@pytest.mark.parametrize("scopes", [["users:read", "users:write"], ["ops:audit"], []])
async def test_only_who_may_read_the_audit_log_reads_it(client, tokens, scopes):
    answer = await client.get(AUDIT, headers=tokens.headers(scopes=scopes))
    assert answer.status_code == 403
    assert (await client.get(AUDIT)).status_code == 401


LISTS = {
    "all": (EntryFilter(), "ix_audit_log_at_id"),
    "of an action": (EntryFilter(action="action-3"), "ix_audit_log_action_at_id"),
    "on a subject": (EntryFilter(subject="user:77"), "ix_audit_log_subject_at_id"),
    "of an actor": (EntryFilter(actor_id=UUID(int=77)), "ix_audit_log_actor_id_at_id"),
    "in a time": (
        EntryFilter(
            since=datetime(2026, 1, 1, tzinfo=UTC), before=datetime(2026, 3, 1, tzinfo=UTC)
        ),
        "ix_audit_log_at_id",
    ),
}


@pytest.fixture
async def many(owner, database):
    """Store 100,000 entries of 100 actions, 1,000 actors and 1,000 subjects."""
    del database  # it empties the tables before
    async with owner.transaction():
        # The trigger, once for each row, would take most of the time.
        await owner.execute("ALTER TABLE audit_log DISABLE TRIGGER queue_entry")
        await owner.execute(
            "INSERT INTO audit_log (at, actor_kind, actor_id, action, subject, details)"
            " SELECT '2026-01-01'::timestamptz + n * interval '1 minute', 'user',"
            " lpad(to_hex(n % 1000), 32, '0')::uuid, 'action-' || n % 100, 'user:' || n % 1000,"
            " '{}' FROM generate_series(1, 100000) AS n"
        )
        await owner.execute("ALTER TABLE audit_log ENABLE TRIGGER queue_entry")
    await owner.execute("ANALYZE audit_log")


@pytest.mark.usefixtures("many")
async def test_a_page_of_100_000_entries_is_one_statement_from_an_index_without_a_sort(
    api_resources, db
):
    for which, (only, index) in LISTS.items():
        async with statements_in_transaction(api_resources.database) as (unit, sent):
            reader = audit_reader(api_resources, unit)
            first = await reader.page(PAGE, only=only)
            assert first.end is not None, which
            later = PageRequest[EntryPosition](limit=20, after=first.end)
            assert len((await reader.page(later, only=only)).items) > 0, which
        *lists, commit = sent
        assert (len(lists), commit) == (2, "COMMIT"), which
        for sql in lists:
            text = await generic_plan(db, sql)
            assert index in text, text
            assert "Sort" not in text, text
            assert "Seq Scan" not in text, text

"""What the chassis' tables hold of a person: stored responses, parked messages, audit entries."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from chassis.errors import Unavailable
from chassis.exports import exported_jobs, of_chassis
from chassis.exports.of_chassis import chassis_exports

RESPONSE = """
    INSERT INTO idempotency_keys (caller, endpoint, key, body_hash, status, headers, body)
    VALUES ($1, $2, $3, '', 201, '{}', $4)
"""
QUEUE = """
    INSERT INTO parked_keys (consumer, topic, key, blocking, state)
    VALUES ('notes', 'users', $1, true, 'dead') RETURNING id
"""
PARKED = """
    INSERT INTO parked_messages (parked_key_id, topic, partition, log_offset, source, id, type, key,
                                 headers, payload, attempts)
    VALUES ($1, 'users', 0, 0, '/users', $2, 'user.registered.v1', $3, '[]', $4, 0)
"""
AUDIT = """
    INSERT INTO audit_log (actor_kind, actor_id, action, subject, details, address)
    VALUES ('user', $1, $2, $3, $4, '192.0.2.7')
"""


@pytest.fixture
def read(api_resources):
    """Read one of the chassis' exports of a person, as JSON."""

    async def run(table, person):
        [export] = chassis_exports([table])
        async with api_resources.database.transaction() as unit:
            return [
                json.loads(export.shown(item).model_dump_json())
                async for item in export.read(unit, api_resources, person)
            ]

    return run


async def test_stored_responses_are_those_of_the_caller_page_after_page(read, db, person):
    other = uuid.uuid4()
    await db.executemany(
        RESPONSE,
        [(person, f"POST /{n % 3}", f"k{n}", b'{"n": %d}' % n) for n in range(250)]
        + [(other, "POST /x", "theirs", b"{}")],
    )
    found = await read("idempotency_keys", person)
    assert sorted(one["body"]["n"] for one in found) == list(range(250))
    first = found[0]
    assert (first["request"], first["idempotency_key"], first["status"]) == ("POST /0", "k0", 201)
    assert datetime.fromisoformat(first["created_at"]) <= datetime.now(UTC)


async def test_parked_messages_are_those_of_the_persons_key_and_those_that_name_the_person(
    read, db, person
):
    other = uuid.uuid4()
    queue = await db.fetchval(QUEUE, str(person))
    payloads = {
        "own": (str(person).encode(), b'{"email": "ada@example.com"}'),
        "order": (b"an-order", b'{"customer_id": "%b"}' % str(person).encode()),
        "unreadable": (str(person).encode(), b"\xff\x00"),
        "tombstone": (str(person).encode(), None),
        "theirs": (str(other).encode(), b'{"customer_id": "%b"}' % str(other).encode()),
        "nobodys": (None, b"{}"),
    }
    await db.executemany(PARKED, [(queue, name, *given) for name, given in payloads.items()])
    found = {one["id"]: one for one in await read("parked_messages", person)}
    assert found.keys() == {"own", "order", "unreadable", "tombstone"}
    assert found["own"]["data"] == {"email": "<15 characters>"}
    assert found["order"]["data"] == {"customer_id": str(person)}
    assert (found["own"]["topic"], found["own"]["type"]) == ("users", "user.registered.v1")


async def test_the_audit_log_shows_no_data_of_other_people(read, db, person):
    admin, other = uuid.uuid4(), uuid.uuid4()
    details = json.dumps({"before": ["customer"]})
    for actor, action, subject in (
        (person, "own", person),
        (admin, "of an admin", person),
        (person, "to another", other),
        (admin, "theirs", other),
    ):
        await db.execute(AUDIT, actor, action, f"user:{subject}", details)
    found = {one["action"]: one for one in await read("audit_log", person)}
    assert found.keys() == {"own", "of an admin", "to another"}
    shown = {name: (one["address"], one["details"]) for name, one in found.items()}
    assert shown == {
        "own": ("192.0.2.7", json.loads(details)),
        "of an admin": (None, json.loads(details)),
        "to another": ("192.0.2.7", None),
    }
    assert str(admin) not in json.dumps(found)


async def test_the_audit_log_is_read_page_after_page(read, db, person):
    rows = [(person, str(number), f"user:{person}", "{}") for number in range(250)]
    await db.executemany(AUDIT, rows)
    found = await read("audit_log", person)
    assert [one["action"] for one in found] == [str(number) for number in range(250)]


async def test_jobs_are_those_that_have_the_persons_id_as_a_whole_text(read, db, person):
    arguments = {
        "own": {"user_id": str(person), "note": "a secret"},
        "nested": {"of": [{"user": str(person).upper()}]},
        "longer": {"user_id": f"{person}0"},
        "theirs": {"user_id": str(uuid.uuid4())},
        "nobodys": {},
    }
    await db.executemany(
        "INSERT INTO jobs (queue, kind, arguments, priority) VALUES ('q', $1, $2, 0)",
        [(kind, json.dumps(given)) for kind, given in arguments.items()],
    )
    own, nested = await read("jobs", person)
    assert (own["kind"], own["state"], own["finished_at"]) == ("own", "waiting", None)
    assert own["arguments"] == {"user_id": str(person), "note": "<8 characters>"}
    assert nested["kind"] == "nested"


@pytest.mark.parametrize("stored", ["Ada@example.com", "ÄDA@example.com"])
async def test_jobs_are_found_by_an_address_in_any_case(api_resources, db, stored):
    await db.execute(
        "INSERT INTO jobs (queue, kind, arguments, priority) VALUES ('q', 'mail', $1, 0)",
        json.dumps({"email": stored}, ensure_ascii=False),
    )
    async with api_resources.database.transaction() as unit:
        for about in (stored, stored.lower(), stored.upper()):
            [found] = [one async for one in exported_jobs(unit, about=about)]
            assert found.kind == "mail"
        assert [one async for one in exported_jobs(unit, about=f"x{stored}")] == []


@pytest.fixture
def many(owner):
    """Store so many jobs about other people."""

    async def store(count):
        await owner.execute(
            "INSERT INTO jobs (queue, kind, arguments, priority) SELECT 'q', 'mail',"
            " json_build_object('user_id', gen_random_uuid(), 'version', n), 0"
            " FROM generate_series(1, $1::int) AS n",
            count,
        )
        await owner.execute("ANALYZE jobs")

    return store


async def test_with_more_jobs_than_the_bound_there_is_no_export_of_some_of_them(
    api_resources, person, many, db
):
    await many(11)
    await db.execute("UPDATE jobs SET arguments = $1", json.dumps({"user_id": str(person)}))
    async with api_resources.database.transaction() as unit:
        jobs = exported_jobs(unit, about=str(person), most=10)
        with pytest.raises(Unavailable, match="more than 10 jobs") as raised:
            await anext(jobs)
        assert raised.value.retry_after == 600
        assert len([one async for one in exported_jobs(unit, about=str(person), most=11)]) == 11


def rows_read(plan):
    """Return how many rows of tables a plan read, those that a filter removed among them."""
    own = 0
    if "Relation Name" in plan:
        own = plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    return own + sum(rows_read(one) for one in plan.get("Plans", ()))


@pytest.mark.parametrize(
    ("count", "bound"),
    [
        (30_000, 10_000),
        pytest.param(501_000, of_chassis._MAX_JOBS, marks=pytest.mark.slow),
    ],
)
async def test_counting_the_jobs_reads_no_more_than_the_bound_and_a_search_reads_each_once(
    many, owner, person, count, bound
):
    await many(count)
    counted = await explained(owner, of_chassis._COUNT_JOBS.replace("$1", str(bound + 1)))
    assert rows_read(counted) == bound + 1
    last = await owner.fetchval("SELECT id FROM jobs ORDER BY id OFFSET $1 LIMIT 1", bound - 1)
    await owner.execute("DELETE FROM jobs WHERE id > $1", last)
    await owner.execute("ANALYZE jobs")
    search = of_chassis._JOBS_ASCII.replace("$1", f"'\"{person}\"'")
    searched = await explained(owner, search.replace("$2", "0").replace("$3", "100"))
    assert rows_read(searched) == bound


async def explained(owner, sql):
    """Run a statement, and return its plan with the numbers of rows."""
    [[plan]] = await owner.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}")
    return json.loads(plan)[0]["Plan"]


def test_a_table_that_a_service_lacks_is_not_exported():
    assert [export.name for export in chassis_exports(["audit_log", "x"])] == ["audit_log"]
    assert chassis_exports([]) == ()

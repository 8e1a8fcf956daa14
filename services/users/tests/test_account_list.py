"""Administrators find accounts: the filters of the list, what it costs, and its indexes."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from chassis.api import create_api
from chassis.paging import PageRequest, TimePosition
from testkit.clients import client_of
from testkit.databases import ServiceDatabase
from testkit.plans import plans_of_orm
from testkit.statements import statements_of_requests
from users.accounts.models import Role
from users.accounts.repository import AccountFilter, AccountRepository

from .test_accounts import USERS

FOUR = datetime(2026, 1, 1, 4, tzinfo=UTC)
FIRST = PageRequest[TimePosition](limit=20)
LATE = PageRequest[TimePosition](
    limit=20,
    after=TimePosition.model_validate_json(
        '{"at": "2026-01-01T04:00:00Z", "id": "0193e3a2-5b00-7c44-9d55-1a2b3c4d5e6f"}'
    ),
)
PEOPLE = {
    "ada@example.com": "Ada Lovelace",
    "grace.hopper@navy.example": "Grace Hopper",
    "zoë@example.org": "Zoë Åström",
    "ada.yonath@example.net": "Ada E. Yonath",
}


@pytest.fixture
def reader(tokens):
    return tokens.headers(scopes=["users:read"])


@pytest.fixture
async def people(register, db):
    """Register the people a day apart, the first the oldest; Grace is support, Zoë inactive."""
    for day, (email, name) in enumerate(PEOPLE.items(), 1):
        user = await register(email, full_name=name)
        await db.execute(
            "UPDATE users SET created_at = '2026-01-01T00:00:00Z'::timestamptz"
            " + $2 * interval '1 day' WHERE id = $1",
            UUID(user["id"]),
            day,
        )
    await db.execute("UPDATE users SET roles = '{customer,support}' WHERE email ^@ 'grace'")
    await db.execute("UPDATE users SET is_active = false WHERE email ^@ 'zo'")


@pytest.fixture
def find(client, reader):
    """Read the list with these parameters; return the first names, in its order."""

    async def read(**params):
        answer = await client.get(USERS, params=params, headers=reader)
        assert answer.status_code == 200, answer.text
        return [user["full_name"].split()[0] for user in answer.json()["items"]]

    return read


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["Ada", "Zoë", "Grace", "Ada"]),
        ({"q": "ada"}, ["Ada", "Ada"]),
        ({"q": "LOVE"}, ["Ada"]),
        ({"q": "ada@example.com"}, ["Ada"]),
        ({"q": "ada yonath"}, ["Ada"]),
        ({"q": "hopper@"}, ["Grace"]),
        ({"q": "Zoe\u0308"}, ["Zoë"]),
        ({"q": "stro"}, []),
        ({"q": "' | & !"}, []),
        ({"q": ""}, ["Ada", "Zoë", "Grace", "Ada"]),
        ({"role": "support"}, ["Grace"]),
        ({"role": "admin"}, []),
        ({"role": "customer"}, ["Ada", "Zoë", "Grace", "Ada"]),
        ({"is_active": "false"}, ["Zoë"]),
        ({"is_active": "true"}, ["Ada", "Grace", "Ada"]),
        ({"created_after": "2026-01-03T00:00:00Z"}, ["Ada", "Zoë"]),
        ({"created_before": "2026-01-03T00:00:00+00:00"}, ["Ada"]),
        ({"created_after": "2026-01-02T00:00:00Z", "q": "ada"}, ["Ada"]),
        ({"role": "support", "is_active": "false"}, []),
    ],
)
async def test_a_filter_finds_those_that_fit_and_no_others(find, params, names):
    assert await find(**params) == names


@pytest.mark.usefixtures("people")
async def test_the_link_to_the_next_page_repeats_the_filters(client, reader):
    seen, path = [], f"{USERS}?limit=1&q=ada&is_active=true"
    while path:
        answer = await client.get(path, headers=reader)
        seen += [user["email"] for user in answer.json()["items"]]
        path = answer.links.get("next", {}).get("url")
    assert seen == ["ada.yonath@example.net", "ada@example.com"]


@pytest.mark.parametrize(
    ("params", "parameter"),
    [
        ({"role": "root"}, "role"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "2026-01-01T00:00:00"}, "created_before"),
        ({"q": "x" * 201}, "q"),
        ({"email": "ada@example.com"}, "email"),
    ],
)
async def test_a_wrong_filter_is_named(client, reader, params, parameter):
    answer = await client.get(USERS, params=params, headers=reader)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["SELECT"]),
        ("?limit=1", ["SELECT"]),
        ("?role=support", ["SELECT"]),
        # The time limit of the search lasts until the end of a transaction.
        ("?q=ada&role=customer&is_active=true", ["BEGIN", "COMMIT", "SELECT", "SELECT"]),
    ],
)
async def test_a_list_is_one_statement_and_a_search_one_more(
    declaration, settings, reader, query, expected
):
    app = create_api(declaration, settings)
    async with client_of(app) as client:
        await client.get(USERS, headers=reader)
        async with statements_of_requests(app.state.database) as sent:
            assert (await client.get(f"{USERS}{query}", headers=reader)).status_code == 200
    # The driver and SQLAlchemy report in no set order.
    assert sorted(sql.split()[0] for sql in sent) == expected


@pytest.fixture
async def large(database: ServiceDatabase, db):
    """Store 100,000 accounts, of which 100 are of support and 100 inactive."""
    del db  # it empties the tables before
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(
        "INSERT INTO users (id, email, email_key, password_hash, full_name, roles, is_active,"
        " version, created_at) SELECT gen_random_uuid(), 'user' || n || '@example.com',"
        " 'user' || n || '@example.com', 'x', 'Person ' || n,"
        " CASE n % 1000 WHEN 0 THEN ARRAY['support'] ELSE ARRAY['customer'] END,"
        " n % 1000 <> 1, 1, '2026-01-01'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, 100000) AS n"
    )
    await owner.execute("ANALYZE users")
    yield
    await owner.close()


@pytest.fixture
def plans_of(resources, db):
    """Return the plans of the statements that a call of the repository sends."""

    async def explain(run):
        async with resources.database.transaction() as unit:
            return await plans_of_orm(db, unit, lambda unit: run(AccountRepository(unit)))

    return explain


ALL = "ix_users_created_at_id"
LISTS = {
    "all": (AccountFilter(), FIRST, ALL),
    "a late page": (AccountFilter(), LATE, ALL),
    "customers": (AccountFilter(role=Role.CUSTOMER), FIRST, ALL),
    "support": (AccountFilter(role=Role.SUPPORT), FIRST, "ix_users_staff_created_at_id"),
    "admins, of whom there are none": (
        AccountFilter(role=Role.ADMIN),
        FIRST,
        "ix_users_staff_created_at_id",
    ),
    "late support": (AccountFilter(role=Role.SUPPORT), LATE, "ix_users_staff_created_at_id"),
    "active": (AccountFilter(is_active=True), FIRST, ALL),
    "inactive": (AccountFilter(is_active=False), FIRST, "ix_users_inactive_created_at_id"),
    "since": (AccountFilter(created_after=FOUR), FIRST, ALL),
    "until": (AccountFilter(created_before=FOUR), FIRST, ALL),
}


@pytest.mark.usefixtures("large")
async def test_a_list_of_100_000_accounts_reads_an_index(plans_of):
    for which, (only, wanted, index) in LISTS.items():
        [plan] = await plans_of(lambda accounts, w=wanted, o=only: accounts.page(w, only=o))
        assert index in plan, (which, plan)
        assert "Seq Scan" not in plan, (which, plan)
        assert "Sort" not in plan, (which, plan)


@pytest.mark.usefixtures("large")
async def test_a_search_of_100_000_accounts_reads_an_index_for_a_word_of_few(plans_of):
    for words in ("user777", "user777@example.com", "nobody", "777 person"):
        only = AccountFilter(text=words, is_active=True)
        search, page = await plans_of(lambda accounts, o=only: accounts.page(LATE, only=o))
        assert "ix_users_search" in search, (words, search)
        assert "Seq Scan" not in page, (words, page)


@pytest.mark.usefixtures("large")
async def test_a_search_for_a_word_of_everybody_reads_the_list_in_its_order(plans_of, resources):
    only = AccountFilter(text="person")
    _, page = await plans_of(lambda accounts: accounts.page(FIRST, only=only))
    assert ALL in page
    assert "Sort" not in page
    async with resources.database.transaction() as unit:
        found = await AccountRepository(unit).page(FIRST, only=only)
    assert [one.full_name for one in found.items] == [f"Person {100_000 - n}" for n in range(20)]


@pytest.mark.usefixtures("large")
async def test_the_administrators_of_100_000_accounts_are_found_by_an_index(plans_of):
    """Each change of a role looks for them, and so does each start of the service."""
    for run in (
        lambda accounts: accounts.has_admin(),
        lambda accounts: accounts.lock_admins(also=UUID(int=1)),
    ):
        [plan] = await plans_of(run)
        assert "ix_users_staff_created_at_id" in plan, plan
        assert "Seq Scan" not in plan, plan

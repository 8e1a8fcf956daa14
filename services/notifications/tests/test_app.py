"""The app against its own document, and the tables against their migrations."""

import asyncio

import asyncpg
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounds
from pydantic import SecretStr
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chassis.database import migrations, new_id
from chassis.testing import client_of
from notifications.app import create_app


async def test_no_request_gets_a_5xx_or_an_answer_that_is_not_documented(
    server, headers, consume, placed
):
    user = new_id()
    await consume(*(placed(user) for _ in range(3)))
    tried = await asyncio.to_thread(fuzz, server.url, headers(user))
    assert tried == {
        "GET /api/v1/notifications",
        "GET /api/v1/notifications/unread-count",
        "POST /api/v1/notifications/{notification_id}/read",
    }


def fuzz(url, headers):
    """Try each operation of the document with good and bad input; answers what was tried."""
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = set()
    for result in document.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @bounds(
            max_examples=40,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case):
            # No schema can say which texts are a cursor that this list gave.
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

        check()
        tried.add(operation.label)
    return tried


async def test_migrations_and_models_agree(service_database, service_directory):
    await asyncio.to_thread(migrations.check, service_directory, service_database.owner_url)


async def test_the_runtime_role_changes_no_tables(database):
    connection = await asyncpg.connect(database.runtime_url)
    for statement in ("CREATE TABLE x ()", "DROP TABLE notifications", "TRUNCATE feed_heads"):
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        raise AssertionError(statement)
    await connection.close()


async def test_the_database_away_is_503_as_a_problem_that_says_when_to_come_again(
    settings, headers
):
    nowhere = SecretStr("postgresql://nobody:x@127.0.0.1:1/none")
    app = create_app(settings.model_copy(update={"database_url": nowhere}))
    async with client_of(app) as client:
        answer = await client.get("/api/v1/notifications", headers=headers(new_id()))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"].endswith("/unavailable")


async def test_connections_that_the_database_dropped_are_replaced_without_an_error(
    client, headers, database
):
    user = new_id()
    assert (await client.get("/api/v1/notifications", headers=headers(user))).status_code == 200
    admin = await asyncpg.connect(database.superuser_url)
    killed = await admin.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    assert killed
    assert (await client.get("/api/v1/notifications", headers=headers(user))).status_code == 200

"""The app conforms to its own document, and the tables to their migrations."""

import asyncio

import asyncpg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounds
from pydantic import SecretStr
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chassis.api import create_api
from chassis.database import migrations, new_id
from notifications.declaration import SERVICE
from testkit.clients import client_of


@pytest.fixture
def more_settings():
    return {"webhook_keys": "k" * 32}  # without them, a valid webhook is 503


async def test_no_request_gets_a_5xx_or_an_undocumented_response(server, tokens, consume, placed):
    user = new_id()
    headers = tokens.headers(subject=user, scopes=["notifications:read", "announcements:write"])
    await consume(*(placed(user) for _ in range(3)))
    tried = await asyncio.to_thread(fuzz, server.url, headers)
    assert tried == {
        "GET /api/v1/notifications",
        "GET /api/v1/notifications/preferences",
        "GET /api/v1/notifications/unread-count",
        "GET /api/v1/notifications/unsubscribe",
        "POST /api/v1/notifications/read-all",
        "POST /api/v1/notifications/unsubscribe",
        "POST /api/v1/notifications/{notification_id}/read",
        "POST /api/v1/webhooks",
        "GET /api/v1/webhooks",
        "GET /api/v1/webhooks/{webhook_id}",
        "PATCH /api/v1/webhooks/{webhook_id}",
        "DELETE /api/v1/webhooks/{webhook_id}",
        "POST /api/v1/webhooks/{webhook_id}/secret",
        "POST /api/v1/webhooks/{webhook_id}/test",
        "GET /api/v1/webhooks/{webhook_id}/deliveries",
        "GET /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}",
        "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        "PUT /api/v1/notifications/preferences",
        "POST /api/v1/announcements",
        "GET /api/v1/announcements",
        "GET /api/v1/announcements/{announcement_id}",
        "DELETE /api/v1/announcements/{announcement_id}",
        "POST /api/v1/notifications/stream-tickets",
        "GET /exports/me",
    }


def fuzz(url, headers):
    """Send valid and invalid input to each operation of the document; return those tried."""
    document = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(
        path="/api/v1/notifications/stream"  # it has no end
    )
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
            # No schema can express which texts are a cursor that this list returned.
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


async def test_an_unavailable_database_is_503_as_a_problem_with_retry_after(settings, headers):
    nowhere = SecretStr("postgresql://nobody:x@127.0.0.1:1/none")
    app = create_api(SERVICE, settings.model_copy(update={"database_url": nowhere}))
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
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    assert killed
    assert (await client.get("/api/v1/notifications", headers=headers(user))).status_code == 200

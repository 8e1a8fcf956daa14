"""Asking for a mail reveals nothing about an account: not in the response, and not in the work.

The work is compared as the statements that a request sends, since its time follows from them. A job
does the rest, which no client waits for.
"""

import pytest

from chassis.api import create_api
from testkit.clients import client_of
from testkit.statements import statements_of_requests
from users.declaration import SERVICE

from .conftest import PASSWORD

KINDS = ("unknown", "unverified", "verified", "inactive", "deleted")
STATES = {
    "verified": "UPDATE users SET email_verified = true WHERE email LIKE 'verified@%'",
    "inactive": "UPDATE users SET is_active = false WHERE email LIKE 'inactive@%'",
    "deleted": "DELETE FROM users WHERE email LIKE 'deleted@%'",
}


@pytest.fixture
async def app(settings):
    return create_api(SERVICE, settings.model_copy(update={"mail_requests_per_email": 4}))


async def seen(client, database, path, kind):
    """Send three requests, the last beyond the limit; return what a client and the server see."""
    found = []
    for _ in range(3):
        async with statements_of_requests(database) as sent:
            answer = await client.post(path, json={"email": f"{kind}@example.com"})
        body = answer.json()
        if answer.status_code == 429:  # its text holds the seconds to wait
            body |= {"request_id": "", "detail": ""}
        headers = {name for name, _ in answer.headers.items()}
        found.append((answer.status_code, body, headers, sent))
    return found


@pytest.mark.parametrize("path", ["/api/v1/email-verifications", "/api/v1/password-resets"])
async def test_all_addresses_get_the_same_response_for_the_same_work(app, db, path):
    async with client_of(app) as client:
        for kind in KINDS[1:]:
            body = {"email": f"{kind}@example.com", "password": PASSWORD, "full_name": "X"}
            assert (await client.post("/api/v1/users", json=body)).status_code == 201
        for change in STATES.values():
            await db.execute(change)
        # For an hour, a registration counts as a request for a mail, which anyone may have sent.
        await db.execute("DELETE FROM log_in_buckets")
        database = app.state.database
        await seen(client, database, path, "warmup")  # the first request prepares statements

        known = {kind: await seen(client, database, path, kind) for kind in KINDS}

    unknown = known["unknown"]
    assert [status for status, *_ in unknown] == [202, 202, 429]
    for kind in KINDS[1:]:
        assert known[kind] == unknown, kind
    assert "INSERT INTO jobs" in str(unknown[0][-1])
    assert "FROM users" not in str(unknown[0][-1])

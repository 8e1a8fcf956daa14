"""What users declares for `slipway verify` fits what its use cases write."""

from testkit.verifying import differences
from users.declaration import SERVICE


async def test_accounts_agree_with_their_events(client, api_resources, db):
    body = {
        "email": "ada@example.com",
        "password": "correct horse battery",
        "full_name": "Ada Lovelace",
    }
    answer = await client.post("/api/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    database = api_resources.database
    assert await differences(SERVICE, database) == []
    await db.execute("DELETE FROM outbox WHERE type LIKE 'user.%'")
    assert await differences(SERVICE, database) == [(answer.json()["id"], "change without event")]

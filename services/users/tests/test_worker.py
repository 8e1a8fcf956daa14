"""The worker: what was committed reaches Kafka, in order, as CloudEvents."""

import json

from chassis.testing import client_of
from contracts.users import SESSIONS, USERS
from users.app import create_app
from users.metadata import URGENT_TOPICS
from users.worker import create_worker

REGISTRATION = {
    "email": "ada@example.com",
    "password": "correct horse battery",
    "full_name": "Ada Lovelace",
}


def test_ended_sessions_are_urgent():
    assert (SESSIONS.name,) == URGENT_TOPICS


async def test_events_reach_kafka_in_the_order_of_versions(settings, topics, tokens):
    await topics.create([USERS.name])
    kafka = {
        "kafka_bootstrap_servers": topics.bootstrap_servers,
        "kafka_topic_prefix": topics.prefix,
    }
    settings = settings.model_copy(update=kafka)
    worker = create_worker(settings)

    async with client_of(create_app(settings)) as client, worker.router.lifespan_context(worker):
        user = (await client.post("/api/v1/users", json=REGISTRATION)).json()
        writer = tokens.headers(scopes=["users:write"])
        await client.patch(
            f"/api/v1/users/{user['id']}", json={"roles": ["support"]}, headers=writer
        )
        messages = await topics.read(USERS.name, 2)

        headers = [{name: value.decode() for name, value in one.headers} for one in messages]
        assert [one["ce_type"] for one in headers] == [
            "user.registered.v1",
            "user.roles_changed.v1",
        ]
        assert [int(one["ce_sequence"]) for one in headers] == [1, 2]
        assert {one["ce_source"] for one in headers} == {"/slipway/users"}
        assert {message.key.decode() for message in messages} == {user["id"]}
        assert json.loads(messages[0].value) == {
            "version": 1,
            "user_id": user["id"],
            "email": "ada@example.com",
            "full_name": "Ada Lovelace",
            "roles": ["customer"],
        }
        assert json.loads(messages[1].value)["roles"] == ["support"]

"""The worker: committed events reach Kafka, in order, as CloudEvents."""

import json

from chassis.api import create_api
from chassis.worker import create_worker
from contracts.users import SESSIONS, USERS, USERS_PRIVATE
from testkit.clients import client_of
from users.declaration import SERVICE
from users.metadata import URGENT_TOPICS

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
    worker = create_worker(SERVICE, settings)

    async with (
        client_of(create_api(SERVICE, settings)) as client,
        worker.router.lifespan_context(worker),
    ):
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


async def test_a_worker_publishes_the_request_for_a_mail_on_the_private_topic(settings, topics):
    await topics.create([USERS.name, USERS_PRIVATE.name])
    kafka = {
        "kafka_bootstrap_servers": topics.bootstrap_servers,
        "kafka_topic_prefix": topics.prefix,
    }
    settings = settings.model_copy(update=kafka)
    worker = create_worker(SERVICE, settings)

    async with (
        client_of(create_api(SERVICE, settings)) as client,
        worker.router.lifespan_context(worker),
    ):
        user = (await client.post("/api/v1/users", json=REGISTRATION)).json()
        [verification] = await topics.read(USERS_PRIVATE.name, 1)
        await client.post("/api/v1/password-resets", json={"email": REGISTRATION["email"]})
        verification, reset = await topics.read(USERS_PRIVATE.name, 2)

        for message, confirm in (
            (verification, "/api/v1/email-verifications/confirm"),
            (reset, "/api/v1/password-resets/confirm"),
        ):
            assert message.key.decode() == user["id"]
            body = {"token": json.loads(message.value)["token"]}
            if message is reset:
                body["new_password"] = "another horse battery"
            assert (await client.post(confirm, json=body)).status_code == 204

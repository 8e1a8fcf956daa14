"""A user's own webhooks over HTTP, their secrets, and what the export and the erasure do."""

import asyncio
import base64
import json

import asyncpg
import pytest

from chassis.api import create_api
from chassis.database import new_id
from chassis.jobs import OutsideRun
from contracts.examples import example
from contracts.users import UserDeleted
from notifications.declaration import SERVICE
from notifications.deliveries.jobs import erase_deliveries, prune_deliveries
from notifications.kinds.wiring import SCOPE
from notifications.notifications.jobs import erase_user_data
from notifications.notifications.wiring import notifier, write_notifications
from notifications.recipients.models import EraseUserData
from notifications.webhooks.jobs import forget_previous_secrets
from notifications.webhooks.models import MAX_WEBHOOKS, EraseDeliveries
from notifications.webhooks.wiring import webhooks
from testkit.clients import client_of

URL = "https://example.com/hooks"
MERGE = {"content-type": "application/merge-patch+json"}


async def test_a_webhook_is_created_read_changed_and_listed(api, create):
    made = await create(URL, description="Mine", types=["order.shipped", "order.placed"])
    assert made["types"] == ["order.placed", "order.shipped"]
    kind, _, encoded = made["secret"].partition("_")
    assert (kind, len(base64.b64decode(encoded, validate=True))) == ("whsec", 32)
    answer = await api("GET", f"/{made['id']}")
    assert answer.headers["etag"] == '"1"'
    assert answer.json() == {name: made[name] for name in made if name != "secret"}
    patch = json.dumps({"description": "Ours", "types": []})
    changed = await api(
        "PATCH", f"/{made['id']}", content=patch, headers=MERGE | {"if-match": '"1"'}
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["description"], changed.json()["types"]) == ("Ours", [])
    stale = await api("PATCH", f"/{made['id']}", content=patch, headers=MERGE | {"if-match": '"1"'})
    assert stale.status_code == 412
    same = await api("PATCH", f"/{made['id']}", content=patch, headers=MERGE)
    assert same.headers["etag"] == '"2"'
    await create(f"{URL}/2")
    first = (await api("GET", "?limit=1")).json()
    second = (await api("GET", f"?limit=1&cursor={first['next_cursor']}")).json()
    assert [page["items"][0]["url"] for page in (first, second)] == [f"{URL}/2", URL]
    assert second["next_cursor"] is None


async def test_a_secret_is_shown_once_and_stored_encrypted(api, create, db):
    made = await create(URL)
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    for path in ("", f"/{made['id']}"):
        answer = await api("GET", path)
        assert "secret" not in answer.text.replace("previous_secret_until", "")
    stored = await db.fetchval("SELECT secret FROM webhooks")
    assert secret not in stored
    rotated = await api("POST", f"/{made['id']}/secret", headers={"if-match": '"1"'})
    assert (rotated.headers["cache-control"], rotated.headers["etag"]) == ("no-store", '"2"')
    assert rotated.json()["secret"] != made["secret"]
    assert await db.fetchval("SELECT previous_secret FROM webhooks") == stored


async def test_a_replaced_secret_is_erased_after_the_overlap(api, create, db, api_resources):
    made = await create(URL)
    await api("POST", f"/{made['id']}/secret")
    for expected in (0, 1):
        async with api_resources.database.transaction() as unit:
            assert await forget_previous_secrets(unit, 10) == expected
        await db.execute(
            "UPDATE webhooks SET previous_secret_until = now() WHERE previous_secret IS NOT NULL"
        )
    assert await db.fetchval("SELECT previous_secret FROM webhooks") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://me:secret@example.com/",
        "gopher://example.com/",
    ],
)
async def test_a_url_that_may_not_be_called_is_refused_with_its_reason(api, url):
    answer = await api("POST", json={"url": url})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/url"
    assert error["detail"].startswith("must ")


async def test_an_unknown_type_is_refused(api):
    answer = await api("POST", json={"url": URL, "types": ["order.placed", "order.eaten"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/types/1")


async def test_a_user_has_a_limited_number_of_webhooks(api, create):
    for number in range(MAX_WEBHOOKS):
        await create(f"{URL}/{number}")
    answer = await api("POST", json={"url": URL})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
        409,
        "too-many-webhooks",
    )


async def test_an_api_key_reads_and_changes_nothing(client, tokens, create, user):
    made = await create(URL)
    token = tokens.token(subject=user, scopes=[SCOPE], api_key_id=new_id())
    key = {"Authorization": f"Bearer {token}"}
    path = f"/api/v1/webhooks/{made['id']}"
    assert (await client.get(path, headers=key)).status_code == 200
    for method, at, given in (
        ("POST", "/api/v1/webhooks", {"json": {"url": URL}}),
        ("PATCH", path, {"content": "{}", "headers": key | MERGE}),
        ("DELETE", path, {}),
        ("POST", f"{path}/secret", {}),
    ):
        answer = await client.request(method, at, **{"headers": key} | given)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
            403,
            "log-in-required",
        )


async def test_nobody_else_sees_or_changes_a_webhook(api, create):
    made = await create(URL)
    stranger = new_id()
    assert (await api("GET", by=stranger)).json()["items"] == []
    for method, path, given in (
        ("GET", f"/{made['id']}", {}),
        ("PATCH", f"/{made['id']}", {"content": "{}", "headers": MERGE}),
        ("DELETE", f"/{made['id']}", {}),
        ("POST", f"/{made['id']}/secret", {}),
    ):
        assert (await api(method, path, by=stranger, **given)).status_code == 404


async def test_without_keys_no_webhook_is_created(settings, headers, user):
    app = create_api(SERVICE, settings.model_copy(update={"webhook_keys": None}))
    async with client_of(app) as client:
        answer = await client.post("/api/v1/webhooks", json={"url": URL}, headers=headers(user))
    assert answer.status_code == 503


async def test_an_export_has_webhooks_and_deliveries_without_secrets(
    client, headers, user, webhook, notify, dispatch
):
    await notify(2)
    await dispatch()
    exported = (await client.get("/exports/me", headers=headers(user))).json()
    assert [one["url"] for one in exported["webhooks"]] == [webhook["url"]]
    assert [one["state"] for one in exported["deliveries"]] == ["delivered"] * 2
    assert webhook["secret"] not in json.dumps(exported)


async def test_a_deleted_account_leaves_neither_webhooks_nor_deliveries(
    user, webhook, consume, notify, dispatch, receiver, db, worker_resources
):
    await notify(3)
    await consume(example(UserDeleted, user_id=user, version=9))
    await dispatch()
    assert receiver.calls == []
    assert webhook
    run = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
    await erase_user_data(EraseUserData(user_id=user), run)
    for table in ("webhooks", "deliveries"):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_deleted_account_whose_token_is_still_accepted_gets_no_webhook(
    user, api, consume, db
):
    """Its token is valid until the end of its session has arrived, and nobody erases again."""
    await consume(example(UserDeleted, user_id=user, version=9))
    answer = await api("POST", json={"url": URL})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (
        404,
        "account-deleted",
    )
    assert await db.fetchval("SELECT count(*) FROM webhooks") == 0


async def test_between_the_creation_of_a_webhook_and_its_commit_the_account_may_be_deleted(
    user, api_resources, consume, until_blocked, db
):
    async with api_resources.database.transaction() as unit:
        await webhooks(api_resources, unit).create(user, url=URL, description="", types=[])
        deleting = asyncio.create_task(consume(example(UserDeleted, user_id=user, version=9)))
        await until_blocked()
    assert await deleting == (1, None)
    assert await db.fetchval("SELECT count(*) FROM webhooks") == 0


async def test_between_the_creation_of_the_last_webhook_and_its_commit_none_is_created(
    user, api, api_resources, create, until_blocked, db
):
    for number in range(MAX_WEBHOOKS - 1):
        await create(f"{URL}/{number}")
    async with api_resources.database.transaction() as unit:
        await webhooks(api_resources, unit).create(user, url=URL, description="", types=[])
        creating = asyncio.create_task(api("POST", json={"url": URL}))
        await until_blocked()
    assert (await creating).status_code == 409
    assert await db.fetchval("SELECT count(*) FROM webhooks") == MAX_WEBHOOKS


async def test_between_the_write_of_a_delivery_and_its_commit_the_webhook_may_be_deleted(
    user, webhook, api, until_blocked, worker_resources, db
):
    """The deletion waits: otherwise its job could miss the delivery, which would stay for ever."""
    async with worker_resources.database.transaction() as unit:
        notifier(worker_resources, unit).notify(
            "order.placed", user_id=user, source_event_id="1", data={"order_id": "1"}
        )
        await write_notifications(unit, worker_resources)
        deleting = asyncio.create_task(api("DELETE", f"/{webhook['id']}"))
        await until_blocked()
    assert (await deleting).status_code == 204
    assert await db.fetchval("SELECT count(*) FROM deliveries") == 1
    run = OutsideRun(resources=worker_resources, job_id=1, attempt=1)
    await erase_deliveries(EraseDeliveries(webhook_id=webhook["id"]), run)
    assert await db.fetchval("SELECT count(*) FROM deliveries") == 0


async def test_settled_deliveries_are_deleted_after_a_month(
    webhook, notify, dispatch, db, worker_resources
):
    assert webhook
    await notify(2)
    await dispatch()
    await db.execute(
        "UPDATE deliveries SET settled_at = now() - interval '31 days'"
        " WHERE id = (SELECT id FROM deliveries LIMIT 1)"
    )
    async with worker_resources.database.transaction() as unit:
        assert await prune_deliveries(unit, 10) == 1
    assert await db.fetchval("SELECT count(*) FROM deliveries") == 1


async def test_the_table_refuses_a_state_without_its_time(webhook, notify, db):
    assert webhook
    await notify()
    with pytest.raises(asyncpg.CheckViolationError):
        await db.execute("UPDATE deliveries SET state = 'delivered'")

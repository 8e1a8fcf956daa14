"""What an owner changes while a run sends: what it found out before does not hold any more."""

import pytest

from notifications.dispatch.service import Dispatch

from .receiver import receiving, status


@pytest.fixture
def patch(api, webhook):
    """Change the webhook, as its owner does."""

    async def send(**changes):
        answer = await api(
            "PATCH",
            f"/{webhook['id']}",
            json=changes,
            headers={"content-type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text

    return send


@pytest.mark.parametrize("code", [410, 503])
async def test_between_a_request_and_its_failure_the_url_may_be_changed(
    code, receiver, patch, notify, dispatch, hurry, db
):
    """The new receiver has refused nothing: it is neither disabled nor paused."""
    async with receiving() as successor:

        async def respond(call, writer):
            await patch(url=successor.url)
            await status(code)(call, writer)

        receiver.respond = respond
        await notify()
        await dispatch()
        row = await db.fetchrow(
            "SELECT disabled_reason, failing_runs, paused_until, version FROM webhooks"
        )
        assert tuple(row) == (None, 0, None, 2)
        assert await db.fetchval("SELECT state FROM deliveries") == "waiting"
        await hurry()
        await dispatch()
        assert receiver.ids == successor.ids
        assert await db.fetchval("SELECT state FROM deliveries") == "delivered"


@pytest.mark.parametrize("failed", [8, 10])
async def test_between_a_request_and_its_failure_its_delivery_may_begin_again(
    failed, webhook, receiver, notify, dispatch, hurry, api, db
):
    """Its owner gets all attempts, the first at once: it neither ends, nor waits for hours."""
    await db.execute("UPDATE webhooks SET last_success_at = now() + interval '1 hour'")
    await notify()
    await db.execute("UPDATE deliveries SET attempt_count = $1", failed)

    async def respond(call, writer):
        path = f"/{webhook['id']}/deliveries/{call.webhook_id}/redeliver"
        assert (await api("POST", path)).status_code == 202
        await status(503)(call, writer)

    receiver.respond = respond
    await dispatch()
    row = await db.fetchrow(
        "SELECT state, attempt_count, next_attempt_at <= now() AS is_due FROM deliveries"
    )
    assert tuple(row) == ("waiting", 0, True)
    types = "SELECT count(*) FROM outbox WHERE type LIKE 'notification.failed.%'"
    assert await db.fetchval(types) == 0
    receiver.respond = status(204)
    await hurry()
    await dispatch()
    assert await db.fetchval("SELECT state FROM deliveries") == "delivered"


async def test_between_the_look_at_a_disabled_webhook_and_its_end_it_may_be_enabled(
    webhook, receiver, patch, notify, dispatch, db, monkeypatch
):
    """What is to be sent from then on must not be given up."""
    assert webhook
    give_up = Dispatch._give_up

    async def give_up_later(self, target):
        await patch(enabled=True)
        await notify()
        await give_up(self, target)

    monkeypatch.setattr(Dispatch, "_give_up", give_up_later)
    await patch(enabled=False)
    await dispatch()
    assert await db.fetchval("SELECT state FROM deliveries") == "waiting"
    await dispatch()
    assert len(receiver.calls) == 1

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

"""Retries, pauses and the end of a webhook that fails; and what may happen between two steps."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from chassis.jobs import InsideRun, OutsideRun
from notifications.deliveries import models
from notifications.dispatch import service as dispatching
from notifications.dispatch.jobs import send_deliveries
from notifications.dispatch.models import SlowShare
from notifications.notifications.jobs import tell_webhook_disabled
from notifications.webhooks.models import SendDeliveries, TellWebhookDisabled

from .receiver import never, receiving, status

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
_OUTCOMES = "SELECT count(*) FROM outbox WHERE type LIKE 'notification.delivered.%'"
_WAITING = "SELECT count(*) FROM deliveries WHERE state = 'waiting'"


async def waiting_jobs(db):
    """Return when each waiting job is due, as seconds from now."""
    rows = await db.fetch(
        "SELECT extract(epoch FROM run_at - now())::float8 AS due FROM jobs"
        " WHERE kind = $1 AND state = 'waiting'",
        SendDeliveries.kind,
    )
    return [row["due"] for row in rows]


@pytest.fixture
def run_twice(dispatch, hurry, db):
    """Send what is due, change something, and send again what then waits."""

    async def run(change):
        await dispatch()
        await db.execute(change)
        await hurry()
        await dispatch()

    return run


def timed(resources):
    """Return how many requests have ended."""
    [family] = resources.webhook_metrics.seconds.collect()
    return next(one.value for one in family.samples if one.name.endswith("_count"))


async def test_a_failure_is_retried_after_the_delays_and_then_given_up(
    webhook, receiver, notify, dispatch, hurry, listed
):
    receiver.respond = status(500, body=b"no")
    await notify()
    for number, delay in enumerate(models.DELAYS, start=1):
        await dispatch()
        [delivery] = await listed(webhook)
        assert (delivery["state"], len(delivery["attempts"])) == ("waiting", number)
        due = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)
        assert delay - timedelta(seconds=60) < due <= delay * 1.2
        await hurry()
    await dispatch()
    [delivery] = await listed(webhook)
    assert (delivery["state"], len(delivery["attempts"])) == ("failed", 11)
    assert len(set(receiver.ids)) == 1
    assert sum(models.DELAYS, timedelta()) < timedelta(hours=25)


async def test_a_webhook_that_accepts_nothing_for_a_day_is_disabled_and_its_owner_told(
    webhook, receiver, user, notify, run_twice, api, db, worker_resources
):
    receiver.respond = status(500)
    await notify(3)
    await run_twice("UPDATE deliveries SET deadline = now()")
    shown = (await api("GET", f"/{webhook['id']}")).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "failing")
    states = await db.fetch("SELECT DISTINCT state FROM deliveries")
    assert [row["state"] for row in states] == ["failed"]
    [told] = await db.fetch("SELECT arguments FROM jobs WHERE kind = $1", TellWebhookDisabled.kind)
    arguments = TellWebhookDisabled.model_validate(json.loads(told["arguments"]))
    for _ in range(2):  # once for each version of the webhook
        async with worker_resources.database.transaction() as unit:
            run = InsideRun(unit=unit, resources=worker_resources, job_id=1, attempt=1)
            await tell_webhook_disabled(arguments, run)
    notified = await db.fetch(
        "SELECT user_id, data FROM notifications WHERE type = 'webhook.disabled'"
    )
    data = {"webhook_id": webhook["id"], "reason": "failing"}
    assert [(row["user_id"], json.loads(row["data"])) for row in notified] == [(user, data)]
    failed = "SELECT count(*) FROM outbox WHERE type = 'notification.failed.v1'"
    assert await db.fetchval(failed) == 3
    assert await waiting_jobs(db) == []


async def test_a_receiver_that_accepts_others_is_not_disabled_for_one_delivery(
    webhook, receiver, notify, dispatch, hurry, api, db
):
    receiver.respond = status(400)
    await notify()
    await dispatch()
    await db.execute("UPDATE deliveries SET deadline = now()")
    await hurry()
    receiver.respond = status(204)
    await notify()
    await db.execute("UPDATE deliveries SET next_attempt_at = now() + '1h' WHERE attempt_count > 0")
    await dispatch()
    receiver.respond = status(400)
    await hurry()
    await dispatch()
    assert (await api("GET", f"/{webhook['id']}")).json()["enabled"]
    states = await db.fetch("SELECT state FROM deliveries ORDER BY created_at")
    assert [row["state"] for row in states] == ["failed", "delivered"]


async def test_410_disables_at_once_and_an_enabled_webhook_can_redeliver(
    webhook, receiver, notify, dispatch, listed, api
):
    receiver.respond = status(410)
    await notify(40)
    await dispatch()
    assert (await api("GET", f"/{webhook['id']}")).json()["disabled_reason"] == "gone"
    deliveries = await listed(webhook)
    assert {one["state"] for one in deliveries} == {"failed"}
    assert len(receiver.calls) <= dispatching.CONCURRENT
    again = f"/{webhook['id']}/deliveries/{deliveries[0]['id']}/redeliver"
    refused = await api("POST", again)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (
        409,
        "webhook-disabled",
    )
    merge = {"content-type": "application/merge-patch+json"}
    assert (
        await api("PATCH", f"/{webhook['id']}", content='{"enabled": true}', headers=merge)
    ).is_success
    assert (await api("POST", again)).status_code == 202
    receiver.respond = status(204)
    await dispatch()
    assert receiver.ids[-1] == deliveries[0]["id"]


@pytest.mark.parametrize(("asked", "honoured"), [("900", 900), ("86400", 3600)])
async def test_retry_after_is_honoured_up_to_an_hour(
    asked, honoured, webhook, receiver, notify, dispatch, db
):
    assert webhook
    receiver.respond = status(429, retry_after=asked)
    await notify(50)
    await dispatch()
    assert len(receiver.calls) <= dispatching.CONCURRENT
    [due] = await waiting_jobs(db)
    assert honoured * 0.9 < due <= honoured * 1.2
    await notify()  # a new one waits, too
    [due] = await waiting_jobs(db)
    assert honoured * 0.9 < due <= honoured * 1.2


async def test_a_receiver_that_fails_is_called_with_one_delivery_until_it_accepts(
    webhook, receiver, notify, dispatch, hurry, db
):
    assert webhook
    receiver.respond = status(503)
    await notify(100)
    await dispatch()
    first = len(receiver.calls)
    assert first <= dispatching.CONCURRENT + 2
    await hurry()
    await db.execute("UPDATE webhooks SET failing_runs = 1")
    await dispatch()
    assert len(receiver.calls) == first + 1
    receiver.respond = status(204)
    await hurry()
    await dispatch()
    assert await db.fetchval(_WAITING) == 0


async def test_between_the_answer_and_its_record_the_worker_may_die_so_it_is_sent_twice(
    webhook, receiver, notify, owner, db, eventually, worker_resources, dispatch
):
    """The record waits for a lock, and the worker is stopped there."""
    await notify()
    job = await db.fetchrow("SELECT id FROM jobs WHERE kind = $1", SendDeliveries.kind)
    arguments = SendDeliveries(webhook_id=webhook["id"])
    run = OutsideRun(resources=worker_resources, job_id=job["id"], attempt=1)
    async with owner.transaction():
        await owner.execute("SELECT FROM deliveries FOR UPDATE")
        sending = asyncio.create_task(send_deliveries(arguments, run))
        await eventually(lambda: len(receiver.calls) == 1)
        await eventually(lambda: db.fetchval(BLOCKED))
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    assert await db.fetchval(_WAITING) == 1
    await dispatch()
    first, second = receiver.calls
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body
    assert await db.fetchval(_WAITING) == 0


async def test_between_the_answer_and_its_record_another_worker_may_send_it_too(
    webhook, receiver, notify, owner, db, eventually, worker_resources
):
    """The first worker has lost its lease. Both record it, and one announces the outcome."""
    await notify()
    job = await db.fetchval("SELECT id FROM jobs WHERE kind = $1", SendDeliveries.kind)
    arguments = SendDeliveries(webhook_id=webhook["id"])
    run = OutsideRun(resources=worker_resources, job_id=job, attempt=1)
    async with owner.transaction():
        await owner.execute("SELECT FROM deliveries FOR UPDATE")
        sending = [asyncio.create_task(send_deliveries(arguments, run)) for _ in range(2)]
        await eventually(lambda: len(receiver.calls) == 2)
        await eventually(lambda: _is(db, BLOCKED, 2))
    await asyncio.gather(*sending)
    assert await db.fetchval(_OUTCOMES) == 1


async def test_the_outcome_of_a_delivery_that_was_erased_while_it_was_sent_is_not_announced(
    webhook, receiver, notify, owner, dispatch, db
):
    """Its account was deleted, and the job that erases its data is done."""
    assert webhook
    await notify()

    async def respond(call, writer):
        await owner.execute("DELETE FROM deliveries")
        await status(204)(call, writer)

    receiver.respond = respond
    await dispatch()
    assert len(receiver.calls) == 1
    assert await db.fetchval(_OUTCOMES) == 0
    assert await db.fetchval("SELECT count(*) FROM outcomes") == 0


async def test_between_the_last_look_and_the_end_of_a_run_a_delivery_may_be_written(
    webhook, receiver, notify, owner, db, eventually, dispatch
):
    """A consumer has found the running job, and commits after the run has looked for work."""
    assert webhook
    await notify()
    async with owner.transaction():
        # What the statement of a consumer does at this moment: it locks the unfinished job.
        await owner.execute("SELECT FROM jobs WHERE unique_key IS NOT NULL FOR NO KEY UPDATE")
        await owner.execute(
            "INSERT INTO deliveries (id, webhook_id, user_id, type, payload, deadline)"
            " SELECT gen_random_uuid(), webhook_id, user_id, type, payload, deadline"
            " FROM deliveries"
        )
        running = asyncio.create_task(dispatch())
        await eventually(lambda: len(receiver.calls) == 1)
        await eventually(lambda: db.fetchval(BLOCKED))
    await running
    assert len(await waiting_jobs(db)) == 1
    await dispatch()
    assert len(set(receiver.ids)) == 2
    assert await db.fetchval(_WAITING) == 0


async def test_a_run_that_is_stopped_records_what_was_accepted(
    webhook, receiver, notify, db, eventually, worker_resources, monkeypatch
):
    """Most requests are accepted; one hangs. The stopped run must not send the others again."""
    await notify(10)
    accept = status(204)

    async def respond(call, writer):
        await (never if len(receiver.calls) == 1 else accept)(call, writer)

    receiver.respond = respond
    monkeypatch.setattr(dispatching, "_RECORD_SECONDS", 3600)
    job = await db.fetchval("SELECT id FROM jobs WHERE kind = $1", SendDeliveries.kind)
    run = OutsideRun(resources=worker_resources, job_id=job, attempt=1)
    sending = asyncio.create_task(send_deliveries(SendDeliveries(webhook_id=webhook["id"]), run))
    await eventually(lambda: timed(worker_resources) == 9)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    assert await db.fetchval(_WAITING) == 1


async def test_a_run_has_a_limited_time_and_the_rest_waits_behind_other_webhooks(
    webhook, receiver, notify, dispatch, db, monkeypatch
):
    assert webhook
    accept = status(204)

    async def respond(call, writer):
        await asyncio.sleep(0.5)  # the receiver's pace
        await accept(call, writer)

    receiver.respond = respond
    monkeypatch.setattr(dispatching, "_RUN_SECONDS", 2)
    await notify(100)
    await dispatch()
    assert 0 < len(receiver.calls) < 100
    [due] = await waiting_jobs(db)
    assert due <= 0
    monkeypatch.setattr(dispatching, "_RUN_SECONDS", 60)
    await dispatch()
    assert len(set(receiver.ids)) == len(receiver.calls) == 100


async def test_slow_webhooks_have_half_of_the_slots_at_most():
    share = SlowShare(limit=2)
    with (
        share.entered(is_slow=True) as first,
        share.entered(is_slow=True) as second,
        share.entered(is_slow=True) as third,
        share.entered(is_slow=False) as quick,
    ):
        assert (first, second, third, quick) == (True, True, False, True)
    with share.entered(is_slow=True) as again:
        assert again


async def test_a_slow_webhook_is_postponed_while_others_have_the_share(
    webhook, receiver, notify, worker_resources, db, dispatch
):
    assert webhook
    await notify()
    await db.execute("UPDATE webhooks SET is_slow = true")
    object.__setattr__(worker_resources.slow_webhooks, "_limit", 0)
    await dispatch()
    assert receiver.calls == []
    [due] = await waiting_jobs(db)
    assert 0 < due <= 5


async def test_a_receiver_that_hangs_does_not_hold_up_another_one(
    create, receiver, notify, worker, eventually, db
):
    """In the worker as it runs: the hanging webhook has 50 deliveries, and was created first."""
    async with receiving() as hanging:
        hanging.respond = never
        await create(hanging.url)
        await create(receiver.url)
        await notify(50)
        await eventually(lambda: len(set(receiver.ids)) == 50)
        assert len(hanging.calls) <= dispatching.CONCURRENT
        delivered = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
        await eventually(lambda: _is(db, delivered, 50))
    assert worker is None


async def _is(db, sql, number):
    return await db.fetchval(sql) == number

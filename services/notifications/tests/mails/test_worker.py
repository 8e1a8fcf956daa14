"""The worker as it runs: a request in Kafka becomes a mail, also if the server refuses at first."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from chassis.database import new_id
from chassis.jobs.worker import JobPace
from chassis.messaging.events import cloud_event_headers
from chassis.process import Process
from chassis.worker import create_worker
from contracts import TOPICS
from notifications.declaration import SERVICE

from .conftest import ADDRESS, TOKEN, everything_stored, states, verification
from .server import refuse


@asynccontextmanager
async def running_worker(settings, topics):
    settings = settings.model_copy(
        update={
            "kafka_bootstrap_servers": topics.bootstrap_servers,
            "kafka_topic_prefix": topics.prefix,
        }
    )
    process = Process(name="notifications-worker", settings=settings)
    worker = create_worker(SERVICE, settings, process, job_pace=JobPace(poll_seconds=0.1))
    async with worker.router.lifespan_context(worker):
        yield process


@pytest.fixture
async def worker(settings, topics):
    await topics.create([topic.name for topic in TOPICS])
    async with running_worker(settings, topics) as process:
        yield process


@pytest.fixture
async def publish(topics):
    """Send an event as users' relay does."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers) as producer:

        async def send(event):
            headers = cloud_event_headers(
                event, event_id=new_id(), source="/slipway/users", trace={}
            )
            await producer.send_and_wait(
                topics.prefix + event.topic.name,
                key=event.key.encode(),
                value=event.to_json(),
                headers=[(name, value.encode()) for name, value in headers.items()],
            )

        yield send


async def sent(db):
    return [row[0] for row in await states(db)] == ["sent"]


async def test_a_request_in_kafka_becomes_a_mail_and_leaves_no_secret(
    worker, publish, mail_server, db, eventually, capsys
):
    await publish(verification())
    await eventually(lambda: sent(db))
    assert len(mail_server.received) == 1
    done = "SELECT count(*) FROM jobs WHERE kind = 'notifications.send-mail.v1' AND state = 'done'"
    await eventually(lambda: db.fetchval(done))
    stored = await everything_stored(db)
    printed = capsys.readouterr()
    for secret in (TOKEN, ADDRESS):
        assert secret not in stored
        assert secret not in printed.out + printed.err
    labels = {"kind": "email-verification", "outcome": "sent"}
    assert worker.registry.get_sample_value("mails_total", labels) == 1


async def test_a_mail_that_the_server_refuses_for_now_is_tried_again_until_it_is_accepted(
    worker, publish, mail_server, db, eventually, capsys
):
    assert worker.health
    mail_server.on_data = refuse(f"451 4.3.0 <{ADDRESS}> later")
    await publish(verification())
    await eventually(lambda: db.fetchval("SELECT count(*) FROM jobs WHERE error IS NOT NULL"))
    error = await db.fetchval("SELECT error FROM jobs WHERE error IS NOT NULL")
    assert error == "MailDeferredError: The mail server refused the content with 451 4.3.0."
    mail_server.on_data = refuse("250 accepted")
    await db.execute("UPDATE jobs SET run_at = now() WHERE state = 'waiting'")
    await eventually(lambda: sent(db))
    assert len({mail["Message-ID"] for mail in mail_server.received}) == 1
    assert ADDRESS not in capsys.readouterr().out


async def test_a_worker_without_a_mail_server_logs_it_once_and_no_job_fails(
    settings, topics, publish, db, eventually, capsys
):
    await topics.create([topic.name for topic in TOPICS])
    nowhere = settings.model_copy(update={"smtp_server": None, "smtp_from": None})
    async with running_worker(nowhere, topics):
        await publish(verification())
        await publish(verification())
        # Both were tried, and are due again later.
        later = "SELECT count(*) = 2 FROM jobs WHERE state = 'waiting' AND run_at > now()"
        await eventually(lambda: db.fetchval(later))
    assert [row[0] for row in await states(db)] == ["waiting", "waiting"]
    printed = capsys.readouterr().out
    assert (printed.count("mail server not set"), printed.count("job failed")) == (1, 0)


async def test_a_worker_that_stops_while_the_server_stalls_leaves_the_mail_to_the_next(
    settings, topics, publish, mail_server, db, eventually
):
    await topics.create([topic.name for topic in TOPICS])
    mail_server.on_data = mail_server.stall
    async with running_worker(settings, topics):
        await publish(verification())
        async with asyncio.timeout(60):
            await mail_server.stalled.wait()
    assert await db.fetch("SELECT state, attempts FROM jobs WHERE kind LIKE '%send-mail%'") == [
        ("waiting", 0)
    ]
    mail_server.on_data = refuse("250 accepted")
    async with running_worker(settings, topics):
        await eventually(lambda: sent(db))
    first, second = mail_server.received
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_worker_that_stops_ends_its_connections_with_quit(
    settings, topics, publish, mail_server, db, eventually
):
    await topics.create([topic.name for topic in TOPICS])
    async with running_worker(settings, topics):
        await publish(verification())
        await eventually(lambda: sent(db))
        assert mail_server.quits == 0
    assert mail_server.quits == mail_server.connections == 1


async def test_a_parked_request_is_discarded_before_its_day_in_kafka_is_over(
    worker, publish, db, eventually
):
    """Its data can't be read: the row would keep the token until an operator acts."""
    assert worker.health
    broken = verification().model_copy(update={"locale": "x\0y"})  # PostgreSQL stores no U+0000
    await publish(broken)
    await eventually(lambda: db.fetchval("SELECT count(*) FROM parked_messages"))
    assert TOKEN in await everything_stored(db)
    await publish(verification(user_id=broken.user_id))  # it does not wait behind the broken one
    await eventually(lambda: db.fetchval("SELECT count(*) FROM mails WHERE state = 'sent'"))
    await db.execute("UPDATE parked_messages SET parked_at = now() - interval '61 minutes'")
    await db.execute(
        "UPDATE job_schedules SET next_run_at = now()"
        " WHERE name = 'prune parked_messages of slipway.users.private'"
    )

    async def gone():
        return not await db.fetchval("SELECT count(*) FROM parked_messages")

    await eventually(gone)
    assert TOKEN not in await everything_stored(db)
    [action] = await db.fetch("SELECT actor, action, type FROM dead_letter_actions")
    assert tuple(action) == ("system", "discarded", "email_verification.requested.v1")

"""What both processes write to their logs, at the lowest level, while secrets pass through them."""

import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect

from chassis.database import new_id
from chassis.messaging.events import cloud_event_headers
from contracts import TOPICS
from contracts.examples import example
from contracts.orders import OrderPlaced
from contracts.users import (
    EmailVerificationRequested,
    PasswordResetRequested,
    UserEmailVerified,
    UserRegistered,
)
from notifications.kinds.wiring import SCOPE
from testkit.waiting import until

from .mails.server import smtp_server
from .processes import environment_of, running
from .webhooks.receiver import receiving, status

ADDRESS = "ada.lovelace@mail.example"
MAIL_TOKENS = ["bz3Vq-_9Yx0kQm7Jr2Tn5Lw8Hd1Fs4Gp", "Zk8Wn-_4Pv2cRj6Bt9Mq3Xs7Lf1Gd5Hy"]
WEBHOOK_KEY = "path-of-hook-7Tq2"
FEED = "/api/v1/notifications/ws"
STREAM = "/api/v1/notifications/stream"
WEBHOOKS = "/api/v1/webhooks"
UNSUBSCRIBE = "/api/v1/notifications/unsubscribe"
REQUESTS = {f"{STREAM}-tickets": 1, STREAM: 3, FEED: 3, UNSUBSCRIBE: 2, WEBHOOKS: 2}
EVENTS = {"job failed": 1, "mail settled": 1, "message parked": 2, "webhook disabled": 1}


@pytest.fixture
async def publish(topics):
    """Send an event as its service does; `value` replaces its data."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers) as producer:

        async def send(event, value=None):
            headers = cloud_event_headers(
                event, event_id=new_id(), source="/slipway/test", trace={}
            )
            await producer.send_and_wait(
                topics.prefix + event.topic.name,
                key=event.key.encode(),
                value=event.to_json() if value is None else value,
                headers=[(name, text.encode()) for name, text in headers.items()],
            )

        yield send


@pytest.fixture
async def mail_server():
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def receiver():
    async with receiving() as one:
        yield one


@pytest.fixture
async def environment(database, topics, tokens, mail_server):
    await topics.create([topic.name for topic in TOPICS], partitions=1)
    return environment_of(
        database,
        topics,
        tokens,
        LOG_LEVEL="DEBUG",
        SMTP_SERVER=f"127.0.0.1:{mail_server.port}",
        SMTP_TLS="none",
        SMTP_FROM="Slipway <no-reply@shop.example>",
        UNSUBSCRIBE_KEYS="u" * 32,
        WEBHOOK_KEYS="w" * 32,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
    )


def asked(kind, token, **given):
    """Return a request for a mail with a token."""
    common = {"user_id": new_id(), "email": ADDRESS, "locale": "en", "token": token}
    return kind(**common, expires_at=datetime.now(UTC) + timedelta(minutes=30), **given)


async def use_webhooks(http, bearer, url):
    """Create a webhook and rotate its secret; return both secrets."""
    made = await http.post(WEBHOOKS, json={"url": url}, headers=bearer)
    assert made.status_code == 201, made.text
    path = f"{WEBHOOKS}/{made.json()['id']}/secret"
    rotated = await http.post(path, headers=bearer | {"If-Match": made.headers["etag"]})
    assert rotated.status_code == 200, rotated.text
    return [made.json()["secret"], rotated.json()["secret"]]


async def use_streams(http, bearer):
    """Open a stream with a ticket, try twice more with the same one, and return it."""
    issued = await http.post(f"{STREAM}-tickets", headers=bearer)
    ticket = issued.json()["ticket"]
    codes = []
    for query in ({}, {}, {"last_event_id": "x"}):
        answer = await http.head(STREAM, params={"ticket": ticket} | query)
        codes.append(answer.status_code)
    assert codes == [200, 401, 422]
    return ticket


async def use_sockets(url, good, bad):
    """Send a token on a socket as it should be, and in each wrong way."""
    async with connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"type": "auth", "token": good}))
        assert json.loads(await socket.recv())["type"] == "ready"
        for message in (
            {"type": "renew", "id": "1", "token": good},
            {"type": "renew", "id": "2", "token": bad},
            {"type": good, "id": "3"},
            {"type": "filter", "id": "4", "categories": [good]},
        ):
            await socket.send(json.dumps(message))
            await socket.recv()
    for first in ({"type": "auth", "token": bad}, {"type": "auth", "token": good, "x": 1}):
        async with connect(url, proxy=None) as socket:
            await socket.send(json.dumps(first) if "x" not in first else json.dumps(first)[:-1])
            await socket.recv()
            await socket.wait_closed()


def lines_of(written):
    """Return the lines of a log; each is JSON."""
    return [json.loads(line) for line in written.splitlines()]


async def use_mails(publish, mail_server):
    """Request mails: one is refused for now, one for good, and two requests can't be handled."""
    answers = iter([f"451 4.3.0 <{ADDRESS}> {MAIL_TOKENS[0]} later", f"550 5.1.1 <{ADDRESS}> no"])

    async def answer(_):
        return next(answers, "250 accepted")

    mail_server.on_data = answer
    first = asked(EmailVerificationRequested, MAIL_TOKENS[0])
    await publish(first)
    await until(lambda: len(mail_server.received) == 1)
    await publish(asked(PasswordResetRequested, MAIL_TOKENS[1]))
    await until(lambda: len(mail_server.received) == 2)
    broken = first.model_copy(update={"locale": "x\0y"})  # PostgreSQL stores no U+0000
    await publish(broken)
    await publish(first, value=first.to_json().replace(b'"locale"', b'"local"'))


async def unsubscribe(http, mail):
    """Follow the link of a mail, and one that was cut; return the token."""
    [link] = re.findall(r"token=([^>]+)>", mail["List-Unsubscribe"])
    assert (await http.post(UNSUBSCRIBE, params={"token": link})).status_code == 200
    assert (await http.post(UNSUBSCRIBE, params={"token": link[:-1]})).status_code == 422
    return link


async def test_no_log_line_of_either_process_holds_a_secret_or_an_address(
    environment, publish, mail_server, receiver, tokens, tmp_path, db
):
    user = new_id()
    good = tokens.token(subject=user, scopes=[SCOPE])
    bad = good[:-6] + "AAAAAA"
    bearer = {"Authorization": f"Bearer {good}"}
    async with (
        running("api", environment, tmp_path) as api,
        running("worker", environment, tmp_path) as worker,
        httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=60) as http,
    ):
        refused = await http.get(WEBHOOKS, headers={"Authorization": f"Bearer {bad}"})
        assert refused.status_code == 401
        secrets = await use_webhooks(http, bearer, f"{receiver.url}/{WEBHOOK_KEY}")
        echo = " ".join([*secrets, WEBHOOK_KEY, ADDRESS]).encode()
        receiver.respond = status(410, body=echo, x_echo=secrets[0])
        secrets.append(await use_streams(http, bearer))
        await use_sockets(f"{api.url.replace('http', 'ws')}{FEED}", good, bad)
        await publish(example(UserRegistered, user_id=user, version=1, email=ADDRESS))
        await publish(example(UserEmailVerified, user_id=user, version=2, email=ADDRESS))
        await until(lambda: db.fetchval("SELECT count(*) FROM recipients WHERE email_verified"))
        await use_mails(publish, mail_server)
        await publish(example(OrderPlaced, customer_id=user))
        await until(lambda: any(mail["List-Unsubscribe"] for mail in mail_server.received))
        await until(
            lambda: db.fetchval("SELECT count(*) FROM webhooks WHERE disabled_at IS NOT NULL")
        )
        await until(lambda: db.fetchval("SELECT count(*) = 2 FROM parked_messages"))
        [mail, *_] = [one for one in mail_server.received if one["List-Unsubscribe"]]
        secrets.append(await unsubscribe(http, mail))
        of_api = await api.stopped(seconds=30)
        of_worker = await worker.stopped(seconds=30)
    paths = [line["path"] for line in lines_of(of_api) if line["event"] == "request ended"]
    for path, count in REQUESTS.items():
        assert paths.count(path) == count, path
    events = [line["event"] for line in lines_of(of_worker)]
    for event, count in EVENTS.items():
        assert events.count(event) >= count, event
    secrets += [good, good.rpartition(".")[2], bad, ADDRESS, *MAIL_TOKENS, WEBHOOK_KEY]
    found = [line for line in (of_api + of_worker).splitlines() if any(s in line for s in secrets)]
    assert len(set(secrets)) == 11
    assert found == []

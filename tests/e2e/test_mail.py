"""A request on the private topic becomes a mail with the link, and nothing keeps its secret."""

import asyncio
import secrets
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from chassis.messaging.events import cloud_event_headers
from contracts.users import EmailVerificationRequested
from slipway.local.mail import mail_directory, read_mails


@pytest.fixture
async def publish(system):
    settings = system.settings
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:

        async def send(event):
            headers = cloud_event_headers(
                event, event_id=uuid.uuid4(), source="/slipway/users", trace={}
            )
            await producer.send_and_wait(
                settings.kafka_topic_prefix + event.topic.name,
                key=event.key.encode(),
                value=event.to_json(),
                headers=[(name, value.encode()) for name, value in headers.items()],
            )

        yield send


async def mail_to(system, address):
    """Wait for the mail to an address; the sink announces none."""
    directory = mail_directory(system.state)
    async with asyncio.timeout(60):
        while True:
            mails = await asyncio.to_thread(read_mails, directory)
            if found := [mail for mail in mails if mail.message["To"] == address]:
                return found
            await asyncio.sleep(0.05)


async def verify_address(system, client, address):
    """Open the link of the mail that a registration has sent."""
    [mail] = await mail_to(system, address)
    token = mail.text.partition("/verify-email#token=")[2].split()[0]
    await client.confirm_email(token)


async def test_a_request_becomes_a_mail_in_the_sink_and_no_log_has_its_secret(system, publish):
    address, token = f"{uuid.uuid4().hex}@example.com", secrets.token_urlsafe(32)
    request = EmailVerificationRequested(
        user_id=uuid.uuid4(),
        email=address,
        locale="en-GB",
        token=token,
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
    )
    await publish(request)
    [mail] = await mail_to(system, address)
    assert mail.message["Subject"] == "Confirm your e-mail address"
    assert f"{system.gateway_url}/verify-email#token={token}" in mail.text
    logs = await asyncio.to_thread(
        lambda: "".join(file.read_text(errors="replace") for file in system.state.logs.iterdir())
    )
    assert "mail settled" in logs
    assert token not in logs
    assert address not in logs

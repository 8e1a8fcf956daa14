"""Fixtures of the tests of mails: a real mail server, and the worker's side of the service."""

import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from chassis.database import new_id
from chassis.jobs import OutsideRun
from contracts.examples import example
from contracts.users import (
    EmailVerificationRequested,
    PasswordResetRequested,
    UserEmailVerified,
    UserRegistered,
)
from notifications.mail_servers.models import Encryption, SmtpServer
from notifications.mail_servers.service import MailServer
from notifications.mails.jobs import send_mail
from notifications.mails.models import SendMail
from notifications.mails.wiring import WorkerResources

from .server import Server, smtp_server

TOKEN = "bz3Vq-_9Yx0kQm7Jr2Tn5Lw8Hd1Fs4Gp6Ac0Ue3Io9Kv"
ADDRESS = "ada@example.com"
KEY = "k" * 32

type Send = Callable[..., Awaitable[None]]
type Consume = Callable[..., Awaitable[tuple[int, Exception | None]]]


def verification(**given: Any) -> EmailVerificationRequested:
    return EmailVerificationRequested(**_request() | given)


def reset(**given: Any) -> PasswordResetRequested:
    return PasswordResetRequested(**_request() | given)


def _request() -> dict[str, Any]:
    return {
        "user_id": new_id(),
        "email": ADDRESS,
        "locale": "en",
        "token": TOKEN,
        "expires_at": datetime.now(UTC) + timedelta(minutes=30),
    }


@pytest.fixture
async def mail_server() -> AsyncIterator[Server]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
def more_settings(mail_server: Server) -> dict[str, Any]:
    return {
        "smtp_server": f"127.0.0.1:{mail_server.port}",
        "smtp_tls": "none",
        "smtp_from": "Slipway <no-reply@shop.example.com>",
        "smtp_timeout": 20,
        "public_url": "https://shop.example.com/",
        "unsubscribe_keys": SecretStr(KEY),
    }


@pytest.fixture
def member(consume: Consume) -> Callable[..., Awaitable[UUID]]:
    """Store a user with a verified address; return the id."""

    async def make(email: str = ADDRESS) -> UUID:
        user = new_id()
        await consume(
            example(UserRegistered, user_id=user, version=1, email=email),
            example(UserEmailVerified, user_id=user, version=2, email=email),
            partition=1,
        )
        return user

    return make


@pytest.fixture
def send_each(
    worker_resources: WorkerResources, db: asyncpg.Connection
) -> Callable[..., Awaitable[list[Coroutine[Any, Any, None]]]]:
    """Return one attempt of each mail's job, as the worker makes it.

    Args:
        resources: in place of the worker's.
    """

    async def attempts(
        resources: WorkerResources = worker_resources,
    ) -> list[Coroutine[Any, Any, None]]:
        jobs = await db.fetch(
            "SELECT id, arguments FROM jobs WHERE kind = $1 ORDER BY id", SendMail.kind
        )
        return [
            send_mail(
                SendMail.model_validate(json.loads(job["arguments"])),
                OutsideRun(resources=resources, job_id=job["id"], attempt=1),
            )
            for job in jobs
        ]

    return attempts


@pytest.fixture
def send(worker_resources: WorkerResources, send_each: Callable[..., Any]) -> Send:
    """Run the job of each mail once, one after the other.

    The argument `over` replaces the worker's mail server.
    """

    async def run(*, over: SmtpServer | None = None) -> None:
        async with AsyncExitStack() as stack:
            resources = worker_resources
            if over is not None:
                server = MailServer(server=over)
                stack.push_async_callback(server.close)
                resources = dataclasses.replace(resources, mail_server=server)
            attempts = await send_each(resources)
            for attempt in attempts:
                stack.callback(attempt.close)  # those after one that raises
            for attempt in attempts:
                await attempt

    return run


def server_at(port: int, **given: Any) -> SmtpServer:
    """Return how to reach a mail server on this machine."""
    plain: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "encryption": Encryption.NONE,
        "tls_context": ssl.create_default_context(),
        "username": None,
        "password": lambda: None,
        "timeout": 20,
    }
    return SmtpServer(**plain | given)


async def everything_stored(db: asyncpg.Connection) -> str:
    """Return all rows of the schema as one text; bytes as text, too."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    parts = []
    for [table] in tables:
        if table == "alembic_version":
            continue
        for row in await db.fetch(f'SELECT * FROM "{table}"'):
            parts += [
                value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                for value in row.values()
            ]
    return "\n".join(parts)


async def states(db: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """Return each mail's state, address, token and error."""
    rows = await db.fetch("SELECT state, recipient, token, error FROM mails ORDER BY id")
    return [tuple(row) for row in rows]

"""Without its database, the service returns 503, starts, and recovers without a restart."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from chassis.api import create_api
from testkit.clients import client_of
from users.declaration import SERVICE

PASSWORD = "correct horse battery"
# Kafka is unavailable in these tests, too.
READY = {"ok", "waiting for broadcast slipway.sessions"}
BODY = {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada"}


class Gate:
    """A TCP port in front of PostgreSQL. Shutting it cuts its connections."""

    def __init__(self, url):
        self._target = urlsplit(url)
        self._server: asyncio.Server
        self._pipes = set()
        self.port = 0

    @property
    def url(self):
        host = f"{self._target.username}:{self._target.password}@127.0.0.1:{self.port}"
        return self._target._replace(netloc=host).geturl()

    async def open(self):
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self):
        self._server.close()
        for writer in list(self._pipes):
            writer.close()
        await self._server.wait_closed()

    async def _pass(self, reader, writer):
        host, port = self._target.hostname, self._target.port
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(host, port)
            # It was shut in between, so this connection was not cut.
            if not self._server.is_serving():
                writer.close()
                up_writer.close()
                return
            self._pipes |= {writer, up_writer}
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
            self._pipes -= {writer, up_writer}


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def gate(database):
    gate = Gate(database.runtime_url)
    await gate.open()
    yield gate
    await gate.shut()


@pytest.fixture
def gated(settings, gate):
    """Settings with the database behind the gate, and with a first administrator."""
    given = {
        "database_url": SecretStr(gate.url),
        "first_admin_email": "root@example.com",
        "first_admin_password": SecretStr("a password of admins"),
    }
    return settings.model_copy(update=given)


async def test_an_outage_is_503_and_passes_without_a_restart(gated, gate):
    app = create_api(SERVICE, gated)
    async with client_of(app) as client:
        assert (await client.post("/api/v1/users", json=BODY)).status_code == 201
        await gate.shut()

        away = await client.post("/api/v1/auth/login", json=BODY | {"full_name": None})
        assert away.status_code == 422  # a request that needs no database gets its usual response
        for path, body in (("/api/v1/users", BODY), ("/api/v1/auth/login", login_of(BODY))):
            away = await client.post(path, json=body)
            assert away.status_code == 503
            assert away.json()["type"].endswith("/unavailable")
            assert int(away.headers["retry-after"]) >= 1
        assert app.state.process.health.ready[1] in READY

        await gate.open()
        assert (await client.post("/api/v1/auth/login", json=login_of(BODY))).status_code == 200


async def test_a_database_that_comes_up_later_fails_no_start(gated, gate, db):
    await gate.shut()
    app = create_api(SERVICE, gated)
    async with client_of(app) as client:
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
        assert app.state.process.health.ready[1] in READY
        assert await db.fetchval("SELECT count(*) FROM users") == 0

        await gate.open()
        [task] = [one for one in app.state.process._running if one.get_name() == "first admin"]
        async with asyncio.timeout(10):
            await asyncio.wait([task])
        assert await db.fetchval("SELECT roles FROM users") == ["admin"]


def login_of(body):
    return {name: body[name] for name in ("email", "password")}

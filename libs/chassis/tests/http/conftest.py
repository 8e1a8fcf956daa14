"""An app for tests, with a route for every way in which a request can be wrong."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Form, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.auth import CurrentPrincipal, Principal, TokenVerifier, require_scope
from chassis.auth.keys import PublicKeys
from chassis.database import Database, DatabaseSettings, service_metadata
from chassis.database.engine import asyncpg_url
from chassis.database.infrastructure import mark_infrastructure
from chassis.errors import Conflict, FieldError, Invalid, TooManyRequests
from chassis.http import (
    BoundedInt,
    Id,
    Idempotent,
    Name,
    QueryShape,
    Router,
    Shape,
    UnitDep,
    create_app,
    problems,
)
from chassis.http.shapes import WRITTEN_AS_INTEGER
from chassis.idempotency_table import declare_idempotency_table
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings
from testkit.clients import client_of
from testkit.databases import PASSWORD, bootstrap_services, url_for
from testkit.tokens import AUDIENCE, ISSUER, TestTokens


class Item(Shape):
    sku: Name
    quantity: BoundedInt


class Basket(Shape):
    name: Name
    items: Annotated[list[Item], Field(max_length=10)] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)
    count: BoundedInt = 0
    ratio: float = 0
    fresh: bool = False
    owner: Id | None = None


class Grant(Shape):
    grant_type: Name
    refresh_token: Name


class Search(QueryShape):
    q: Name = "x"
    number: Annotated[int | None, Field(le=100)] = None
    numbers: Annotated[list[int], Field(max_length=3)] = Field(default_factory=list)
    ratio: float = 0


class Soldout(Conflict):
    name = "out-of-stock"
    title = "There is not enough of it."


class Note(Shape):
    text: Name


router = Router(prefix="/api/v1")


@router.post("/baskets", status_code=201)
async def put_basket(basket: Basket) -> Basket:
    return basket


@router.post("/grants")
async def grant(form: Annotated[Grant, Form()]) -> Grant:
    return form


@router.get("/search")
async def search(query: Annotated[Search, Query()]) -> Search:
    return query


@router.get("/numbers/{number}")
async def number_in_path(number: Annotated[int, Path(le=100), WRITTEN_AS_INTEGER]) -> Search:
    return Search(number=number)


@router.get("/things/{thing_id}")
async def thing(thing_id: Id) -> Item:
    return Item(sku=str(thing_id), quantity=1)


@router.get("/sold-out", responses=problems(Soldout))
async def sold_out() -> Item:
    detail = "two are left"
    raise Soldout(detail, extra={"left": 2})


@router.get("/rule")
async def rule() -> Item:
    fields = [FieldError(pointer="#/a~1b", detail="too long"), FieldError(header="X", detail="no")]
    detail = "a rule over two fields"
    raise Invalid(detail, errors=fields)


@router.get("/busy")
async def busy() -> Item:
    raise TooManyRequests(retry_after=7)


@router.get("/broken")
async def broken() -> Item:
    cause = "the secret cause: hunter2"
    raise RuntimeError(cause)


@router.get("/third-party/{which}")
async def third_party(which: str) -> Item:
    raise {
        "refused": ConnectionRefusedError("10.0.0.7:25 refused hunter2"),
        "silent": TimeoutError("10.0.0.7:25 did not answer hunter2"),
        "untrusted": ssl.SSLError("10.0.0.7:25 has a certificate of hunter2"),
    }[which]


@router.post("/upload")
async def upload(request: Request) -> Item:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return Item(sku="upload", quantity=size)


@router.get("/stream")
async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first "
        await request.app.state.gate("stream")
        yield b"last"

    return StreamingResponse(parts())


@router.get("/me")
async def me(caller: CurrentPrincipal) -> Note:
    return Note(text=str(caller.user_id))


@router.get("/admin")
async def admin(caller: Annotated[Principal, require_scope("a:read", "a:write")]) -> Note:
    return Note(text=str(caller.user_id))


@router.post("/notes", status_code=201)
async def add_note(note: Note, unit: UnitDep) -> Note:
    await unit.session.execute(text("INSERT INTO notes (text) VALUES (:text)"), {"text": note.text})
    return note


@router.post(
    "/orders",
    status_code=201,
    idempotent=Idempotent.OPTIONAL,
    responses=problems(Soldout),
)
async def order(note: Note, unit: UnitDep, response: Response, request: Request) -> Note:
    await unit.session.execute(text("INSERT INTO notes (text) VALUES (:text)"), {"text": note.text})
    gate = getattr(request.app.state, "gate", None)
    if gate is not None:
        await gate(note.text)
    if note.text == "sold out":
        raise Soldout
    total = await unit.session.scalar(text("SELECT count(*) FROM notes"))
    response.headers["Location"] = "/x/1"
    return Note(text=f"{note.text} is number {total}")


@router.post("/payments", idempotent=Idempotent.REQUIRED)
async def pay(note: Note, _: CurrentPrincipal) -> Note:
    return note


@router.post("/sessions", status_code=201)
async def open_session(note: Note, request: Request) -> Note:
    async with request.app.state.database.transaction() as unit:
        await unit.session.execute(
            text("INSERT INTO notes (text) VALUES (:text)"), {"text": note.text}
        )
    lost = mark_infrastructure(ConnectionResetError("the answer can't be made"))
    raise lost if note.text == "lost" else RuntimeError


_WAITS = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(25); RETURN NEW; END';
    CREATE TRIGGER wait_in_insert BEFORE INSERT ON notes FOR EACH ROW
        WHEN (NEW.text = 'stuck') EXECUTE FUNCTION wait();
    CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.text = 'held') EXECUTE FUNCTION wait()
"""
# Roles belong to the whole server, where other test processes have databases.
_OURS = "pg_stat_activity WHERE usename = 'probe_runtime' AND datname = current_database()"


class Databases:
    """The tests' schema, set up as a service has it, and queries on it that bypass the app."""

    def __init__(self, url: str, superuser_url: str) -> None:
        self.url = url
        self.superuser_url = superuser_url

    async def rows(self) -> list[str]:
        """Return the committed notes."""
        return [row[0] for row in await self._fetch("SELECT text FROM probe.notes")]

    async def hashes(self) -> list[bytes]:
        """Return the hashes of the bodies whose responses are stored."""
        return [row[0] for row in await self._fetch("SELECT body_hash FROM probe.idempotency_keys")]

    async def end_backends(self) -> None:
        """End the service's connections, as a restart of the server does."""
        await self._fetch(f"SELECT pg_terminate_backend(pid, 5000) FROM {_OURS}")

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the lock that "stuck" and "held" notes wait for."""
        connection = await asyncpg.connect(self.superuser_url)
        try:
            await connection.execute("SELECT pg_advisory_lock(25)")
            yield
        finally:
            await connection.close()

    async def waiting(self, query: str, statements: int = 1) -> None:
        """Wait until this many of the service's statements with this beginning wait for a lock."""
        await self.until(
            f"SELECT FROM {_OURS} AND wait_event = 'advisory' AND query ~ '^{query}'"
            f" HAVING count(*) = {statements}"
        )

    async def nothing_runs(self) -> None:
        """Wait until the server runs nothing of the service."""
        await self.until(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM {_OURS} AND state <> 'idle')")

    async def until(self, query: str) -> None:
        """Wait until `query` returns a row."""
        connection = await asyncpg.connect(self.superuser_url)
        try:
            while True:
                if await connection.fetch(query):
                    return
                await asyncio.sleep(0.01)
        finally:
            await connection.close()

    async def running(self) -> list[str]:
        """Return the statements of the service that run, or whose transaction is open."""
        return [
            row[0] for row in await self._fetch(f"SELECT query FROM {_OURS} AND state <> 'idle'")
        ]

    async def _fetch(self, query: str) -> list[Any]:
        connection = await asyncpg.connect(self.superuser_url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()


@pytest.fixture(scope="session")
async def _databases(postgres_url: str) -> Databases:
    """A database with a service's roles, its notes, and the table of idempotency keys.

    A note "late" breaks a rule that PostgreSQL only checks at COMMIT. While a test holds the
    database's lock, the INSERT of a note "stuck" waits for it, and the COMMIT of a note "held".
    """
    # Each test process of a run has its own database.
    name = f"test_chassis_http_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
    finally:
        await admin.close()
    await bootstrap_services(postgres_url, name, ["probe"])
    metadata = service_metadata()
    declare_idempotency_table(metadata)
    owner = create_async_engine(
        asyncpg_url(url_for(postgres_url, database=name, role="probe_owner"))
    )
    async with owner.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text("CREATE TABLE notes (text text)"))
        await connection.execute(
            text("CREATE TABLE late (x int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)")
        )
        await connection.execute(text("INSERT INTO late VALUES (1)"))
        await connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
                " 'BEGIN INSERT INTO probe.late VALUES (1); RETURN NULL; END'"
            )
        )
        await connection.execute(
            text(
                "CREATE TRIGGER refuse AFTER INSERT ON notes FOR EACH ROW"
                " WHEN (NEW.text = 'late') EXECUTE FUNCTION refuse()"
            )
        )
        for statement in _WAITS.split(";\n"):
            await connection.execute(text(statement))
    await owner.dispose()
    return Databases(
        url_for(postgres_url, database=name, role="probe_runtime"),
        url_for(postgres_url, database=name),
    )


@pytest.fixture
async def databases(_databases: Databases) -> Databases:
    connection = await asyncpg.connect(_databases.superuser_url)
    try:
        await connection.execute("TRUNCATE probe.notes, probe.idempotency_keys")
    finally:
        await connection.close()
    return _databases


def make_app(tokens: TestTokens, database_url: str) -> FastAPI:
    settings = ProcessSettings(environment=Environment.DEVELOPMENT)
    database_settings = DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(database_url)
    )

    @asynccontextmanager
    async def opened(_: Process) -> AsyncIterator[Mapping[str, Any]]:
        keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
        verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)
        async with Database(settings=database_settings, application_name="t").opened() as database:
            yield {"database": database, "verifier": verifier}

    return create_app(
        title="Probe",
        description="Routes of the tests.",
        process=Process(name="probe", settings=settings),
        routers=[router],
        open_resources=opened,
    )


@pytest.fixture(scope="session")
def app(tokens: TestTokens) -> FastAPI:
    """The app without a database: nothing listens at its database's address."""
    return make_app(tokens, "postgresql://nobody:x@127.0.0.1:1/none")


@pytest.fixture(scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
def app_with_database(tokens: TestTokens, databases: Databases) -> FastAPI:
    return make_app(tokens, databases.url)


@pytest.fixture
async def stored(app_with_database: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_with_database) as client:
        yield client


@pytest.fixture
def app_locked_out(tokens: TestTokens, databases: Databases) -> FastAPI:
    """The app with a password that the database refuses."""
    return make_app(tokens, databases.url.replace(f":{PASSWORD}@", ":changed@"))


@pytest.fixture
async def locked_out(app_locked_out: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_locked_out) as client:
        yield client

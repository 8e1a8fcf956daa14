"""`slipway audit verify`, against the API that each worker serves."""

import asyncio
import json

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typer.testing import CliRunner

from chassis.audit import declare_audit_table
from chassis.audit.verification import AuditVerifier
from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.database import Connector, Database, DatabaseSettings, service_metadata
from chassis.jobs.sealing import Sealing
from chassis.messaging import Wakeups
from chassis.operations.app import PATH, Operations
from chassis.operations.replays import Replays
from chassis.settings import Environment
from chassis.wiring import ServiceResources
from slipway.operate.audit import app as commands
from slipway.operate.audit import verified
from slipway.operate.worker_api import Access, WorkerApi
from testkit.clients import serving
from testkit.databases import ServiceDatabase
from testkit.logs import own_logs
from testkit.tokens import AUDIENCE, ISSUER

SERVICE = "orders"
SCOPE = "ops:audit"
HASH = "ab" * 32
# The tables are made from the metadata, without the trigger that queues an entry.
INSERT = """
    WITH entry AS (
        INSERT INTO audit_log (actor_kind, action, subject, details)
        VALUES ('system', 'x.done', $1, '{}') RETURNING id)
    INSERT INTO audit_unsealed SELECT id FROM entry
"""


@pytest.fixture(scope="module")
async def urls(postgres_url):
    metadata = service_metadata()
    declare_audit_table(metadata)
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture
def settings(urls):
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(urls.runtime_url)
    )


@pytest.fixture
async def database(urls, settings):
    await urls.clean()
    async with Database(settings=settings, application_name="tests").opened() as database:
        yield database


@pytest.fixture
async def db(urls, database):
    del database
    connection = await asyncpg.connect(urls.runtime_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def kept():
    """Whether the service keeps an audit log."""
    return True


@pytest.fixture
async def url(urls, database, tokens, kept):
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    operations = Operations(title="Tests", registry=CollectorRegistry())
    resources = ServiceResources(
        service=SERVICE,
        database=database,
        verifier=TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE),
        wakeups=Wakeups(connector=Connector.to(urls.runtime_url), application_name="tests"),
    )
    audit = AuditVerifier(entries=2) if kept else None
    operations.open(resources, Replays(resources=resources, snapshots=[]), audit=audit)
    app = FastAPI()
    app.mount(PATH, operations.app)
    async with serving(app) as url:
        yield url


@pytest.fixture
def slipway(url, tokens, tmp_path, monkeypatch):
    """Run the command; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)  # outside the repository
    monkeypatch.setenv("SLIPWAY_TOKEN", tokens.token(scopes=[SCOPE]))

    async def run(*arguments):
        command = ["verify", SERVICE, *arguments, "--url", url]
        with own_logs():
            result = await asyncio.to_thread(CliRunner().invoke, commands, command)
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
async def sealed(database, db):
    """Seal five entries by three seals, and leave one that waits."""
    sealing = Sealing(service=SERVICE, database=database, registry=CollectorRegistry(), entries=2)
    for number in range(5):
        await db.execute(INSERT, str(number))
    while await sealing.seal():
        pass
    await db.execute(INSERT, "waits")


@pytest.mark.usefixtures("sealed")
async def test_it_verifies_all_pages_and_prints_the_newest_seal(slipway, db):
    status, out, _ = await slipway()
    digits = await db.fetchval("SELECT encode(hash, 'hex') FROM audit_seals WHERE number = 3")
    assert status == 0
    assert out.strip() == (
        "orders: no fault in 5 entries of 3 seals; 1 entries wait to be sealed; newest seal "
        f"3:{digits}"
    )
    status, out, _ = await slipway("--known", f"3:{digits}", "--json")
    assert (status, json.loads(out)[SERVICE]["faults"]) == (0, [])


@pytest.mark.usefixtures("sealed")
async def test_it_names_what_was_changed_and_removed_and_fails(slipway, db):
    await db.execute("UPDATE audit_log SET subject = 'z' WHERE id = 2")
    await db.execute("DELETE FROM audit_log WHERE id = 5")
    status, out, _ = await slipway()
    assert status == 1
    assert "orders: seal 1, entry 2: The entry was changed." in out
    assert "orders: seal 3, entry 5: The entry was removed." in out
    assert "orders: 2 faults in 4 entries" in out


@pytest.mark.usefixtures("sealed")
async def test_a_chain_that_lacks_a_known_seal_fails(slipway):
    status, out, _ = await slipway("--known", f"3:{HASH}", "--json")
    assert status == 1
    [fault] = json.loads(out)[SERVICE]["faults"]
    assert (fault["seal"], fault["entry"]) == (3, None)
    status, _, text = await slipway("--known", "3")
    assert (status, "rejects the call (422)" in text) == (1, True)


@pytest.mark.parametrize("kept", [False])
async def test_a_service_without_an_audit_log_says_so(slipway):
    assert await slipway() == (0, "orders keeps no audit log\n", "")


@pytest.mark.parametrize("option", ["--known", "--url"])
def test_an_option_for_one_service_needs_its_name(option):
    result = CliRunner().invoke(commands, ["verify", option, f"1:{HASH}"])
    assert result.exit_code == 2
    assert "name it" in result.stderr


async def test_it_asks_for_a_token_of_its_scope(url, tokens):
    path = f"{url}{PATH}/audit/verification"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert (await http.get(path)).status_code == 401
        narrow = tokens.headers(scopes=["ops:jobs", "audit:read"])
        assert (await http.get(path, headers=narrow)).status_code == 403
        right = tokens.headers(scopes=[SCOPE])
        assert (await http.get(path, headers=right)).json()["kept"] is True


async def test_each_page_continues_after_the_one_before():
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        last = "after" in request.url.params
        page = {"kept": True, "seals": 1, "entries": 2, "faults": [], "more": not last}
        end = {"end": f"{len(asked)}:{HASH}", "waiting": 7 if last else None}
        return httpx.Response(200, json={**page, **end})

    access = Access(service=SERVICE, url="http://worker", token="t")
    async with WorkerApi.opened(access, transport=httpx.MockTransport(answer)) as api:
        report = await verified(api, known=f"1:{HASH}")
    assert asked == [{"known": f"1:{HASH}"}, {"known": f"1:{HASH}", "after": f"1:{HASH}"}]
    assert (report.seals, report.entries, report.waiting) == (2, 4, 7)
    assert report.end == f"2:{HASH}"

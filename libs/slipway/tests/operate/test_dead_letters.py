"""The commands on dead letters, against the API that each worker serves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typer.testing import CliRunner

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.database import Connector, Database, DatabaseSettings, service_metadata
from chassis.messaging import Wakeups, declare_messaging_tables
from chassis.operations.app import PATH, Operations
from chassis.operations.replays import Replays
from chassis.settings import Environment
from chassis.wiring import ServiceResources
from slipway import cli
from slipway.errors import SlipwayError
from slipway.operate.dead_letter_calls import act_on_dead_letters
from slipway.operate.dead_letters import seconds_of
from slipway.operate.worker_api import Access, WorkerApi
from testkit.clients import serving
from testkit.databases import ServiceDatabase
from testkit.logs import own_logs
from testkit.tokens import AUDIENCE, ISSUER, TestTokens

SERVICE = "orders"
SCOPE = "ops:dead-letters"
PARK = """
    WITH queue AS (
        INSERT INTO parked_keys (consumer, topic, key, blocking, state)
        VALUES ('orders', 'slipway.users', $1, true, 'dead') RETURNING id
    ), inboxed AS (INSERT INTO inbox VALUES ('orders', '/tests', $1, 'parked'))
    INSERT INTO parked_messages (parked_key_id, topic, partition, log_offset, source, id, type, key,
                                 headers, payload, attempts, error)
    SELECT id, 'slipway.users', 0, 1, '/tests', $1, $2, convert_to($1, 'utf8'),
           '[["ce_type", "a"]]', '{"name": "Ada"}', 10, $3
    FROM queue RETURNING seq
"""


@dataclass(frozen=True, kw_only=True)
class Worker:
    url: str
    database_url: str
    token: str

    async def park(self, key: str, *, kind: str = "user.registered.v1", error: str = "no") -> int:
        connection = await asyncpg.connect(self.database_url)
        try:
            return int(await connection.fetchval(PARK, key, kind, error))
        finally:
            await connection.close()

    async def actions(self) -> list[tuple[str, str, str]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await connection.fetch(
                "SELECT action, key, reason FROM dead_letter_actions ORDER BY id"
            )
            return [tuple(row) for row in rows]
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def urls(postgres_url: str) -> ServiceDatabase:
    metadata = service_metadata()
    declare_messaging_tables(metadata)
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture
def settings(urls: ServiceDatabase) -> DatabaseSettings:
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(urls.runtime_url)
    )


@pytest.fixture
async def worker(
    urls: ServiceDatabase, settings: DatabaseSettings, tokens: TestTokens
) -> AsyncIterator[Worker]:
    await urls.clean()
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    operations = Operations(title="Tests", registry=CollectorRegistry())
    async with Database(settings=settings, application_name="tests").opened() as database:
        resources = ServiceResources(
            service=SERVICE,
            database=database,
            verifier=TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE),
            wakeups=Wakeups(connector=Connector.to(urls.runtime_url), application_name="tests"),
        )
        operations.open(resources, Replays(resources=resources, snapshots=[]))
        app = FastAPI()
        app.mount(PATH, operations.app)
        async with serving(app) as url:
            yield Worker(
                url=url,
                database_url=urls.runtime_url,
                token=tokens.token(scopes=[SCOPE]),
            )


type Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def slipway(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)  # outside the repository
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str, token: str = worker.token, url: str = worker.url):
        monkeypatch.setenv("SLIPWAY_TOKEN", token)
        where = ("--url", url) if url else ()
        command = ["dead-letters", *arguments, "--service", SERVICE, *where]
        # In a thread, because the command runs an event loop and the worker runs in ours.
        with own_logs():  # keeps the worker's log lines out of the output
            result = await asyncio.to_thread(
                CliRunner().invoke, cli.app_of(command[0]), command[1:]
            )
        return result.exit_code, result.stdout, result.stderr

    return run


async def test_they_are_listed_for_people_and_for_programs(slipway: Run, worker: Worker) -> None:
    await worker.park("ada", error="no such customer")
    number = await worker.park("grace", kind="user.deleted.v1", error="[red]lock[/red]")
    status, out, _ = await slipway("list")
    assert status == 0
    assert "no such customer" in out
    assert "[red]lock[/red]" in out
    status, out, _ = await slipway("list", "--type", "user.deleted.v1", "--json")
    assert [(one["number"], one["key"]) for one in json.loads(out)] == [(number, "grace")]
    status, out, _ = await slipway("list", "--min-age", "2h")
    assert (status, "Nothing of that kind is parked in orders" in out) == (0, True)


async def test_one_is_shown_without_its_texts(slipway: Run, worker: Worker) -> None:
    number = await worker.park("ada")
    status, out, _ = await slipway("show", str(number))
    assert (status, "<3 characters>" in out, "Ada" in out) == (0, True, False)


async def test_a_filter_says_which_ones_are_redriven_and_a_dry_run_shows_them(
    slipway: Run, worker: Worker
) -> None:
    for key in ("ada", "grace"):
        await worker.park(key, error="no such customer")
    await worker.park("other", error="something else")
    chosen = ("redrive", "--error", "such", "--reason", "mended", "--json")
    status, out, _ = await slipway(*chosen, "--dry-run")
    tried = json.loads(out)
    assert (status, tried["dry_run"]) == (0, True)
    assert [one["key"] for one in tried["done"]] == ["ada", "grace"]
    assert await worker.actions() == []
    status, out, _ = await slipway(*chosen)
    assert [one["key"] for one in json.loads(out)["done"]] == ["ada", "grace"]
    assert await worker.actions() == [
        ("redriven", "ada", "mended"),
        ("redriven", "grace", "mended"),
    ]


async def test_a_message_that_does_not_exist_does_not_delay_the_others(
    slipway: Run, worker: Worker
) -> None:
    number = await worker.park("ada")
    status, out, _ = await slipway("discard", "99", str(number), "--reason", "a test")
    assert status == 1
    assert "Discarded: 1" in out
    assert "Skipped: 99" in out
    assert await worker.actions() == [("discarded", "ada", "a test")]


async def test_nothing_is_done_to_all_by_mistake(slipway: Run, worker: Worker) -> None:
    await worker.park("ada")
    status, _, errors = await slipway("discard", "--reason", "a test")
    assert (status, "give either the numbers of the dead letters" in errors) == (2, True)
    status, _, errors = await slipway("discard", "1", "--key", "ada", "--reason", "a test")
    assert (status, "give either the numbers of the dead letters" in errors) == (2, True)
    assert await worker.actions() == []


async def test_each_error_says_what_to_do(slipway: Run, worker: Worker, tokens: TestTokens) -> None:
    for options, says in (
        ({"url": ""}, "Start it with `slipway up`, or give"),
        ({"url": "http://127.0.0.1:1"}, "--url must be its internal port"),
        ({"url": worker.url + "/nothing"}, "rejects the call (404)"),
        ({"token": ""}, "Set SLIPWAY_TOKEN, or give --login EMAIL"),
        ({"token": "nonsense"}, "Log in again with --login EMAIL"),
        (
            {"token": tokens.token()},
            "lacks the scope ops:dead-letters. Use one that has ops:dead-letters. Administrators",
        ),
    ):
        status, _, errors = await slipway("list", **options)
        assert (status, says in " ".join(errors.split())) == (1, True), errors


async def test_no_more_are_sent_in_a_second_than_the_rate_allows(worker: Worker) -> None:
    numbers = [await worker.park(key) for key in "abcd"]
    access = Access(service=SERVICE, url=worker.url, token=worker.token)
    loop = asyncio.get_running_loop()
    async with WorkerApi.opened(access) as api:
        began = loop.time()
        await act_on_dead_letters(api, "redrive", numbers, reason="a test", rate=20)
    assert loop.time() - began >= 3 / 20
    assert len(await worker.actions()) == 4


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259200)]
)
def test_an_age_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1w", "-1h", "1.5h", "1 h"])
def test_other_ages_are_refused(text: str) -> None:
    with pytest.raises(SlipwayError, match="is not an age"):
        seconds_of(text)

"""The commands on jobs, against the API that each worker serves."""

import asyncio
import json
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr
from typer.testing import CliRunner

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.database import Connector, Database, DatabaseSettings, service_metadata
from chassis.jobs import declare_job_tables
from chassis.messaging import Wakeups, declare_messaging_tables
from chassis.operations.app import PATH, Operations
from chassis.operations.replays import Replays
from chassis.settings import Environment
from chassis.wiring import ServiceResources
from slipway import cli
from slipway.operate.jobs import app as commands
from testkit.clients import serving
from testkit.databases import ServiceDatabase
from testkit.logs import own_logs
from testkit.tokens import AUDIENCE, ISSUER

SERVICE = "orders"
SCOPE = "ops:jobs"
JOB = """
    INSERT INTO jobs (queue, kind, arguments, priority, state, attempts, error, unique_key,
                      finished_at, lease, lease_until)
    VALUES ('default', $1, '{"to": "ada@example.com", "count": 3}', 2, $2, 10, $3, $4,
            CASE WHEN $2 IN ('dead', 'done', 'cancelled') THEN now() END,
            CASE WHEN $2 = 'running' THEN gen_random_uuid() END,
            CASE WHEN $2 = 'running' THEN now() END)
    RETURNING id
"""


class Rows:
    """Queries of the worker's database for the tests."""

    def __init__(self, url):
        self._url = url

    async def rows(self, sql, *arguments):
        connection = await asyncpg.connect(self._url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def job(self, state="dead", *, kind="mail.send.v1", error="no", key=None):
        return (await self.rows(JOB, kind, state, error, key))[0][0]

    async def state(self, number):
        [(state, attempts)] = await self.rows(
            "SELECT state, attempts FROM jobs WHERE id = $1", number
        )
        return state, attempts


@pytest.fixture(scope="module")
async def urls(postgres_url):
    metadata = service_metadata()
    declare_messaging_tables(metadata)
    declare_job_tables(metadata)
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture
def settings(urls):
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(urls.runtime_url)
    )


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def db(urls):
    return Rows(urls.runtime_url)


@pytest.fixture
async def url(urls, settings, tokens, registry):
    await urls.clean()
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    operations = Operations(title="Tests", registry=registry)
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
            yield url


@pytest.fixture
def slipway(url, tokens, tmp_path, monkeypatch):
    """Run the command; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)  # outside the repository
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SLIPWAY_TOKEN", tokens.token(scopes=[SCOPE]))

    async def run(*arguments):
        command = [*arguments, "--service", SERVICE, "--url", url]
        # In a thread, because the command runs an event loop and the worker runs in ours.
        with own_logs():  # keeps the worker's log lines out of the output
            result = await asyncio.to_thread(CliRunner().invoke, commands, command)
        return result.exit_code, result.stdout, result.stderr

    return run


async def test_dead_jobs_are_listed_and_others_on_demand(slipway, db):
    await db.job(error="[red]mail server[/red] says no")
    await db.job("waiting", kind="mail.send.v2")
    status, out, _ = await slipway("list")
    assert (status, "mail.send.v1" in out, "mail.send.v2" in out) == (0, True, False)
    assert "[red]mail server[/red] says no" in out
    _, out, _ = await slipway("list", "--state", "waiting", "--json")
    assert [job["kind"] for job in json.loads(out)] == ["mail.send.v2"]
    _, out, _ = await slipway("list", "--kind", "mail.send.v3")
    assert "no such jobs" in out


async def test_more_than_a_page_are_listed(slipway, db):
    for _ in range(120):
        await db.job()
    _, out, _ = await slipway("list", "--json", "--limit", "110")
    assert [job["number"] for job in json.loads(out)] == list(range(1, 111))


async def test_one_is_shown_without_what_its_arguments_say(slipway, db):
    number = await db.job()
    status, out, _ = await slipway("show", str(number), "--json")
    shown = json.loads(out)
    assert status == 0
    assert shown["arguments"] == {"to": "<15 characters>", "count": 3}
    assert "ada@example.com" not in out
    _, out, _ = await slipway("show", str(number))
    assert "count" in out
    assert "ada@example.com" not in out


async def test_a_dead_job_is_redriven_with_all_its_attempts_and_that_is_recorded(slipway, db):
    number, other = await db.job(), await db.job(key="k")
    status, out, _ = await slipway("redrive", str(number), "--reason", "mended")
    assert (status, out.strip()) == (0, "Redriven: 1")
    assert await db.state(number) == ("waiting", 0)
    assert await db.state(other) == ("dead", 10)
    rows = await db.rows("SELECT action, reason, job_id, kind, unique_key FROM job_actions")
    assert rows == [("redriven", "mended", number, "mail.send.v1", None)]


async def test_filters_choose_which_and_a_dry_run_does_nothing(slipway, db):
    first, second = await db.job(error="no such host"), await db.job(error="full")
    options = ("redrive", "--error", "SUCH host", "--reason", "mended")
    _, out, _ = await slipway(*options, "--dry-run", "--json")
    assert [job["number"] for job in json.loads(out)["done"]] == [first]
    assert (await db.state(first))[0] == "dead"
    await slipway(*options)
    assert [(await db.state(one))[0] for one in (first, second)] == ["waiting", "dead"]
    status, _, text = await slipway("redrive", "--reason", "all of them")
    assert (status, "give either the numbers of the jobs" in text) == (2, True)


@pytest.mark.parametrize("state", ["dead", "waiting", "running"])
async def test_a_job_that_has_not_finished_is_cancelled(slipway, db, registry, state):
    number = await db.job(state)
    status, out, _ = await slipway("cancel", str(number), "--reason", "not wanted")
    assert (status, out.strip()) == (0, "Cancelled: 1")
    assert (await db.state(number))[0] == "cancelled"
    assert await db.rows("SELECT action, job_id FROM job_actions") == [("cancelled", number)]
    assert 'job_actions_total{action="cancelled"} 1.0' in generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("state", "action", "problem"),
    [
        ("waiting", "redrive", "only dead jobs"),
        ("done", "redrive", "only dead jobs"),
        ("done", "cancel", "nothing to cancel"),
        ("cancelled", "cancel", "nothing to cancel"),
    ],
)
async def test_what_makes_no_sense_is_left_with_its_reason(slipway, db, state, action, problem):
    number = await db.job(state)
    status, out, _ = await slipway(action, str(number), "--reason", "because")
    assert (status, problem in out) == (1, True)
    assert (await db.state(number))[0] == state
    assert await db.rows("SELECT 1 FROM job_actions") == []


async def test_a_job_whose_key_has_another_by_now_is_not_redriven(slipway, db):
    dead = await db.job(key="k")
    await db.job("waiting", key="k")
    status, out, _ = await slipway("redrive", str(dead), "--reason", "because")
    assert (status, "unique key 'k'" in out) == (1, True)
    assert await db.state(dead) == ("dead", 10)


async def test_an_unknown_number_says_so(slipway):
    status, out, _ = await slipway("redrive", "99", "--reason", "because")
    assert (status, "no job 99" in out) == (1, True)


async def test_the_api_asks_for_a_token_of_its_scope_and_records_who(url, db, tokens):
    number, ada = await db.job(), uuid4()
    path = f"{url}{PATH}/jobs/{number}/redrive"
    body = {"reason": "because"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        refused = await http.post(path, json=body)
        narrow = tokens.headers(scopes=["ops:dead-letters", "ops:replay"])
        forbidden = await http.post(path, json=body, headers=narrow)
        headers = tokens.headers(subject=ada, scopes=[SCOPE])
        done = await http.post(path, json=body, headers=headers)
        without = await http.post(path, json={}, headers=headers)
    assert [refused.status_code, forbidden.status_code] == [401, 403]
    assert [done.status_code, without.status_code] == [202, 422]
    assert await db.rows("SELECT actor FROM job_actions") == [(str(ada),)]


def test_the_command_is_found_by_its_name():
    assert cli.app_of("jobs") is commands

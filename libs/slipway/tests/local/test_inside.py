"""Each fault of a system's database, topics and keys is named, with what to do."""

import asyncio
import os
import time
from pathlib import Path

import asyncpg
import pytest

from chassis.database.migrations import upgrade
from contracts import TOPICS
from slipway.checks import Grade
from slipway.local.inside import inside_checks, key_check, role_checks, topic_check
from slipway.operate.topics import Topics
from slipway.services import SERVICES
from slipway.state import find_root
from testkit.databases import ServiceDatabase, bootstrap_services

ROOT = Path(__file__).parents[4]


@pytest.fixture
async def database(postgres_url):
    """A database with the schemas and roles of all services, as its superuser."""
    created = await ServiceDatabase.create_empty(postgres_url, SERVICES[0])
    name = created.superuser_url.rpartition("/")[2].partition("?")[0]
    await bootstrap_services(postgres_url, name, SERVICES)
    return created


@pytest.fixture
async def connection(database):
    opened = await asyncpg.connect(database.superuser_url)
    try:
        yield opened
    finally:
        await opened.close()


async def roles(connection):
    return {check.name: check for check in await role_checks(connection)}


async def test_the_roles_of_bootstrap_are_right(connection):
    found = await roles(connection)
    assert {check.grade for check in found.values()} == {Grade.OK}
    assert len(found) == len(SERVICES)


@pytest.mark.parametrize(
    ("damage", "mend", "text"),
    [
        (
            "GRANT CREATE ON SCHEMA orders TO orders_runtime",
            "REVOKE CREATE ON SCHEMA orders FROM orders_runtime",
            "may change the schema",
        ),
        (
            "GRANT USAGE ON SCHEMA users TO orders_runtime",
            "REVOKE USAGE ON SCHEMA users FROM orders_runtime",
            "may use the schema of users",
        ),
        (
            "REVOKE USAGE ON SCHEMA orders FROM orders_runtime",
            "GRANT USAGE ON SCHEMA orders TO orders_runtime",
            "may not use its schema",
        ),
        (
            "ALTER SCHEMA orders OWNER TO CURRENT_USER",
            "ALTER SCHEMA orders OWNER TO orders_owner",
            "not orders_owner's",
        ),
        ("DROP SCHEMA orders CASCADE", "CREATE SCHEMA orders", "missing"),
    ],
)
async def test_a_wrong_right_is_named(connection, damage, mend, text):
    await connection.execute(damage)
    found = (await roles(connection))["roles of orders"]
    await connection.execute(mend)
    assert (found.grade, text in found.found) == (Grade.FAULT, True)
    assert "slipway db bootstrap" in found.mend


async def test_topics_that_are_missing_or_differ_are_named(kafka_bootstrap_servers):
    topics = Topics(bootstrap_servers=kafka_bootstrap_servers, declared=TOPICS, prefix="doctored.")
    missing = await topic_check(topics)
    assert (missing.grade, "missing" in missing.found) == (Grade.FAULT, True)
    assert "slipway topics apply" in missing.mend
    await topics.apply()
    assert (await topic_check(topics)).grade is Grade.OK


async def test_a_schema_that_was_never_migrated_is_named(database, kafka_bootstrap_servers):
    topics = Topics(bootstrap_servers=kafka_bootstrap_servers, declared=())
    await asyncio.to_thread(upgrade, ROOT / "services" / SERVICES[0], database.owner_url)
    urls = dict.fromkeys(SERVICES, database.superuser_url)
    found = {
        check.name: check for check in await inside_checks(urls=urls, topics=topics, root=ROOT)
    }
    assert found[f"migrations of {SERVICES[0]}"].grade is Grade.OK
    never = found[f"migrations of {SERVICES[1]}"]
    assert (never.grade, never.found) == (Grade.FAULT, "never migrated")
    assert f"slipway migrate {SERVICES[1]}" in never.mend
    assert found["clock of the database"].grade is Grade.OK


async def test_a_database_that_does_not_respond_is_named():
    topics = Topics(bootstrap_servers="127.0.0.1:1", declared=())
    urls = dict.fromkeys(SERVICES, "postgresql://nobody@127.0.0.1:1/none")
    found = {
        check.name: check for check in await inside_checks(urls=urls, topics=topics, root=ROOT)
    }
    assert found["topics"].grade is Grade.FAULT
    assert found["database"].grade is Grade.FAULT


@pytest.mark.parametrize(
    "url", ["db:5432/slipway", "postgresql+asyncpg://a@db/b", "postgresql://su:pa/ss@db/slipway"]
)
async def test_a_url_that_is_not_valid_is_named_without_its_password(url):
    topics = Topics(bootstrap_servers="127.0.0.1:1", declared=())
    urls = dict.fromkeys(SERVICES, url)
    checks = await inside_checks(urls=urls, topics=topics, root=ROOT)
    (found,) = [check for check in checks if check.name == "database"]
    assert (found.grade, found.found) == (Grade.FAULT, "the URL is not valid")


def test_an_old_key_is_a_warning(tmp_path):
    file = tmp_path / "signing.jwks.json"
    assert key_check(file).grade is Grade.FAULT
    file.write_text("{}")
    assert key_check(file).grade is Grade.OK
    old = time.time() - 100 * 24 * 3600
    os.utime(file, (old, old))
    assert (key_check(file).grade, "keys rotate" in key_check(file).mend) == (Grade.WARNING, True)


def test_the_tests_know_the_repository():
    assert find_root(Path(__file__).parent) == ROOT

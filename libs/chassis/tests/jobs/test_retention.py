"""Retention: rows older than their age are deleted, in small batches; a worker does it."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.audit import declare_audit_table
from chassis.audit.pruning import AUDIT_KEPT
from chassis.database import Database, service_metadata
from chassis.idempotency_table import declare_idempotency_table
from chassis.jobs import OutsideRun, declare_job_tables
from chassis.jobs.retention import (
    FINISHED_JOBS_KEPT,
    IDEMPOTENCY_KEPT,
    REPLAYS_KEPT,
    PruneRows,
    Pruning,
    Retention,
    chassis_retention,
    rows_older_than,
)
from chassis.jobs.sealing import SealEntries
from chassis.messaging import declare_messaging_tables
from chassis.process import Process
from chassis.service import Service, common_only
from chassis.settings import Environment
from chassis.wiring import ServiceSettings
from chassis.worker import create_worker
from testkit.databases import ServiceDatabase
from testkit.tokens import ISSUER

from .conftest import until
from .working import settings_for

SERVICE = "keepers"
MINUTE = timedelta(minutes=1)
metadata = service_metadata()
declare_messaging_tables(metadata)
declare_idempotency_table(metadata)
declare_job_tables(metadata)
declare_audit_table(metadata)
JOB = "INSERT INTO jobs (queue, kind, arguments, priority, state, finished_at) VALUES"
# For each table: how long its rows are kept, and how to insert a row of an age.
KEPT = {
    "idempotency_keys": (
        IDEMPOTENCY_KEPT,
        (
            "INSERT INTO idempotency_keys VALUES"
            " (gen_random_uuid(), 'POST /', 'k', '', 201, '{}', '', now() - $1::interval)"
        ),
    ),
    "jobs": (
        FINISHED_JOBS_KEPT,
        (
            f"{JOB} ('default', 'a.v1', '{{}}', 2, 'done', now() - $1::interval),"
            " ('default', 'b.v1', '{}', 2, 'cancelled', now() - $1::interval)"
        ),
    ),
    "replays": (
        REPLAYS_KEPT,
        (
            "INSERT INTO replays (id, snapshot, requested_by, finished_at)"
            " VALUES (gen_random_uuid(), 's', 'a', now() - $1::interval)"
        ),
    ),
    "dead_letter_actions": (
        AUDIT_KEPT,
        (
            "INSERT INTO dead_letter_actions (at, actor, action, reason, topic, source, message_id)"
            " VALUES (now() - $1::interval, 'a', 'redriven', 'r', 't', '/s', '1')"
        ),
    ),
    "job_actions": (
        AUDIT_KEPT,
        (
            "INSERT INTO job_actions (at, actor, action, reason, job_id, kind)"
            " VALUES (now() - $1::interval, 'a', 'redriven', 'r', 1, 'a.v1')"
        ),
    ),
}


@pytest.fixture(scope="module")
async def service_database(postgres_url):
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture(scope="module")
def database_settings(service_database):
    return settings_for(service_database.runtime_url)


@pytest.fixture
async def pool(service_database, database_settings):
    await service_database.clean()
    async with Database(settings=database_settings, application_name="tests").opened() as pool:
        yield pool


@pytest.fixture
def query(pool):
    async def rows(sql, *arguments):
        async with pool.transaction() as unit:
            return [tuple(row) for row in await unit.fetch(sql, *arguments)]

    return rows


def pruning(pool, *retention, registry=None):
    return Pruning(database=pool, retention=retention, registry=registry or CollectorRegistry())


async def prune(pruning, name):
    await pruning.prune(PruneRows(name=name), OutsideRun(resources=None, job_id=1, attempt=1))


def test_every_table_of_the_chassis_that_grows_has_a_retention():
    """The other tables are emptied when used, or hold a row for each declaration."""
    emptied = {
        *("outbox", "outbox_refusals", "parked_keys", "parked_messages", "job_schedules"),
        "audit_unsealed",
    }
    by_consumer = {"inbox"}
    with_the_entries = {"audit_seals"}
    declared = {one.name for one in chassis_retention(metadata.tables)}
    assert declared == set(metadata.tables) - emptied - by_consumer - with_the_entries
    assert declared == {*KEPT, "audit_log"}, "database/test_audit_seals.py tests the latter"
    assert [one.name for one in chassis_retention(["jobs", "others"])] == ["jobs"]


@pytest.mark.parametrize("table", KEPT)
async def test_rows_of_the_chassis_are_deleted_at_their_age_and_not_before(pool, query, table):
    age, insert = KEPT[table]
    await query(insert, age - MINUTE)
    work = pruning(pool, *chassis_retention([table]))
    await prune(work, table)
    (before,) = await query(f"SELECT count(*) FROM {table}")
    await query(insert, age + MINUTE)
    await prune(work, table)
    assert before[0] > 0
    assert await query(f"SELECT count(*) FROM {table}") == [before]


async def test_what_is_under_way_dead_or_unfinished_stays_whatever_its_age(pool, query):
    await query(
        f"{JOB} ('default', 'a.v1', '{{}}', 2, 'dead', now() - interval '9 years'),"
        " ('default', 'b.v1', '{}', 2, 'waiting', NULL)"
    )
    await query(
        "INSERT INTO replays (id, snapshot, requested_by, requested_at)"
        " VALUES (gen_random_uuid(), 's', 'a', now() - interval '9 years')"
    )
    work = pruning(pool, *chassis_retention(metadata.tables))
    for table in KEPT:
        await prune(work, table)
    assert await query("SELECT state FROM jobs ORDER BY id") == [("dead",), ("waiting",)]
    assert await query("SELECT count(*) FROM replays") == [(1,)]


async def test_many_rows_go_in_small_transactions_and_are_counted(pool, query):
    await query(
        "INSERT INTO idempotency_keys SELECT gen_random_uuid(), 'POST /', n::text, '', 201, '{}',"
        " '', now() - interval '2 days' FROM generate_series(1, 25) AS n"
    )
    sizes = []
    delete = rows_older_than(IDEMPOTENCY_KEPT, "idempotency_keys", "created_at")

    async def counted(unit, limit):
        sizes.append(await delete(unit, limit))
        return sizes[-1]

    registry = CollectorRegistry()
    work = pruning(pool, Retention(name="keys", prune=counted, batch=10), registry=registry)
    await prune(work, "keys")
    assert sizes == [10, 10, 5]
    assert registry.get_sample_value("retention_pruned_rows_total", {"table": "keys"}) == 25
    await prune(work, "what an older release kept")


async def test_a_worker_prunes_by_itself(query, service_database, tokens):
    age, insert = KEPT["idempotency_keys"]
    await query(insert, age + MINUTE)
    await query("INSERT INTO job_schedules VALUES ('prune idempotency_keys', 'every 600 s', now())")
    common = common_only(ServiceSettings)
    service = Service(name=SERVICE, title="Keepers", metadata=metadata, worker=common)
    settings = await asyncio.to_thread(settings_of, service_database, tokens)
    process = Process(name="keepers-worker", settings=settings)
    worker = create_worker(service, settings, process)

    async def pruned():
        labels = {"table": "idempotency_keys"}
        return process.registry.get_sample_value("retention_pruned_rows_total", labels) == 1

    async with worker.router.lifespan_context(worker):
        await until(pruned)
    assert await query("SELECT count(*) FROM idempotency_keys") == [(0,)]
    names = {row[0] for row in await query("SELECT name FROM job_schedules")}
    assert names == {SealEntries.kind, "prune audit_log", *(f"prune {table}" for table in KEPT)}


def settings_of(database, tokens):
    return ServiceSettings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database.runtime_url),
        kafka_bootstrap_servers="127.0.0.1:1",
        auth_jwks_file=tokens.jwks_file,
        auth_issuer=ISSUER,
    )

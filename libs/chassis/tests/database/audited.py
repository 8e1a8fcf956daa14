"""A service with an audit log, its sealing and its verification, and an intruder."""

import secrets
from datetime import timedelta

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.audit.chain import Fault
from chassis.audit.pruning import sealed_entries_older_than
from chassis.audit.verification import AuditVerifier
from chassis.database import Database, DatabaseSettings
from chassis.jobs import OutsideRun
from chassis.jobs.sealing import SealEntries, Sealing
from chassis.settings import Environment
from testkit.databases import ServiceDatabase

from .packages import WrittenService

YEAR = timedelta(days=365)
INSERT = """
    INSERT INTO audit_log (at, actor_kind, action, subject, details)
    VALUES (now() - $1::interval, 'system', 'x.done', $2, '{"before": 1, "after": [2]}')
    RETURNING id
"""
NOW = timedelta()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A service that declares the audit log and nothing else."""
    service = WrittenService(tmp_path_factory.mktemp("audited"), f"audited_{secrets.token_hex(4)}")
    service.declare(
        "from chassis.audit import declare_audit_table", "declare_audit_table(Base.metadata)"
    )
    service.revision("0001", "pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(service.directory / "src")
        yield service


@pytest.fixture(scope="module")
async def urls(postgres_url, package):
    return await ServiceDatabase.create(postgres_url, package.directory)


@pytest.fixture
def settings(urls):
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(urls.runtime_url)
    )


@pytest.fixture
async def pool(urls, settings):
    await urls.clean()
    async with Database(settings=settings, application_name="tests").opened() as database:
        yield database


@pytest.fixture
async def db(urls, pool):
    del pool  # it empties the tables before
    async with urls.connected() as connection:
        yield connection


@pytest.fixture
async def intruder(urls, pool):
    """Somebody who can switch triggers off."""
    del pool
    connection = await asyncpg.connect(urls.superuser_url)
    try:
        await connection.execute(f"SET search_path = {urls.service}")
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def sealing(urls, pool):
    return Sealing(service=urls.service, database=pool, registry=CollectorRegistry(), entries=3)


@pytest.fixture
def insert(db):
    async def insert(*subjects, age=NOW):
        return [await db.fetchval(INSERT, age, subject) for subject in subjects]

    return insert


@pytest.fixture
def verify(pool):
    """Verify page by page; return the faults, and the last page."""

    async def verify(*, known=None, entries=1000):
        verifier, after, compared = AuditVerifier(entries=entries), None, None
        faults: list[Fault] = []
        while True:
            async with pool.transaction() as unit:
                page = await verifier.verify_page(unit, after=after, compared=compared, known=known)
            faults += page.faults
            if not page.more:
                return faults, page
            after, compared = page.end, page.compared

    return verify


async def seal_all(sealing):
    await sealing.run(SealEntries(), OutsideRun(resources=None, job_id=1, attempt=1))


async def prune(pool, limit=1000):
    async with pool.transaction() as unit:
        return await sealed_entries_older_than(YEAR)(unit, limit)

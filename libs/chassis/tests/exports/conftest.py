"""A service with exports, on a real PostgreSQL: its tables are the chassis' own and one more."""

import uuid
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import BigInteger, Column, Table, Text, Uuid

from chassis.api import create_api
from chassis.audit import declare_audit_table
from chassis.database import service_metadata
from chassis.exports import Export
from chassis.idempotency_table import declare_idempotency_table
from chassis.jobs import declare_job_tables
from chassis.messaging import declare_messaging_tables
from chassis.service import Service, common_only
from chassis.wiring import ServiceResources, ServiceSettings
from testkit.clients import client_of
from testkit.databases import ServiceDatabase

metadata = service_metadata()
declare_messaging_tables(metadata)
declare_job_tables(metadata)
declare_idempotency_table(metadata)
declare_audit_table(metadata)
Table(
    "notes",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("owner", Uuid, nullable=False),
    Column("text", Text, nullable=False),
)


class Note(BaseModel):
    number: int
    text: str


async def notes_of(unit: Any, _: ServiceResources, person: UUID) -> AsyncIterator[Note]:
    after = 0
    while rows := await unit.fetch(
        "SELECT number, text FROM notes WHERE owner = $1 AND number > $2 ORDER BY number LIMIT 2",
        person,
        after,
    ):
        for row in rows:
            yield Note(**row)
        after = rows[-1]["number"]


def exporting(**declared: Any) -> Service[ServiceResources]:
    """Return the declaration of a service named notes."""
    given: dict[str, Any] = {
        "metadata": metadata,
        "exports": [Export(name="notes", item=Note, scope="notes:read", read=notes_of)],
    }
    return Service(
        name="notes",
        title="Notes",
        api=common_only(ServiceSettings),
        worker=common_only(ServiceSettings),
        **given | declared,
    )


@pytest.fixture(scope="session")
def declaration() -> Service[ServiceResources]:
    return exporting()


@pytest.fixture(scope="session")
async def service_database(postgres_url: str) -> ServiceDatabase:
    return await ServiceDatabase.create_from_metadata(postgres_url, "notes", metadata)


@pytest.fixture
def serving(settings):
    """Return a client of the service with other declarations than its own, as a context manager."""

    def open_client(**declared: Any):
        return client_of(create_api(exporting(**declared), settings))

    return open_client


@pytest.fixture
def person() -> UUID:
    return uuid.uuid4()


@pytest.fixture
def add_notes(db: asyncpg.Connection):
    """Insert notes of a person, with the given numbers."""

    async def insert(owner: UUID, *numbers: int) -> None:
        await db.executemany(
            "INSERT INTO notes VALUES ($1, $2, $3)",
            [(number, owner, f"note {number}") for number in numbers],
        )

    return insert


@pytest.fixture
def export(client: httpx.AsyncClient, tokens):
    """Request the export of a person."""

    async def get(person: UUID, *, scopes=("notes:read",), by: httpx.AsyncClient = client):
        headers = tokens.headers(subject=person, scopes=scopes)
        return await by.get("/exports/me", headers=headers)

    return get

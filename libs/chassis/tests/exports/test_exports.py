"""What a service returns as its part of the export of a person's data."""

import asyncio
import json
import uuid
from functools import partial

import httpx
import pytest
from pydantic import BaseModel

from chassis.api import create_api
from chassis.database import service_metadata
from chassis.exports import Export
from chassis.exports.routes import ExportTooLarge, export_of
from testkit.clients import serving as real_port
from testkit.problems import problem_kind
from testkit.statements import statements_of_requests

from .conftest import Note, exporting, notes_of


async def test_a_part_has_a_list_for_each_export_and_of_the_caller_alone(export, add_notes, person):
    await add_notes(person, 1, 2, 3)
    await add_notes(uuid.uuid4(), 4, 5)
    answer = await export(person)
    assert answer.status_code == 200
    assert answer.json() == {
        "notes": [{"number": n, "text": f"note {n}"} for n in (1, 2, 3)],
        "stored_responses": [],
        "jobs": [],
        "audit_log": [],
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


async def test_a_person_of_whom_nothing_is_held_gets_empty_lists(export, person):
    assert set(map(len, (await export(person)).json().values())) == {0}


async def test_a_service_without_exports_and_tables_has_an_empty_part(serving, export, person):
    async with serving(exports=[], metadata=service_metadata()) as client:
        assert (await export(person, by=client)).json() == {}


@pytest.mark.parametrize("text", ['"', "\\", "\n\u202e🙂", "</script>", "\x7f"])
async def test_hostile_texts_are_exported_as_they_are(export, db, person, text):
    await db.execute("INSERT INTO notes VALUES (1, $1, $2)", person, text)
    assert (await export(person)).json()["notes"] == [{"number": 1, "text": text}]


async def test_without_a_token_or_its_scopes_nothing_is_exported(client, export, person):
    assert problem_kind(await client.get("/exports/me")) == "unauthenticated"
    refused = await export(person, scopes=["other"])
    assert (refused.status_code, problem_kind(refused)) == (403, "insufficient-scope")


async def test_the_token_needs_the_scopes_of_all_exports(serving, export, person):
    two = [Export(name=name, item=Note, scope=f"{name}:read", read=notes_of) for name in ("a", "b")]
    async with serving(exports=two) as client:
        assert (await export(person, scopes=["a:read"], by=client)).status_code == 403
        assert (await export(person, scopes=["a:read", "b:read"], by=client)).status_code == 200


async def test_an_item_is_shown_as_its_export_says(serving, export, add_notes, person):
    class Short(BaseModel):
        first: str

    shown = Export(
        name="notes",
        item=Short,
        scope="notes:read",
        read=notes_of,
        show=lambda note: Short(first=note.text[:1]),
    )
    await add_notes(person, 1)
    async with serving(exports=[shown]) as client:
        assert (await export(person, by=client)).json()["notes"] == [{"first": "n"}]


async def test_between_two_pages_a_commit_changes_nothing_in_the_part(
    serving, export, add_notes, db, person
):
    """The whole part is one snapshot; otherwise it could hold an order without its history."""

    async def changing(unit, resources, owner):
        async for note in notes_of(unit, resources, owner):
            if note.number == 1:
                await db.execute("UPDATE notes SET text = 'changed'")
                await add_notes(owner, 9)
            yield note

    await add_notes(person, 1, 2, 3)
    both = [
        Export(name="first", item=Note, scope="notes:read", read=changing),
        Export(name="second", item=Note, scope="notes:read", read=notes_of),
    ]
    async with serving(exports=both) as client:
        part = (await export(person, by=client)).json()
    assert part["first"] == part["second"]
    assert [note["text"] for note in part["second"]] == ["note 1", "note 2", "note 3"]


async def test_more_data_than_the_bound_are_refused_and_not_cut(api_resources, add_notes, person):
    await add_notes(person, *range(1, 6))
    exports = exporting().all_exports
    read = partial(export_of, exports, resources=api_resources, person=person)
    async with api_resources.database.transaction() as unit:
        whole = await read(unit=unit)
    async with api_resources.database.transaction() as unit:
        assert await read(unit=unit, max_bytes=len(whole)) == whole
    async with api_resources.database.transaction() as unit:
        with pytest.raises(ExportTooLarge, match="more than 100 bytes"):
            await read(unit=unit, max_bytes=100)


async def test_too_much_data_is_409(serving, export, person):
    async def endless(*_):
        while True:
            yield Note(number=1, text="x" * 100_000)

    exports = [Export(name="notes", item=Note, scope="notes:read", read=endless)]
    async with serving(exports=exports) as client:
        answer = await export(person, by=client)
    assert (answer.status_code, problem_kind(answer)) == (409, "export-too-large")


async def test_a_failed_read_is_a_problem_and_not_half_a_part(serving, export, person):
    async def failing(*_):
        yield Note(number=1, text="the first")
        message = "the second can't be read"
        raise RuntimeError(message)

    exports = [Export(name="notes", item=Note, scope="notes:read", read=failing)]
    async with serving(exports=exports) as client:
        answer = await export(person, by=client)
    assert (answer.status_code, problem_kind(answer)) == (500, "internal-server-error")
    assert "the first" not in answer.text


async def test_a_part_ends_with_its_client(settings, tokens, person):
    """The gateway closes its connection. The part would hold a connection to the database."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(*_):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        yield Note(number=1, text="never")

    exports = [Export(name="notes", item=Note, scope="notes:read", read=stuck)]
    headers = tokens.headers(subject=person, scopes=["notes:read"])
    async with (
        real_port(create_api(exporting(exports=exports), settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        getting = asyncio.create_task(client.get("/exports/me", headers=headers))
        await begun.wait()
        getting.cancel()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_the_snapshot_begins_with_the_transaction(client, export, add_notes, person):
    """It costs no round trip of its own: it is sent with the BEGIN."""
    await add_notes(person, 1)
    await export(person)
    database = client._transport.app.state.database
    async with statements_of_requests(database) as sent:
        await export(person)
    assert sent[0] == "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    assert sent[-1] == "COMMIT"
    # Two pages of notes, then the lists of the chassis, and the number of jobs before theirs.
    assert len(sent) == 2 + 2 + 3 + 1


def test_the_document_has_the_shape_of_each_list(client):
    document = client._transport.app.openapi()
    operation = document["paths"]["/exports/me"]["get"]
    assert operation["security"] == [{"accessToken": ["notes:read"]}]
    assert {"200", "401", "403", "409", "503"} <= operation["responses"].keys()
    schema = document["components"]["schemas"]["NotesExport"]
    assert set(schema["required"]) == {"notes", "stored_responses", "jobs", "audit_log"}
    assert json.dumps(schema["properties"]["notes"]).count("#/components/schemas/Note") == 1

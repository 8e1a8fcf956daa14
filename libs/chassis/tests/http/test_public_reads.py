"""Reads that anybody may keep for a time: their tags, how long they are fresh, and 304."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Query, Response

from chassis.http import Page, PageQuery, Pages, Router, Shape, create_app
from chassis.paging import BigSerial, PageRows, Position
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings
from testkit.clients import client_of

PUBLIC = "public, max-age=5"


class Thing(Shape):
    version: int


class Number(Position):
    number: BigSerial


router = Router()


@router.get("/things", public_for=5)
async def list_things(
    query: Annotated[PageQuery, Query()], pages: Pages, response: Response
) -> Page[Thing]:
    response.headers["X-Own"] = "kept"
    found = PageRows(
        items=[3, 4][: query.limit], end=Number(number=3) if query.limit == 1 else None
    )
    return pages.write(found, lambda version: Thing(version=version), query=query)


@router.get("/things/{version}", versioned=True, public_for=5)
async def read_thing(version: int) -> Thing:
    return Thing(version=version)


@router.get("/forever", public_for=0)
async def read_forever() -> list[int]:
    return [1]


@router.put("/things/{version}", versioned=True)
async def put_thing(version: int) -> Thing:
    return Thing(version=version + 1)


@router.put("/plain")
async def put_plain() -> Thing:
    return Thing(version=1)


@asynccontextmanager
async def no_resources(_: Process) -> AsyncIterator[Mapping[str, Any]]:
    yield {}


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[httpx.AsyncClient]:
    settings = ProcessSettings(environment=Environment.DEVELOPMENT)
    app = create_app(
        title="Things",
        description="Routes of the tests.",
        process=Process(name="things", settings=settings),
        routers=[router],
        open_resources=no_resources,
    )
    async with client_of(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/things", "/things?limit=1", "/things/3"])
async def test_what_is_public_is_kept_and_confirmed_by_304(api, path):
    first = await api.get(path)
    again = await api.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    for answer in (first, again):
        assert answer.headers["cache-control"] == PUBLIC
        assert answer.headers["etag"] == first.headers["etag"]
        assert "vary" not in answer.headers, "it is the same for all callers"
    assert first.headers["content-type"] == "application/json"
    assert "content-type" not in again.headers


async def test_a_list_has_another_tag_as_soon_as_its_content_differs(api):
    tags = {(await api.get(path)).headers["etag"] for path in ("/things", "/things?limit=1")}
    assert len(tags) == 2
    answer = await api.get("/things", headers={"If-None-Match": tags.pop() + "x"})
    assert answer.status_code == 200


async def test_a_list_keeps_the_fields_that_its_route_set(api):
    answer = await api.get("/things?limit=1")
    assert answer.headers["x-own"] == "kept"
    assert answer.links["next"]["url"].startswith("/things?limit=1&cursor=")
    assert answer.json() == {"items": [{"version": 3}], "next_cursor": "Tid4D-UpeyJudW1iZXIiOjN9"}


async def test_a_versioned_read_has_its_version_as_tag(api):
    assert (await api.get("/things/3")).headers["etag"] == '"3"'


@pytest.mark.parametrize("path", ["/things", "/things/3"])
async def test_a_public_read_of_another_state_is_412(api, path):
    assert (await api.get(path, headers={"If-Match": '"2"'})).status_code == 412
    assert (await api.get(path, headers={"If-Match": "*"})).status_code == 200


async def test_what_is_fresh_for_no_second_is_still_public(api):
    answer = await api.get("/forever")
    assert answer.headers["cache-control"] == "public, max-age=0"
    assert answer.json() == [1]


async def test_an_error_of_a_public_read_is_kept_by_nobody(api):
    answer = await api.get("/things?limit=0")
    assert answer.status_code == 422
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_head_has_the_same_fields(api):
    answer = await api.head("/things")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, PUBLIC)
    known = await api.head("/things", headers={"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304


async def test_a_versioned_put_has_the_version_that_it_wrote_as_tag(api):
    assert (await api.put("/things/3")).headers["etag"] == '"4"'
    assert "etag" not in (await api.put("/plain")).headers

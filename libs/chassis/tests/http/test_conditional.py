"""Conditional requests: tags compared as RFC 9110 §13 says, by declared routes and by use cases."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PreconditionFailed
from chassis.http import ExpectedVersion, Router, Shape, create_app
from chassis.http.concurrency import content_response, etag_of, expected_of, tags_in
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings
from testkit.clients import client_of

URL = "/things/3"


class Thing(Shape):
    version: int


router = Router()


@router.get("/things/{version}", versioned=True)
async def read_thing(version: int) -> Thing:
    return Thing(version=version)


@router.patch("/things/{version}", versioned=True)
async def change_thing(version: int, expected: ExpectedVersion) -> Thing:
    expected.check(version)
    return Thing(version=version + 1)


@router.put("/things/{version}", versioned=True)
async def replace_thing(version: int, expected: ExpectedVersion) -> Thing:
    expected.check(version)
    return Thing(version=version + 1)


@router.post("/things", status_code=201, versioned=True)
async def add_thing(response: Response) -> Thing:
    response.headers["Location"] = "/things/1"
    return Thing(version=1)


@router.get("/file")
async def read_file(request: Request) -> Response:
    return content_response(request, b"content", media_type="text/plain")


@asynccontextmanager
async def no_resources(_: Process) -> AsyncIterator[Mapping[str, Any]]:
    yield {}


@pytest.fixture(scope="module")
def things() -> FastAPI:
    settings = ProcessSettings(environment=Environment.DEVELOPMENT)
    return create_app(
        title="Things",
        description="Routes of the tests.",
        process=Process(name="things", settings=settings),
        routers=[router],
        open_resources=no_resources,
    )


@pytest.fixture(scope="module")
async def api(things: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(things) as client:
        yield client


# In each, the strong tag of version 3 is named.
NAMED = [
    ['"3"'],
    [' "3"\t'],
    ['"1", "3"'],
    ['"1","3"'],
    ['"1"', '"3"'],
    ['"3"', '"x"'],
    [', ,"3",,'],
    ["", '"3"'],
    ['"a,b", "3"'],
    ['W/"1", "3"'],
    ['"\xe9", "3"'],
]
# A syntax error, or a tag that only looks like that of version 3.
NOT_NAMED = [
    [""],
    ["3"],
    ['"3'],
    ['3"'],
    ['"33"'],
    ['"03"'],
    ['"+3"'],
    ['"\u0663"'],
    ['"1" "3"'],
    ['"x, "3", y"'],
    ['w/"3"'],
    ['W/ "3"'],
    ['"3", x'],
    ['"1", *'],
    ["*", "*"],
    ['"2"', '"4"'],
]


@pytest.mark.parametrize("lines", NAMED)
def test_a_named_version_passes_both_fields(lines):
    expected_of(lines, []).check(3)
    with pytest.raises(PreconditionFailed, match="you expected another"):
        expected_of([], lines).check(3)


@pytest.mark.parametrize("lines", NOT_NAMED)
def test_a_version_that_is_not_named_is_refused_by_if_match_alone(lines):
    with pytest.raises(PreconditionFailed, match="has version 3"):
        expected_of(lines, []).check(3)
    expected_of([], lines).check(3)


def test_a_weak_tag_is_never_enough_for_a_change():
    """If-Match compares strongly, If-None-Match weakly (RFC 9110 §13.1.1, §13.1.2)."""
    with pytest.raises(PreconditionFailed):
        expected_of(['W/"3"'], []).check(3)
    with pytest.raises(PreconditionFailed):
        expected_of([], ['W/"3"']).check(3)


@pytest.mark.parametrize("star", ["*", " * ", "\t*"])
def test_a_star_means_any_version_that_exists(star):
    expected_of([star], []).check(3)
    with pytest.raises(PreconditionFailed, match="you expected none"):
        expected_of([], [star]).check(3)


def test_without_the_fields_any_version_may_be_changed():
    expected_of([], []).check(3)


def test_both_fields_must_hold():
    expected_of(['"3", "4"'], ['"4"']).check(3)
    with pytest.raises(PreconditionFailed):
        expected_of(['"3", "4"'], ['"4"']).check(4)


def test_a_tag_that_no_resource_has_is_said_so():
    with pytest.raises(PreconditionFailed, match="one that never was"):
        expected_of(["x"], []).check(3)


OPAQUE = st.text(st.sampled_from("!#,~ab1\xff"), max_size=5).map(lambda text: f'"{text}"')


@given(
    strong=st.sets(OPAQUE),
    weak=st.sets(OPAQUE),
    cut=st.integers(0, 5),
    gap=st.sampled_from(["", " ", ", "]),
)
def test_tags_come_back_from_any_way_to_write_their_list(strong, weak, cut, gap):
    written = [*strong, *(f"W/{tag}" for tag in weak)]
    lines = [f",{gap}".join(part) for part in (written[:cut], written[cut:])]
    read = tags_in(lines)
    assert read is not None
    assert (read.strong, read.weak, read.any) == (strong, weak, False)


@given(st.lists(st.text(), max_size=3))
def test_no_text_breaks_the_reading_of_tags(lines):
    assert (tags_in(lines) is None) == (lines == [])


def test_a_tag_is_strong_and_quoted():
    assert etag_of(12) == '"12"'


async def asked(api, name, lines, *, method="GET", url=URL):
    headers = [(name.encode(), line.encode("latin-1")) for line in lines]
    return await api.request(method, url, headers=headers)


SENT = [lines for lines in NAMED if all(line.isascii() for line in lines)]


def test_the_document_says_where_a_tag_comes_from(things):
    """Of a read, and of a change, after which the next one needs no read."""
    paths = things.openapi()["paths"]
    for path, method, status in (
        ("/things/{version}", "get", "200"),
        ("/things/{version}", "put", "200"),
        ("/things/{version}", "patch", "200"),
        ("/things", "post", "201"),
    ):
        response = paths[path][method]["responses"][status]
        assert response["headers"]["ETag"]["schema"] == {"type": "string"}, (path, method)
        assert response["content"]["application/json"]["schema"]["$ref"].endswith("/Thing")
    assert "headers" not in paths["/file"]["get"]["responses"]["200"]


@pytest.mark.parametrize("lines", [*SENT, ['W/"3"'], ["*"], ['"1", W/"3"'], ['"1"', 'W/"3"']])
async def test_a_known_version_is_not_sent_again(api, lines):
    answer = await asked(api, "If-None-Match", lines)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == '"3"'
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("lines", [lines for lines in NOT_NAMED if "\u0663" not in lines[0]])
async def test_another_version_is_sent(api, lines):
    answer = await asked(api, "If-None-Match", lines)
    assert (answer.status_code, answer.json()) == (200, {"version": 3})
    assert answer.headers["etag"] == '"3"'


async def test_a_copy_is_confirmed_only_for_the_caller_that_read_it(api):
    """`/me` is another resource for each caller, and both may be at the same version."""
    fresh = await api.get(URL)
    known = await asked(api, "If-None-Match", ['"3"'])
    for answer in (fresh, known):
        assert answer.headers["vary"] == "Authorization"
        assert answer.headers["cache-control"] == "no-cache"


async def test_a_read_of_a_version_that_is_not_there_is_412(api):
    answer = await asked(api, "If-Match", ['"2"'])
    assert answer.status_code == 412
    assert answer.json()["type"].endswith("/precondition-failed")
    assert '"3"' in answer.json()["detail"]
    assert (await asked(api, "If-Match", ['"2"', '"3"'])).status_code == 200


async def test_if_match_is_evaluated_before_if_none_match(api):
    """RFC 9110 §13.2.2."""
    both = {"If-Match": '"2"', "If-None-Match": '"3"'}
    assert (await api.get(URL, headers=both)).status_code == 412
    assert (await api.get(URL, headers={**both, "If-Match": '"3"'})).status_code == 304


async def test_head_is_conditional_as_get_is(api):
    known = await asked(api, "If-None-Match", ['"3"'], method="HEAD")
    other = await asked(api, "If-None-Match", ['"2"'], method="HEAD")
    assert (known.status_code, other.status_code) == (304, 200)
    assert known.headers["etag"] == other.headers["etag"] == '"3"'


@pytest.mark.parametrize(
    ("name", "lines", "status"),
    [
        ("If-Match", ['"3"'], 200),
        ("If-Match", ['"2"', '"3"'], 200),
        ("If-Match", ['"2"'], 412),
        ("If-Match", ['W/"3"'], 412),
        ("If-None-Match", ['"3"'], 412),
        ("If-None-Match", ["*"], 412),
        ("If-None-Match", ['"2"'], 200),
    ],
)
async def test_a_change_is_refused_by_either_field(api, name, lines, status):
    answer = await asked(api, name, lines, method="PATCH")
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["etag"] == '"4"'


async def test_what_was_added_has_its_tag_and_the_fields_of_the_route(api):
    answer = await api.post("/things")
    assert answer.status_code == 201
    assert (answer.headers["etag"], answer.headers["location"]) == ('"1"', "/things/1")


async def test_content_without_a_version_has_a_tag_of_its_bytes(api):
    first = await api.get("/file")
    assert (first.status_code, first.text) == (200, "content")
    again = await asked(api, "If-None-Match", [first.headers["etag"]], url="/file")
    other = await asked(api, "If-None-Match", ['"3"'], url="/file")
    assert (again.status_code, again.content, other.status_code) == (304, b"", 200)
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_field_of_more_than_its_limit_is_422(api):
    assert (await asked(api, "If-None-Match", ['"' + "x" * 1000 + '"'])).status_code == 422
    assert (
        await asked(api, "If-Match", ['"' + "x" * 200 + '"'], method="PATCH")
    ).status_code == 422

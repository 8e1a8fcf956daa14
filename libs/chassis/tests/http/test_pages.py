"""Pages: cursors that come back whole, hostile ones refused, links to the next page."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import UUID

import pytest
from fastapi import FastAPI, Query, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from chassis.database.ids import new_id
from chassis.errors import Invalid
from chassis.http import CountedPageQuery, Page, PageQuery, Pages
from chassis.http.failures import add_handlers
from chassis.http.pages import PageWriter, cursor_of, position_in
from chassis.paging import PageRequest, PageRows, TimePosition
from chassis.times import Moment
from testkit.clients import client_of

MARK = "x" * 8  # the route compares it, before the position is read


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def request(path: str, query: str = "") -> Request:
    headers = [(b"host", b"[")]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
            "server": ("127.0.0.1", 80),
        }
    )


@given(at=st.datetimes(timezones=st.just(UTC)), identity=st.uuids())
def test_a_cursor_comes_back_as_it_was(at: datetime, identity: Any):
    position = TimePosition(at=at, id=identity)
    asked = PageQuery(limit=3, cursor=cursor_of(position, path="/x")).page(TimePosition)
    assert asked == PageRequest(limit=3, after=position)


def test_a_page_without_a_cursor_is_the_first():
    assert PageQuery(limit=3).page(TimePosition) == PageRequest(limit=3, after=None)


def test_a_cursor_is_the_same_text_in_every_release():
    """During a rollout, an old release reads the cursors of a new one, and the other way round."""
    position = TimePosition(
        at=datetime(2026, 1, 1, 12, 30, 0, 5, tzinfo=UTC),
        id=UUID("01960000-0000-7000-8000-000000000001"),
    )
    assert cursor_of(position, path="/api/v1/things") == "Kc-JfbM6" + encoded(
        b'{"at":"2026-01-01T12:30:00.000005Z","id":"01960000-0000-7000-8000-000000000001"}'
    )


def test_a_cursor_of_another_zone_is_the_same_moment():
    at = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    decoded = position_in(cursor_of(TimePosition(at=at, id=new_id()), path="/x"), TimePosition)
    assert decoded.at == at
    assert decoded.at.tzinfo == UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "====",
        "\0",
        encoded(b""),
        encoded(b"\xff"),
        encoded(b"[" * 200),
        encoded([]),
        encoded(None),
        encoded({}),
        encoded({"at": "now", "id": str(new_id())}),
        encoded({"at": "2026-01-01T00:00:00", "id": str(new_id())}),
        encoded({"at": "9999-12-31T23:59:59-23:59", "id": str(new_id())}),
        encoded({"at": 1e400, "id": str(new_id())}),
        encoded({"at": 5, "id": str(new_id())}),
        encoded({"at": "2026-01-01T00:00:00Z", "id": "'; DROP TABLE x"}),
        encoded({"at": "2026-01-01T00:00:00Z", "id": str(new_id()), "more": 1}),
        encoded({"at": "2026-01-01T00:00:00Z"}),
    ],
    ids=range(19),
)
def test_a_cursor_that_no_page_gave_is_refused_and_named(text: str):
    with pytest.raises(Invalid) as error:
        position_in(MARK + text, TimePosition)
    assert [field.parameter for field in error.value.errors] == ["cursor"]


@given(st.text(max_size=100))
def test_no_text_breaks_the_reading_of_a_cursor(text: str):
    with pytest.raises(Invalid):
        position_in(text, TimePosition)


class Wanted(PageQuery):
    """A filter of each kind that a list may have."""

    q: str | None = None
    tag: list[str] = Field(default_factory=list)
    unread: bool | None = None
    since: Moment | None = None
    number: int | None = None


END = TimePosition(at=datetime(2026, 1, 1, tzinfo=UTC), id=new_id())


def linked(query: PageQuery, asked: Request) -> str | None:
    response = Response()
    writer = PageWriter(request=asked, response=response)
    writer.write(PageRows(items=[1], end=END), str, query=query)
    return response.headers.get("link")


def test_a_page_links_to_the_next_with_the_same_filters():
    wanted = Wanted(
        q="a&b",
        cursor="old",
        limit="5",
        tag=["x", "y"],
        unread="false",
        since="2026-01-01T00:00:00Z",
    )
    link = linked(wanted, request("/api/v1/é b"))
    assert link is not None
    target, relation = link.split(";")
    url = urlsplit(target.strip("<>"))
    assert relation.strip() == 'rel="next"'
    assert url.path == "/api/v1/%C3%A9%20b"
    assert sorted(parse_qsl(url.query)) == [
        ("cursor", cursor_of(END, path="/api/v1/%C3%A9%20b")), ("limit", "5"), ("q", "a&b"),
        ("since", "2026-01-01T00:00:00Z"), ("tag", "x"), ("tag", "y"), ("unread", "false"),
    ]  # fmt: skip


def test_a_link_asks_for_what_was_understood():
    """A request with the link has the same parameters as the first request."""
    wanted = Wanted(q="é ü&=%", tag=["a,b", "%"], unread=True, number=-3, limit=7)
    link = linked(wanted, request("/x"))
    assert link is not None
    given = parse_qs(urlsplit(link.split(">")[0].removeprefix("<")).query)
    lists = {name: texts if name == "tag" else texts[-1] for name, texts in given.items()}
    assert Wanted.model_validate(lists) == wanted.model_copy(
        update={"cursor": cursor_of(END, path="/x")}
    )


def test_a_link_holds_only_what_was_given():
    assert (
        linked(Wanted(q=None), request("/x"))
        == f'</x?cursor={cursor_of(END, path="/x")}>; rel="next"'
    )


def test_how_a_query_was_written_does_not_reach_the_link():
    written = "limit=1&" * 1100 + "%6Cimit=1"
    assert linked(Wanted(limit=1), request("/x", written)) == linked(Wanted(limit=1), request("/x"))


@pytest.mark.parametrize("length", [7000, 9000])
def test_a_link_that_no_proxy_would_pass_is_left_out(length: int):
    link = linked(Wanted(q="x" * length), request("/x"))
    assert (link is None) == (length > 8000)


def test_the_last_page_links_nowhere():
    response, asked = Response(), request("/x")
    writer = PageWriter(request=asked, response=response)
    page = writer.write(PageRows(items=[1], end=None), str, query=Wanted())
    assert page.next_cursor is None
    assert page.items == ["1"]
    assert "link" not in response.headers


@pytest.mark.parametrize("asked", [False, True])
def test_a_total_is_asked_for_and_written_and_not_asked_for_again_by_the_link(asked: bool):
    response, query = Response(), CountedPageQuery(limit=1, total=asked)
    assert query.page(TimePosition).counted is asked
    end = TimePosition(at=datetime(2026, 1, 1, tzinfo=UTC), id=new_id())
    found = PageRows(items=[1], end=end, total=7 if asked else None)
    page = PageWriter(request=request("/things"), response=response).write_counted(
        found, str, query=query
    )
    assert (page.items, page.total) == (["1"], 7 if asked else None)
    assert "total" not in response.headers["link"]
    assert "limit=1" in response.headers["link"]


@pytest.fixture
async def lists():
    """Two lists of one order, as a client sees them."""
    app = FastAPI()
    add_handlers(app)

    async def read_list(query: Annotated[PageQuery, Query()], pages: Pages) -> Page[str]:
        after = query.page(TimePosition).after
        found = PageRows(items=["first" if after is None else "second"], end=END)
        return pages.write(found, str, query=query)

    for path in ("/one", "/two", "/one/{thing}/parts"):
        app.get(path)(read_list)
    async with client_of(app) as client:
        yield client


async def test_a_cursor_leads_on_in_its_own_list(lists):
    cursor = (await lists.get("/one")).json()["next_cursor"]
    assert (await lists.get("/one", params={"cursor": cursor})).json()["items"] == ["second"]


@pytest.mark.parametrize("sent", ["cursor=", "limit=5&cursor=", "cursor=x&%63ursor="])
@pytest.mark.parametrize(
    ("given_by", "asked"),
    [
        ("/one", "/two"),
        ("/two", "/one"),
        ("/one/a/parts", "/one/b/parts"),
        ("/one", "/one/a/parts"),
    ],
)
async def test_a_cursor_of_another_list_of_the_same_order_is_refused(lists, given_by, asked, sent):
    """It would be read as a position, and lead to a page that is empty or begins anywhere."""
    cursor = (await lists.get(given_by)).json()["next_cursor"]
    answer = await lists.get(f"{asked}?{sent}{cursor}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["cursor"]

"""Pages and validators: cursors that come back whole, hostile ones refused, ETags compared."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from chassis.database.models import new_id
from chassis.errors import Invalid, PreconditionFailed
from chassis.http import Cursor, PageQuery, check_if_match, etag_of, page_of
from chassis.http.concurrency import matches


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
    cursor = Cursor(at=at, id=identity)
    assert PageQuery(cursor=cursor.encode()).after() == cursor


def test_a_cursor_of_another_zone_is_the_same_moment():
    at = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    decoded = Cursor.decode(Cursor(at=at, id=new_id()).encode())
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
        Cursor.decode(text)
    assert [field.parameter for field in error.value.errors] == ["cursor"]


@given(st.text(max_size=100))
def test_no_text_breaks_the_reading_of_a_cursor(text: str):
    with pytest.raises(Invalid):
        Cursor.decode(text)


def test_a_page_links_to_the_next_with_the_same_filters():
    response = Response()
    cursor = Cursor(at=datetime(2026, 1, 1, tzinfo=UTC), id=new_id())
    asked = request("/api/v1/é b", "q=a%26b&cursor=old&limit=5&tag=x&tag=y")
    page = page_of([1], next_cursor=cursor, request=asked, response=response)
    target, relation = response.headers["link"].split(";")
    url = urlsplit(target.strip("<>"))
    assert relation.strip() == 'rel="next"'
    assert url.path == "/api/v1/%C3%A9%20b"
    assert parse_qsl(url.query) == [
        ("q", "a&b"), ("limit", "5"), ("tag", "x"), ("tag", "y"), ("cursor", page.next_cursor),
    ]  # fmt: skip


def test_the_last_page_links_nowhere():
    response = Response()
    page = page_of([1], next_cursor=None, request=request("/x"), response=response)
    assert page.next_cursor is None
    assert "link" not in response.headers


@pytest.mark.parametrize("header", [None, "*", '"3"', ' "3" ', '"1", "3"', '"1","3"'])
def test_if_match_lets_the_present_version_pass(header: str | None):
    check_if_match(header, 3)


@pytest.mark.parametrize("header", ['"2"', "3", 'W/"3"', "", "x", '"33"', '"3'])
def test_if_match_refuses_any_other(header: str):
    """A weak tag never matches here (RFC 9110 §13.1.1)."""
    with pytest.raises(PreconditionFailed, match='resource is at "3"'):
        check_if_match(header, 3)


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"1", W/"3"', "*", " * "])
def test_if_none_match_knows_the_present_version(header: str):
    """A weak tag matches here (RFC 9110 §13.1.2)."""
    assert matches(header, 3)


@pytest.mark.parametrize("header", [None, '"2"', "3", "", 'w/"3"'])
def test_if_none_match_knows_no_other(header: str | None):
    assert not matches(header, 3)


def test_a_tag_is_strong_and_quoted():
    assert etag_of(12) == '"12"'

"""A cookie that only pages of allowed origins can make use of."""

from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response

from chassis.http.host_cookie import CrossOrigin, HostCookie, origin_of

COOKIE = HostCookie(name="secret", lifetime=timedelta(hours=1), origins={"https://api.example.com"})


def request_with(**fields):
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Request({"type": "http", "headers": headers})


def written(act):
    response = Response()
    act(response)
    return response.headers["set-cookie"]


def test_it_is_for_this_host_and_not_for_scripts():
    line = written(lambda response: COOKIE.write(response, "abc"))
    name, *attributes = line.split("; ")
    assert name == "__Host-secret=abc"
    assert set(map(str.lower, attributes)) == {
        "httponly",
        "max-age=3600",
        "path=/",
        "samesite=strict",
        "secure",
    }


def test_it_is_deleted_with_the_attributes_that_it_was_set_with():
    """A browser ignores a line for a `__Host-` name that lacks one of them."""
    line = written(COOKIE.clear).lower()
    assert line.startswith("__host-secret=")
    for attribute in ("max-age=0", "path=/", "secure", "httponly", "samesite=strict"):
        assert attribute in line
    assert "domain" not in line


@pytest.mark.parametrize(
    ("cookie", "value"),
    [
        ("__Host-secret=abc", "abc"),
        ("a=b; __Host-secret=abc; c=d", "abc"),
        ("__Host-secret=", None),
        ("secret=abc", None),
        ("__Secure-secret=abc", None),
        ("", None),
    ],
)
def test_it_is_found_by_its_whole_name(cookie, value):
    assert COOKIE.read(request_with(cookie=cookie, sec_fetch_site="same-origin")) == value


def test_a_request_without_it_is_not_checked():
    assert COOKIE.read(request_with(sec_fetch_site="cross-site")) is None


def test_a_page_of_another_origin_can_not_use_it():
    fields = {"cookie": "__Host-secret=abc", "origin": "https://evil.example"}
    with pytest.raises(CrossOrigin, match=r"https://evil\.example") as caught:
        COOKIE.read(request_with(**fields))
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://API.example.com/a?b#c", "https://api.example.com"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000"),
    ],
)
def test_the_origin_of_an_address(url, origin):
    assert origin_of(url) == origin

"""Which fields of a service's response reach the client."""

import pytest

from gateway.errors import Refused
from gateway.response_heads import response_fields

OWN = (b"x-own", b"1")


@pytest.mark.parametrize(
    "name",
    [
        *("alt-svc", "connection", "date", "http2-settings", "keep-alive", "proxy-authenticate"),
        *("proxy-authorization", "proxy-connection", "server", "te", "trailer", "upgrade"),
        *("transfer-encoding", "x-request-id"),
    ],
)
def test_what_is_of_the_connection_or_of_the_gateway_is_not_passed_back(name):
    assert response_fields(200, [(name.encode(), b"x"), OWN]) == [OWN]


def test_connection_names_fields_on_all_its_lines_but_not_the_length():
    raw = [
        *((b"connection", b"X-A, content-length"), (b"connection", b"x-b")),
        *((b"x-a", b"1"), (b"x-b", b"1"), (b"content-length", b"5")),
    ]
    assert response_fields(200, raw) == [(b"content-length", b"5")]


@pytest.mark.parametrize("byte", [b"\x00", b"\n", b"\r", b"\x0b", b"\x1f", b"\x7f"])
def test_a_field_that_could_begin_another_one_is_502(byte):
    with pytest.raises(Refused) as caught:
        response_fields(200, [OWN, (b"x-a", b"1%b2" % byte)])
    assert caught.value.status == 502


def test_a_tab_and_bytes_beyond_ascii_pass():
    assert response_fields(200, [(b"x-a", b"1\t\xe9")]) == [(b"x-a", b"1\t\xe9")]


@pytest.mark.parametrize("status", [0, 101, 199, 600, 999])
def test_a_status_that_is_not_final_or_unknown_is_502(status):
    with pytest.raises(Refused) as caught:
        response_fields(status, [])
    assert caught.value.status == 502


@pytest.mark.parametrize(("status", "kept"), [(204, [OWN]), (304, [OWN]), (200, None)])
def test_a_response_without_a_body_describes_none(status, kept):
    raw = [(b"content-length", b"5"), (b"content-type", b"a/b"), OWN]
    assert response_fields(status, raw) == (raw if kept is None else kept)


@pytest.mark.parametrize(
    ("status", "sent", "allow"),
    [
        (405, b"GET", b"GET, OPTIONS"),
        (405, b"GET, OPTIONS", b"GET, OPTIONS"),
        (405, b"", b"OPTIONS"),
        (200, b"GET", b"GET"),
    ],
)
def test_a_service_that_does_not_know_options_need_not_name_it(status, sent, allow):
    assert response_fields(status, [(b"allow", sent), OWN]) == [(b"allow", allow), OWN]

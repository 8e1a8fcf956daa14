"""What the gateway makes of the fields of a request's head, and which of them a service gets."""

import pytest

from chassis.errors import Malformed
from gateway.addresses import Origin
from gateway.errors import Suspicious
from gateway.headers import Kinds, read_head
from gateway.upstream_heads import authority_of, origin_fields, with_host_cookies

HOST = (b"host", b"x")
TRUSTED = Origin(client="203.0.113.9", trusted=True, chain="203.0.113.9, 10.0.0.1")
STRANGER = Origin(client="203.0.113.9", trusted=False, chain="203.0.113.9")


def read(*lines, version="1.1"):
    return read_head([HOST, *lines], Kinds(), version=version)


def test_names_that_clients_choose_take_little_memory():
    kinds = Kinds()
    for number in range(10_000):
        kinds.get(b"x-%d" % number)
        kinds.get(b"x-%d-" % number + b"y" * 10_000)
    assert len(kinds.known) < 5_000
    assert sum(map(len, kinds.known)) < 100_000


def test_however_many_names_clients_choose_the_same_fields_are_removed():
    kinds = Kinds()
    for number in range(5_000):
        kinds.get(b"x-%d" % number)
    lines = [HOST, (b"te", b"trailers"), (b"x-roles", b"admin"), (b"x-own", b"1")]
    assert read_head(lines, kinds, version="1.1").fields == [(b"x-own", b"1")]


@pytest.mark.parametrize(
    "name",
    [
        *("connection", "http2-settings", "keep-alive", "proxy-authenticate", "te", "trailer"),
        *("proxy-authorization", "proxy-connection", "upgrade", "expect", "baggage"),
        *("traceparent", "tracestate", "x-request-id", "host"),
        *("forwarded", "remote-user", "x-real-ip", "x-remote-user", "x-request-timeout-ms"),
        *("x-http-method", "x-http-method-override", "x-method-override", "x-rewrite-url"),
        *("x-original-url", "x-original-uri", "x-user", "x-user-id", "x-authenticated-user"),
        *("x-auth-request-user", "x-roles", "x-scopes", "x-session-id", "x_user", "x_real_ip"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-user"),
    ],
)
def test_what_is_of_the_connection_or_only_the_gateway_may_say_is_not_passed_on(name):
    lines = [] if name == "host" else [(name.encode(), b"x")]
    assert read(*lines, (b"x-own", b"1")).fields == [(b"x-own", b"1")]


@pytest.mark.parametrize(
    "lines",
    [
        [HOST],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"content-length", b"0"), (b"content-length", b"5")],
        [(b"content-type", b"a/b"), (b"content-type", b"a/b")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"1")],
        [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"1"), (b"connection", b"content-length")],
    ],
)
def test_a_head_that_a_service_could_read_in_another_way_is_refused(lines):
    with pytest.raises(Suspicious):
        read(*lines)


def test_only_a_request_of_http_10_needs_no_host():
    assert read_head([], Kinds(), version="1.0").host is None
    with pytest.raises(Suspicious):
        read_head([], Kinds(), version="1.1")


def test_a_credential_that_is_not_utf_8_is_malformed():
    with pytest.raises(Malformed):
        read((b"authorization", b"Bearer \xff"))


def test_connection_names_fields_on_all_its_lines():
    named = [(b"connection", b"close, X-A"), (b"connection", b" x-b")]
    fields = [(b"x-a", b"1"), (b"x-b", b"1"), (b"x-c", b"1")]
    assert read(*named, *fields).fields == [(b"x-c", b"1")]


def test_what_is_passed_on_apart_from_the_other_fields_can_be_named_by_connection_too():
    """Cookies of `__Host-`, for the routes that get them, and a trusted proxy's baggage."""
    fields = [(b"cookie", b"__Host-refresh-token=r; a=b"), (b"baggage", b"user=7")]
    head = read(*fields, (b"connection", b"cookie, baggage"))
    assert with_host_cookies(head.fields, head) == []
    assert head.baggage is None


def test_of_a_repeated_origin_or_request_id_the_first_counts():
    head = read(
        *((b"origin", b" https://a "), (b"origin", b"https://b")),
        *((b"x-request-id", b"1"), (b"x-request-id", b"2")),
    )
    assert (head.origin, head.request_id) == (b"https://a", b"1")


def test_the_host_that_a_proxy_names_counts_only_if_the_proxy_is_trusted():
    head = read((b"x-forwarded-host", b"shop.example"), (b"x-forwarded-proto", b"https"))
    assert authority_of(head, TRUSTED, "http") == b"https://shop.example\nx"
    assert authority_of(head, STRANGER, "http") == b"http://x\nx"
    assert dict(origin_fields(head, origin=STRANGER, scheme="wss")) == {
        b"host": b"x",
        b"x-forwarded-for": b"203.0.113.9",
        b"x-forwarded-host": b"x",
        b"x-forwarded-proto": b"https",
        b"x-real-ip": b"203.0.113.9",
    }


def test_a_field_that_proxies_repeat_keeps_all_its_lines():
    head = read((b"x-forwarded-host", b"a"), (b"x-forwarded-host", b"b"))
    assert head.forwarded == {b"x-forwarded-host": b"a, b"}


def test_a_token_takes_the_place_of_a_credential_that_is_passed_on():
    head = read((b"authorization", b"Bearer key"))
    head.replace_bearer("token")
    assert head.fields == [(b"authorization", b"Bearer token")]
    head.replace_bearer(None)
    assert head.fields == []
    hidden = read((b"authorization", b"Bearer key"), (b"connection", b"authorization"))
    hidden.replace_bearer("token")
    assert hidden.fields == []


@pytest.mark.parametrize(
    ("scheme", "told"), [("http", b"http"), ("https", b"https"), ("ws", b"http"), ("wss", b"https")]
)
def test_a_service_is_told_the_scheme_that_its_client_used(scheme, told):
    fields = dict(origin_fields(read(), origin=STRANGER, scheme=scheme))
    assert fields[b"x-forwarded-proto"] == told
    assert authority_of(read(), STRANGER, scheme) == b"%b://x\nx" % told


def test_all_lines_of_baggage_are_noted():
    assert read((b"baggage", b"a=1"), (b"baggage", b"b=2")).baggage == [b"a=1", b"b=2"]

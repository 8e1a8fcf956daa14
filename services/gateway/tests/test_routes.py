from ipaddress import ip_network

import pytest

from gateway.addresses import Addresses, limit_key
from gateway.routes import (
    ROUTES,
    WEBSOCKET,
    Auth,
    BulkheadClass,
    LimitClass,
    Route,
    RouteTable,
)

TABLE = RouteTable(
    [
        Route(prefix="/a", service="a"),
        Route(prefix="/a/b", service="b"),
        Route(prefix="/a/b", service="b-post", methods=frozenset({"POST"}), exact=True),
        Route(prefix="/a/b/ws", service="ws", websocket=True, exact=True),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/a", "a"),
        ("GET", "/a/x/y", "a"),
        ("GET", "/a/bc", "a"),
        ("GET", "/a/b", "b"),
        ("GET", "/a/b/c", "b"),
        ("POST", "/a/b", "b-post"),
        ("POST", "/a/b/c", "b"),
        ("GET", "/a/b/ws", "b"),
        (WEBSOCKET, "/a/b/ws", "ws"),
        (WEBSOCKET, "/a/b/ws/x", None),
        (WEBSOCKET, "/a/b", None),
        ("GET", "/", None),
        ("GET", "", None),
        ("GET", "a", None),
        ("GET", "*", None),
        ("GET", "/ab", None),
    ],
)
def test_the_longest_prefix_wins_and_the_method_decides_between_equals(method, path, service):
    found = TABLE.find(method, path)
    assert (None if found is None else found.service) == service


def test_a_new_entry_wants_a_token_and_the_common_limit():
    route = Route(prefix="/x", service="x")
    assert (route.auth, route.limit) == (Auth.REQUIRED, LimitClass.DEFAULT)


def test_nothing_is_public_because_of_where_it_lies():
    """A public route is read-only, or one exact path, so a path added below it needs a token."""
    reading = {"GET", "HEAD"}
    open_doors = [
        route
        for route in ROUTES
        if route.auth is Auth.PUBLIC
        and not route.exact
        and not (route.methods is not None and route.methods <= reading)
    ]
    assert not open_doors


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/auth",
        "/api/v1/auth/sessions",
        "/api/v1/auth/totp/confirm",
        "/api/v1/auth/login/x",
        "/api/v1/auth/login/",
        "/api/v1/auth/tokens",
        "/api/v1/users/1",
        "/api/v1/email-verifications/x",
        "/api/v1/email-verifications/confirm/",
        "/api/v1/password-resets/x",
        "/api/v1/password-resets/confirm/x",
        "/api/v1/notifications/unsubscribe/x",
        "/api/v1/notifications/unsubscribe/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_below_public_paths_a_token_is_wanted(method, path):
    found = RouteTable(ROUTES).find(method, path)
    assert found is not None
    assert found.auth is Auth.REQUIRED


@pytest.mark.parametrize(
    ("method", "auth"),
    [("GET", Auth.PUBLIC), ("HEAD", Auth.PUBLIC), ("POST", Auth.PUBLIC), ("PUT", Auth.REQUIRED)],
)
def test_the_link_of_a_mail_needs_no_access_token(method, auth):
    found = RouteTable(ROUTES).find(method, "/api/v1/notifications/unsubscribe")
    assert found is not None
    assert found.auth is auth


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/api/v1/users", LimitClass.REGISTRATION),
        ("POST", "/api/v1/auth/login", LimitClass.LOGIN),
        ("PUT", "/api/v1/users/me/password", LimitClass.LOGIN),
        ("POST", "/api/v1/password-resets/confirm", LimitClass.LOGIN),
    ],
)
def test_what_hashes_a_password_has_a_low_rate_a_bulkhead_and_a_small_body(method, path, limit):
    found = RouteTable(ROUTES).find(method, path)
    assert found is not None
    assert (found.limit, found.bulkhead) == (limit, BulkheadClass.PASSWORDS)
    assert found.max_body_bytes == 16 * 1024


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/api/v1/auth/passkeys/log-in-options", LimitClass.LOGIN),
        ("POST", "/api/v1/auth/passkeys/log-in", LimitClass.LOGIN),
        ("GET", "/api/v1/notifications/unsubscribe", LimitClass.UNSUBSCRIBE),
        ("POST", "/api/v1/notifications/unsubscribe", LimitClass.UNSUBSCRIBE),
        ("GET", "/api/v1/users/me/export", LimitClass.EXPORT),
    ],
)
def test_what_is_open_to_guesses_or_costly_has_a_rate_of_its_own(method, path, limit):
    found = RouteTable(ROUTES).find(method, path)
    assert found is not None
    assert found.limit is limit


def test_only_the_routes_that_read_the_refresh_token_get_its_cookie():
    found = {route.prefix for route in ROUTES if route.host_cookies}
    assert found == {"/api/v1/auth/token", "/api/v1/auth/revoke"}


def test_the_published_keys_are_not_cached_because_a_copy_would_outlive_a_withdrawal():
    assert {route.prefix for route in ROUTES if route.cacheable} == {"/api/v1/products"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/auth/token"),
        ("POST", "/api/v1/auth/revoke"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/api/v1/notifications/unsubscribe"),
    ],
)
def test_what_standards_define_in_one_form_stays_in_it(method, path):
    found = RouteTable(ROUTES).find(method, path)
    assert found is not None
    assert not found.represented


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
    ],
)
def test_a_site_of_ipv6_counts_as_one_address(address, key):
    assert limit_key(address) == key


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "1.1.1.1 | 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1 | 198.51.100.7, 10.0.0.9 | 10.0.0.8", "198.51.100.7"),
        ("10.0.0.1", "\xff | 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, \xff", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("nonsense", "198.51.100.7", "nonsense"),
    ],
)
def test_the_client_is_the_nearest_hop_that_is_not_trusted(peer, forwarded_for, client):
    addresses = Addresses([ip_network("10.0.0.0/8")])
    lines = [] if forwarded_for is None else forwarded_for.split(" | ")
    fields = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    assert addresses.origin({"client": (peer, 1), "headers": fields}).client == client


def test_a_proxy_is_trusted_also_if_it_names_no_client():
    addresses = Addresses([ip_network("10.0.0.0/8")])
    origin = addresses.origin({"client": ("10.0.0.1", 1), "headers": []})
    assert (origin.trusted, origin.client, origin.chain) == (True, "10.0.0.1", "10.0.0.1")


def test_a_client_of_a_unix_socket_has_no_address():
    assert Addresses([]).origin({"client": None, "headers": []}).client == "unknown"


def test_peers_that_are_no_proxies_take_little_memory():
    addresses = Addresses([ip_network("10.0.0.0/8")])
    for number in range(5_000):
        assert not addresses.trusts({"client": (f"2001:db8::{number:x}", 1)})
    assert len(addresses._peers) < 2_000


def test_a_site_of_ipv6_is_counted_as_one_client():
    origin = Addresses([]).origin({"client": ("2001:db8:1:2::7", 1), "headers": []})
    assert origin.limit_key == "address:2001:db8:1:2::/64"
    assert origin.client == "2001:db8:1:2::7"

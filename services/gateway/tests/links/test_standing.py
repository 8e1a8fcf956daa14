from datetime import date

import pytest

from gateway.links.standing import standing_fields
from gateway.routes import ROUTES, Route

VARY = (b"vary", b"accept, accept-encoding")
DAY, END = date(2026, 1, 1), date(2026, 7, 1)
PREFIX = "/api/v1/things"


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({}, [VARY]),
        ({"stream": True}, []),
        ({"represented": False}, []),
        ({"deprecated": DAY}, [VARY, (b"deprecation", b"@1767225600")]),
        (
            {"deprecated": DAY, "sunset": END, "successor": "/api/v2/things"},
            [
                VARY,
                (b"deprecation", b"@1767225600"),
                (b"sunset", b"Wed, 01 Jul 2026 00:00:00 GMT"),
                (b"link", b'</api/v2/things>; rel="successor-version"'),
            ],
        ),
        (
            {"represented": False, "deprecated": DAY, "deprecation_notice": "/docs"},
            [
                (b"deprecation", b"@1767225600"),
                (b"link", b'</docs>; rel="deprecation"; type="text/html"'),
            ],
        ),
    ],
)
def test_the_fields_of_a_route_follow_from_its_entry(terms, fields):
    assert standing_fields(Route(prefix=PREFIX, service="orders", **terms)) == fields


@pytest.mark.parametrize("terms", [{"sunset": END}, {"deprecated": END, "sunset": DAY}])
def test_a_sunset_before_the_deprecation_is_refused(terms):
    with pytest.raises(ValueError, match="sunset"):
        Route(prefix=PREFIX, service="orders", **terms)


def test_only_public_reads_are_cacheable():
    for route in ROUTES:
        if route.cacheable:
            assert route.auth == "public"
            assert route.methods == frozenset({"GET", "HEAD"})
            assert not route.stream

import pytest

from gateway.links.cache_control import Freshness, age_of, directives_of, freshness_of

NOT_STORED = Freshness(stored=False)


def kept(seconds, **terms):
    return Freshness(stored=True, seconds=seconds, **terms)


@pytest.mark.parametrize(
    ("value", "freshness"),
    [
        (None, NOT_STORED),
        (b"", NOT_STORED),
        (b"public", NOT_STORED),  # without a lifetime; none is guessed
        (b"max-age=10", kept(10)),
        (b"MAX-AGE=10, Public", kept(10, public=True)),
        (b"max-age=10, s-maxage=20", kept(20)),
        (b"s-maxage=0, max-age=10", kept(0)),
        (b"max-age=10, no-store", NOT_STORED),
        (b"max-age=10, private", NOT_STORED),
        (b'max-age=10, private="x-field"', NOT_STORED),
        (b"max-age=10, no-cache", kept(0)),
        (b'max-age="10"', kept(10)),
        (b"max-age=-1", kept(0)),
        (b"max-age=ten", kept(0)),
        (b"max-age=1.5", kept(0)),
        (b"max-age", kept(0)),
        (b"max-age=" + b"9" * 5000, kept(0)),
        (b"max-age=99999999999", kept(2**31)),
        (b"max-age=10, max-age=20", kept(10)),
        (b"max-age=10, stale-while-revalidate=5", kept(10, stale_seconds=5)),
        (b"max-age=10, stale-if-error=60", kept(10, stale_on_error_seconds=60)),
        (b"max-age=10, stale-while-revalidate=5, must-revalidate", kept(10)),
        (b"max-age=10, stale-while-revalidate=5, proxy-revalidate", kept(10)),
        (b"s-maxage=10, stale-if-error=5", kept(10)),
        (b'max-age=10, x-new="a, no-store"', kept(10)),
        (b"max-age=10, =broken, no-store", NOT_STORED),
        (b'max-age=10, x="open, no-store', NOT_STORED),
        (b"max-age=10 public", kept(10, public=True)),
        (b",, max-age=10 ,,", kept(10)),
    ],
)
def test_a_shared_cache_keeps_what_it_may_and_as_long_as_it_may(value, freshness):
    fields = [] if value is None else [(b"cache-control", value)]
    assert freshness_of(fields) == freshness


def test_lines_of_cache_control_are_one_list():
    fields = [(b"cache-control", b"max-age=10"), (b"cache-control", b"no-store")]
    assert freshness_of(fields) == NOT_STORED


def test_what_cannot_be_read_says_no_store():
    assert directives_of(b"max-age=1, @") == {b"no-store": b""}


@pytest.mark.parametrize(("value", "age"), [(b"7", 7), (b"x", 0), (b"-1", 0), (b"7, 9", 0)])
def test_age(value, age):
    assert age_of([(b"age", value)]) == age

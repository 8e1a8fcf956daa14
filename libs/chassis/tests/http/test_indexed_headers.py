"""The index of a request's fields reads them as the framework's own object does."""

import pytest
from starlette.datastructures import Headers

from chassis.http.content import IndexedHeaders

RAW = [(b"x-one", b"first"), (b"x-two", b"caf\xe9"), (b"x-one", b"second")]


@pytest.mark.parametrize("name", ["x-one", "X-One", "x-two", "X-TWO"])
def test_a_field_is_the_first_of_its_lines_in_any_case(name):
    assert IndexedHeaders(RAW)[name] == Headers(raw=RAW)[name]


def test_all_lines_of_a_field_are_there():
    fields = IndexedHeaders(RAW)
    assert fields.getlist("X-One") == ["first", "second"]
    assert dict(fields) == dict(Headers(raw=RAW))


def test_a_field_that_was_not_sent_is_missing():
    fields = IndexedHeaders(RAW)
    assert fields.get("x-three") is None
    assert "x-three" not in fields
    with pytest.raises(KeyError, match="X-Three"):
        _ = fields["X-Three"]

"""Canaries: httptools' parser stops and goes on as `chassis.library_internals` relies on."""

import httptools
import pytest

from chassis.library_internals.httptools import head_end, parser_as_uvicorn_makes_it
from testkit.library_internals import PrivateName

USED_BY = "chassis.library_internals.httptools"
OFFER = b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\n"


class Ignoring:
    """A protocol to which nothing matters."""


def test_an_upgrade_says_where_the_head_ended():
    parser = httptools.HttpRequestParser(Ignoring())
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        parser.feed_data(OFFER + b"hi")
    where = PrivateName(
        library="httptools", owner=httptools.HttpParserUpgrade, name="args", used_by=USED_BY
    )
    found = stopped.value.args
    assert head_end(stopped.value) == len(OFFER), where.look_at(f"says {found} for {len(OFFER)}")


def test_a_parser_can_be_as_lenient_as_that_of_uvicorn():
    where = PrivateName(
        library="httptools",
        owner=httptools.HttpRequestParser,
        name="set_dangerous_leniencies",
        used_by=USED_BY,
    )
    where.check()
    closing = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    with pytest.raises(httptools.HttpParserError):
        httptools.HttpRequestParser(Ignoring()).feed_data(closing + closing)
    parser_as_uvicorn_makes_it(Ignoring()).feed_data(closing + closing)

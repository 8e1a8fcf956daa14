"""httptools' parser of HTTP/1.1: undocumented parts."""

import httptools


def head_end(upgrade: httptools.HttpParserUpgrade) -> int:
    """Return how many bytes were parsed before the parser stopped for an upgrade."""
    end: int = upgrade.args[0]
    return end


def parser_as_uvicorn_makes_it(protocol: object) -> httptools.HttpRequestParser:
    """Return a new parser, as lenient as the one that uvicorn makes for a connection.

    It accepts a pipelined request after `Connection: close`; uvicorn responds to the first request
    and closes.
    """
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser

"""Responses of a service: an invalid one is 502 or a cut, and never another request's response."""

from .cases import CHANGE, CLOSED, KEPT, LIST, READ, Case, Reply, get, post, request
from .heads import LENGTH

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CUT = ("200 cut",)


def answer(*lines: str, body: bytes = b"", status: str = "200 OK", version: str = "1.1") -> bytes:
    """Return the bytes of a response."""
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("latin-1") + body


def case(
    name: str,
    data: bytes,
    *got: str,
    kept: bool = KEPT,
    ends: bool = False,
    method: str = "GET",
    path: str = READ,
    absent: bytes = b"",
) -> Case:
    """Return the case of one request and a response to it; what follows needs a new connection."""
    return Case(
        name=f"{name} ({path.rpartition('/')[2]})",
        send=request(method, path),
        got=got,
        kept=kept,
        seen=(f"{method} {path}",),
        heads=(0,) if method == "HEAD" else (),
        replies=(Reply(data=data, ends=ends),),
        absent=absent,
    )


def both(
    name: str, data: bytes, *got: str, ends: bool = False, absent: bytes = b""
) -> tuple[Case, Case]:
    """Return the case for a response that streams through, and for one that is held."""
    return (
        case(name, data, *got, ends=ends, absent=absent),
        case(name, data, *got, ends=ends, absent=absent, path=LIST),
    )


def bad(name: str, data: bytes) -> tuple[Case, Case]:
    """Return the cases of a response that is rejected before the client gets a byte of it."""
    return both(name, data, "502")


def cut(name: str, data: bytes, *, ends: bool = True) -> tuple[Case, Case]:
    """Return the cases of a body that is not completed: a cut, or 502 if it was held."""
    held = data.replace(b"\r\n", b"\r\nCache-Control: public, max-age=60\r\n", 1)
    return (
        case(name, data, "200 cut", kept=CLOSED, ends=ends),
        case(name, held, "502", ends=ends, path=LIST),
    )


VALID = (
    *both("a length", OK, "200 ok"),
    *both("chunks", answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"), "200 ok"),
    *both(
        "an extension",
        answer("Transfer-Encoding: chunked", body=b"2;a=b\r\nok\r\n0\r\n\r\n"),
        "200 ok",
    ),
    *both("the connection's end", answer(body=b"ok"), "200 ok", ends=True),
    *both("an empty body at the end", answer(), "200", ends=True),
    *both(
        "close", answer("Connection: close", "Content-Length: 2", body=b"ok"), "200 ok", ends=True
    ),
    *both("HTTP/1.0", answer("Content-Length: 2", body=b"ok", version="1.0"), "200 ok", ends=True),
    *both("another version", answer("Content-Length: 2", body=b"ok", version="2.0"), "200 ok"),
    *both("no reason", answer("Content-Length: 2", body=b"ok", status="200 "), "200 ok"),
    *both("100 first", answer(status="100 Continue") + OK, "200 ok"),
    *both("103 first", answer("Link: x", status="103 Early Hints") + OK, "200 ok", absent=b"link"),
    *both("many interim ones", answer(status="102 Processing") * 20 + OK, "200 ok"),
    Case(
        name="chunks for a client of HTTP/1.0, which knows none",
        send=get(version="1.0"),
        got=("200 ok",),
        kept=CLOSED,
        seen=(f"GET {READ}",),
        replies=(Reply(data=answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")),),
        absent=b"transfer-encoding",
    ),
    case("204", answer(status="204 No Content"), "204"),
    case("204 with a length", answer("Content-Length: 0", status="204 No Content"), "204"),
    case(
        "204 with a type",
        answer("Content-Type: a/b", status="204 None"),
        "204",
        absent=b"content-type",
    ),
    case("204 with a body", answer("Content-Length: 2", status="204 None", body=b"ok"), "204"),
    case("304", answer('ETag: "7"', status="304 Not Modified"), "304"),
    case("304 with a length", answer("Content-Length: 2", status="304 Not Modified"), "304"),
    case("304 with a body", answer("Content-Length: 2", status="304 Same", body=b"ok"), "304"),
    case("HEAD", answer("Content-Length: 2"), "200", method="HEAD"),
    case("HEAD with a body", OK, "200", method="HEAD"),
    case("HEAD with chunks", answer("Transfer-Encoding: chunked"), "200", method="HEAD"),
    case("HEAD of a list", answer("Content-Length: 2"), "200", method="HEAD", path=LIST),
    case(
        "a field that Connection names",
        answer("Connection: X-Hop", "X-Hop: 1", "Content-Length: 2", body=b"ok"),
        "200 ok",
        absent=b"x-hop",
    ),
    case(
        "trailers",
        answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"),
        "200 ok",
        absent=b"x-late",
    ),
    case(
        "an offer to upgrade",
        answer("Upgrade: h2c", "Connection: Upgrade", "Content-Length: 2", body=b"ok"),
        "200 ok",
        absent=b"upgrade",
    ),
)

BAD = (
    *bad("another protocol", b"ICY 200 OK\r\n\r\n"),
    *bad("garbage", b"garbage\r\n\r\n"),
    *bad("a status of two digits", answer("Content-Length: 2", body=b"ok", status="20 OK")),
    *bad("a status of four digits", answer("Content-Length: 2", body=b"ok", status="2000 OK")),
    *bad("the status 600", answer("Content-Length: 2", body=b"ok", status="600 OK")),
    *bad("the status 0", answer("Content-Length: 2", body=b"ok", status="000 OK")),
    *bad("101", answer("Upgrade: h2c", "Connection: Upgrade", status="101 Switching Protocols")),
    *bad("101 without an offer", answer(status="101 Switching Protocols") + OK),
    *bad("two lengths", answer("Content-Length: 2", "Content-Length: 3", body=b"ok")),
    *bad("a list of lengths", answer("Content-Length: 2, 2", body=b"ok")),
    *bad("a negative length", answer("Content-Length: -2", body=b"ok")),
    *bad("a length that is none", answer("Content-Length: two", body=b"ok")),
    *bad("length and chunks", answer("Content-Length: 2", "Transfer-Encoding: chunked")),
    *bad("another encoding", answer("Transfer-Encoding: gzip", body=b"ok")),
    *bad("two encodings", answer("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    *bad("chunked is not the last", answer("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n")),
    *bad("a NUL", answer("X-A: a\x00", "Content-Length: 2", body=b"ok")),
    *bad("a control character", answer("X-A: a\x01", "Content-Length: 2", body=b"ok")),
    *bad("a carriage return alone", answer("X-A: a\rX-B: b", "Content-Length: 2", body=b"ok")),
    *bad("a name with a space", answer("X A: b", "Content-Length: 2", body=b"ok")),
    *bad("no name", answer(": b", "Content-Length: 2", body=b"ok")),
    *bad("a space before the colon", answer("Content-Length : 2", body=b"ok")),
    *bad("a huge head", answer(*["X: y"] * 20_000)),
    *bad("a head that is too large", answer(f"X: {'x' * 33_000}", "Y: " + "y" * 1_000)),
    *bad("many short fields", answer(*["X:"] * 7_000)),
    *bad(
        "a head that is too large after an interim one",
        answer(status="103 Early Hints") + answer(f"X: {'x' * 33_000}", "Y: " + "y" * 1_000),
    ),
    *bad("an endless field", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
)

ENDS = tuple(
    Case(
        name=name,
        send=post(LENGTH, body=b"hello"),
        got=("502",),
        kept=KEPT,
        seen=(f"POST {CHANGE} hello",),
        replies=(Reply(data=data, ends=True),),
    )
    for name, data in (
        ("it closes", b""),
        ("half a first line", b"HTTP/1.1 20"),
        ("half a head", b"HTTP/1.1 200 OK\r\nX: "),
        ("only an interim response", answer("Link: x", status="103 Early Hints")),
    )
)

CUTS = (
    *cut("a short body", answer("Content-Length: 5", body=b"ok")),
    *cut("a chunk too few", answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\n")),
    *cut("half a chunk", answer("Transfer-Encoding: chunked", body=b"5\r\nok")),
    *cut(
        "a bad chunk", answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\nzz\r\n"), ends=False
    ),
    *cut("a chunk too long", answer("Transfer-Encoding: chunked", body=b"1\r\nok\r\n"), ends=False),
)

SURPLUS = tuple(
    Case(
        name=name,
        send=get() + get(path=f"{READ}?second"),
        got=(first, "200 ok"),
        kept=KEPT,
        seen=(f"GET {READ}", f"GET {READ}?second"),
        replies=(Reply(data=data),),
        apart=True,
    )
    for name, first, data in (
        ("a second response", "200 ok", OK + OK.replace(b"ok", b"xx")),
        ("half a second response", "200 ok", OK + b"HTTP/1.1 200 OK\r\n"),
        ("bytes after the body", "200 ok", OK + b"!"),
        ("a late interim response", "200 ok", OK + answer(status="100 Continue")),
        (
            "bytes after the last chunk",
            "200 ok",
            answer("Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\nx"),
        ),
        ("a response after 204", "204", answer(status="204 None") + OK.replace(b"ok", b"xx")),
        ("a body of 304", "304", answer("Content-Length: 2", status="304 Same", body=b"xx")),
    )
)

# The rest of a body that HEAD may not have could arrive later, in place of the next response.
BODY_OF_HEAD = Case(
    name="a body of HEAD, and another request",
    send=request("HEAD", READ) + get(path=f"{READ}?second"),
    got=("200", "200 ok"),
    heads=(0,),
    kept=KEPT,
    seen=(f"HEAD {READ}", f"GET {READ}?second"),
    replies=(Reply(data=OK),),
    apart=True,
)

EARLY = (
    Case(
        name="a response before the body",
        send=post("Content-Length: 10", body=b"hello"),
        got=("200 ok",),
        late=b"world",
        kept=KEPT,
        seen=(),
        replies=(Reply(data=OK, early=True),),
    ),
    Case(
        name="a response before the chunks are there",
        send=post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        got=("200 ok",),
        late=b"5\r\nworld\r\n0\r\n\r\n",
        kept=KEPT,
        replies=(Reply(data=OK, early=True),),
    ),
    Case(
        name="a refusal before the body that ends the connection",
        send=post("Content-Length: 10", body=b"hello"),
        got=("413",),
        late=b"world",
        kept=KEPT,
        replies=(
            Reply(data=answer("Content-Length: 0", status="413 Large"), early=True, ends=True),
        ),
    ),
    Case(
        name="a response before a broken rest",
        send=post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        got=("200 ok", "400"),
        late=b"x\r\n",
        kept=CLOSED,
        replies=(Reply(data=OK, early=True),),
    ),
)

ANSWERS = (*VALID, *BAD, *ENDS, *CUTS, *SURPLUS, BODY_OF_HEAD, *EARLY)

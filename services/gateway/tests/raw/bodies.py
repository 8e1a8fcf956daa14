"""Bodies of requests: a body that is broken is never whole for the service."""

from .cases import CHANGE, CLOSED, KEPT, READ, Case, get, passed, post, request
from .heads import CHUNKED, END, LENGTH, OFFER, SAW_GET, SAW_POST, SECOND

HELLO = b"5\r\nhello\r\n"
CONTINUE = "Expect: 100-continue"
TOO_LARGE = 17 * 1024  # for a body to READ, whose limit is 16 KiB


def chunks(name: str, body: bytes) -> Case:
    """Return the case of chunks that are the body `hello`."""
    return passed(name, post(CHUNKED, body=body), SAW_POST)


def broken(name: str, body: bytes) -> Case:
    """Return the case of chunks that no service gets as a whole body."""
    send = post(CHUNKED, body=body) + SECOND
    return Case(name=name, send=send, got=("400",), kept=CLOSED)


def large(*lines: str, body: bytes = b"") -> bytes:
    """Return a POST to the route with the small limit."""
    return request("POST", READ, *lines, body=body)


VALID = (
    chunks("one chunk", HELLO + END),
    chunks("five chunks", b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + END),
    chunks("an extension", b"5;a=b\r\nhello\r\n" + END),
    chunks("an extension without a value", b"5;a\r\nhello\r\n" + END),
    chunks("an extension in quotes", b'5;a="b c"\r\nhello\r\n' + END),
    chunks("two extensions", b"5;a=b;c=d\r\nhello\r\n" + END),
    chunks("an extension of the last chunk", HELLO + b"0;a=b\r\n\r\n"),
    chunks("zeros before the size", b"0005\r\nhello\r\n0000\r\n\r\n"),
    chunks("a trailer", HELLO + b"0\r\nX-Own: late\r\n\r\n"),
    Case(
        name="a trailer that closes",
        send=post(CHUNKED, body=HELLO + b"0\r\nConnection: close\r\n\r\n") + SECOND,
        got=("200 ok",),
        kept=CLOSED,
        at_once=True,
        seen=(SAW_POST,),
    ),
    passed(
        "a size in capitals", post(CHUNKED, body=b"A\r\nhellohello\r\n" + END), SAW_POST + "hello"
    ),
    passed(
        "a size in lower case", post(CHUNKED, body=b"a\r\nhellohello\r\n" + END), SAW_POST + "hello"
    ),
    passed("no chunk but the last", post(CHUNKED, body=END), f"POST {CHANGE}"),
    passed("chunked in capitals", post("Transfer-Encoding: CHUNKED", body=HELLO + END), SAW_POST),
    passed("a padded encoding", post("Transfer-Encoding: \tchunked ", body=HELLO + END), SAW_POST),
    passed("a length", post(LENGTH, body=b"hello"), SAW_POST),
    passed("no length", post(), f"POST {CHANGE}"),
    passed("a body of a GET", get(LENGTH) + b"hello", f"{SAW_GET} hello"),
    passed("chunks of a GET", get(CHUNKED) + HELLO + END, f"{SAW_GET} hello"),
    passed("an expectation that waits not", post(CONTINUE, LENGTH, body=b"hello"), SAW_POST),
    Case(
        name="an expectation",
        send=post(CONTINUE, LENGTH),
        got=("100", "200 ok"),
        late=b"hello",
        kept=KEPT,
        seen=(SAW_POST,),
    ),
    Case(
        name="an expectation with chunks",
        send=post(CONTINUE, CHUNKED),
        got=("100", "200 ok"),
        late=HELLO + END,
        kept=KEPT,
        seen=(SAW_POST,),
    ),
    Case(
        name="an expectation in HTTP/1.0 is none",
        send=post(CONTINUE, LENGTH, body=b"hello", version="1.0"),
        got=("200 ok",),
        kept=CLOSED,
        seen=(SAW_POST,),
    ),
    Case(
        name="an expectation without a route",
        send=request("POST", "/nowhere", CONTINUE, LENGTH),
        got=("404",),
        kept=CLOSED,
    ),
    Case(
        name="an expectation without a token",
        send=request("POST", "/api/v1/orders", CONTINUE, LENGTH),
        got=("401",),
        kept=CLOSED,
    ),
    Case(
        name="an expectation of too much",
        send=large(CONTINUE, f"Content-Length: {TOO_LARGE}"),
        got=("413",),
        kept=CLOSED,
    ),
)

BROKEN = (
    broken("a bare line feed in an extension", b"5;x\nhello\r\n" + END),
    broken("a NUL in an extension", b"5;x\x00\r\nhello\r\n" + END),
    broken("a carriage return in an extension", b"5;x\ry\r\nhello\r\n" + END),
    broken("a size in C's notation", b"0x5\r\nhello\r\n" + END),
    broken("a chunk that ends in a line feed", b"5\r\nhello\n0\n\n"),
    broken("a size that ends in a line feed", b"5\nhello\r\n" + END),
    broken("a size beyond 64 bits", b"FFFFFFFFFFFFFFFFF\r\nhello\r\n" + END),
    broken("a chunk longer than its size", b"3\r\nhello\r\n" + END),
    broken("a chunk shorter than its size", b"7\r\nhello\r\n" + END),
    broken("a negative size", b"-5\r\nhello\r\n" + END),
    broken("a size with a sign", b"+5\r\nhello\r\n" + END),
    broken("a size with an underscore", b"0_5\r\nhello\r\n" + END),
    broken("a space before the size", b" 5\r\nhello\r\n" + END),
    broken("a size that is none", b"g\r\nhello\r\n" + END),
    broken("no size", b"\r\nhello\r\n" + END),
    broken("an extension without a size", b";a=b\r\nhello\r\n" + END),
    broken("two carriage returns", b"5\r\r\nhello\r\n" + END),
    broken("a broken second chunk", HELLO + b"x\r\n"),
    broken("a last chunk with data", HELLO + b"0\r\nhello\r\n\r\n"),
    broken("a trailer that would frame", HELLO + b"0\r\nContent-Length: 9\r\n\r\n"),
    broken("a trailer without a name", HELLO + b"0\r\n: x\r\n\r\n"),
    broken("a trailer with a NUL", HELLO + b"0\r\nX-A: a\x00\r\n\r\n"),
    broken("a trailer with a space", HELLO + b"0\r\nX A: b\r\n\r\n"),
    broken("a trailer that ends in a line feed", HELLO + b"0\r\nX-A: b\n\r\n"),
    Case(
        name="a broken body behind an offer",
        send=post(*OFFER, CHUNKED, body=b"0x5\r\nhello\r\n") + SECOND,
        got=("400",),
        kept=CLOSED,
    ),
    Case(
        name="bytes beyond the length",
        send=post(LENGTH, body=b"hello!") + SECOND,
        got=("200 ok", "400"),
        kept=CLOSED,
        seen=(SAW_POST,),
    ),
    Case(
        name="a body without a length",
        send=post(body=b"hello\r\n\r\n"),
        got=("200 ok", "400"),
        kept=CLOSED,
        seen=(f"POST {CHANGE}",),
    ),
    Case(
        name="a declared length that is too large",
        send=large(f"Content-Length: {TOO_LARGE}"),
        got=("413",),
        kept=CLOSED,
    ),
    Case(
        name="chunks that are too large",
        send=large(CHUNKED) + b"4400\r\n" + b"x" * TOO_LARGE + b"\r\n" + END,
        got=("413",),
        kept=CLOSED,
    ),
)

BODIES = (*VALID, *BROKEN)

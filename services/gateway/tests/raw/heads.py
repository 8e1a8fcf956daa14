"""Heads of requests: what two parsers could read differently is rejected, and never passed on."""

from .cases import CHANGE, CLOSED, KEPT, LIST, READ, Case, get, passed, post, refused, request

CHUNKED = "Transfer-Encoding: chunked"
LENGTH = "Content-Length: 5"
END = b"0\r\n\r\n"
SECOND = get(path=f"{READ}?second")
OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A")
SOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SAW_GET, SAW_POST = f"GET {READ}", f"POST {CHANGE} hello"

FRAMING = (
    refused("length and chunked", post("Content-Length: 6", CHUNKED, body=END) + SECOND),
    refused("chunked and length", post(CHUNKED, "Content-Length: 6", body=END) + SECOND),
    refused("two lengths", post(LENGTH, "Content-Length: 6", body=b"hello") + SECOND),
    refused("the same length twice", post(LENGTH, LENGTH, body=b"hello")),
    refused("a list of lengths", post("Content-Length: 5, 5", body=b"hello")),
    refused("a length with a sign", post("Content-Length: +5", body=b"hello")),
    refused("a negative length", post("Content-Length: -5", body=b"hello")),
    refused("a length in C's notation", post("Content-Length: 0x5", body=b"hello")),
    refused("a length with an underscore", post("Content-Length: 0_5", body=b"hello")),
    refused("a length with an exponent", post("Content-Length: 5e0", body=b"hello")),
    refused("a length with a fraction", post("Content-Length: 5.0", body=b"hello")),
    refused("a length in two parts", post("Content-Length: 0 5", body=b"hello")),
    refused("a length with a parameter", post("Content-Length: 5;a=b", body=b"hello")),
    refused("a length beyond 64 bits", post(f"Content-Length: {2**64 + 5}", body=b"hello")),
    refused("a length in another alphabet", post("Content-Length: \xb2", body=b"hello")),
    refused("a length in quotes", post('Content-Length: "5"', body=b"hello")),
    refused("a space before the colon", post("Transfer-Encoding : chunked", body=END)),
    refused("a space before the colon of a length", post("Content-Length : 5", body=b"hello")),
    refused("an unknown encoding", post("Transfer-Encoding: xchunked", body=END)),
    refused("two encodings", post("Transfer-Encoding: gzip, chunked", body=END)),
    refused("chunked is not the last", post("Transfer-Encoding: chunked, gzip", body=END)),
    refused("chunked and identity", post("Transfer-Encoding: chunked, identity", body=END)),
    refused("chunked twice in a list", post("Transfer-Encoding: chunked, chunked", body=END)),
    refused("an empty member before", post("Transfer-Encoding: , chunked", body=END)),
    refused("an empty member after", post("Transfer-Encoding: chunked,", body=END)),
    refused("a parameter of chunked", post("Transfer-Encoding: chunked;q=1", body=END)),
    refused("an empty encoding", post("Transfer-Encoding:", body=END)),
    refused("an encoding in quotes", post('Transfer-Encoding: "chunked"', body=END)),
    refused("identity", post("Transfer-Encoding: identity")),
    refused("chunked twice", post(CHUNKED, CHUNKED, body=END)),
    refused("two encodings in two lines", post("Transfer-Encoding: gzip", CHUNKED, body=END)),
    refused("a vertical tab", post("Transfer-Encoding: \x0bchunked", body=END)),
    refused("a form feed", post("Transfer-Encoding: chunked\x0c", body=END)),
    refused("a byte beyond ASCII", post("Transfer-Encoding: chunked\xa0", body=END)),
    refused("chunked in HTTP/1.0", post(CHUNKED, body=END, version="1.0")),
    refused("a folded encoding", post("Transfer-Encoding:\r\n chunked", body=END)),
    refused("Connection names the length", post("Connection: Content-Length", LENGTH) + SECOND),
)

LINES = (
    refused("a folded header", get("X-A: b\r\n c")),
    refused("a folded header with a tab", get("X-A: b\r\n\tc")),
    refused("line feeds alone", get().replace(b"\r", b"")),
    refused("one line feed alone", b"GET %b HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n" % READ.encode()),
    refused("a carriage return alone", get("X-A: b\rX-B: c")),
    refused("a carriage return before the end", get("X-A: b\r")),
    refused("a space before the first header", request("GET", READ, " Host: x", host="")),
    refused("a name with a space", get("X A: b")),
    refused("a name with a parenthesis", get("X(A): b")),
    refused("a name with a NUL", get("X\x00A: b")),
    refused("a name beyond ASCII", get("X\xe9: b")),
    refused("no name", get(": b")),
    refused("no colon", get("X-A")),
    refused("a NUL", get("X-A: a\x00b")),
    refused("a control character", get("X-A: a\x01b")),
    refused("DEL", get("X-A: a\x7fb")),
    refused("no host", get(host="")),
    refused("two hosts", get("Host: y")),
    refused("the same host twice", get("Host: x")),
    refused("an unknown expectation", get("Expect: 200-maybe"), 417),
    refused("two expectations", post("Expect: 100-continue, more", LENGTH, body=b"hello"), 417),
    refused("a URL that is too long", get(path=f"{READ}?{'x' * 40_000}"), 414),
    refused("a field that is too long", get("X-A: " + "x" * 40_000), 431),
    refused("too many fields", get(*["X-A: b"] * 5_000), 431),
    refused("an endless name", b"GET / HTTP/1.1\r\n" + b"x" * 70_000, 431),
    refused("an endless URL", b"GET /" + b"x" * 70_000, 414),
)

FIRST_LINES = (
    refused("an unencoded byte in the path", get(path="/api/v1/products/\xff")),
    refused("a tunnel", request("CONNECT", "evil.example:443")),
    refused("a tunnel with an offer", request("CONNECT", "evil.example:443", *OFFER)),
    refused("HTTP/2 in the clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("HTTP/2.0", get(version="2.0"), 505),
    refused("HTTP/1.2", get(version="1.2")),
    refused("HTTP/0.9 with a version", get(version="0.9"), 505),
    refused("HTTP/0.9", b"GET /\r\n\r\n", 505),
    refused("a version with two digits", get(version="1.10")),
    refused("a version in lower case", get().replace(b"HTTP/", b"http/")),
    # The parser does not say which protocol it read.
    passed("RTSP is HTTP", get().replace(b"HTTP/1.1", b"RTSP/1.0"), SAW_GET, kept=CLOSED),
    refused("a method in lower case", request("get", READ)),
    refused("an unknown method", request("BREW", READ)),
    refused("a method with a colon", request("GET:", READ)),
    refused("no method", b" %b HTTP/1.1\r\nHost: x\r\n\r\n" % READ.encode()),
    refused("a tab after the method", get().replace(b"GET /", b"GET\t/")),
    refused("a tab before the version", get().replace(b" HTTP", b"\tHTTP")),
    refused("a URL with a space", get(path=f"{READ}?a b")),
    refused("a URL with a tab", get(path=f"{READ}?a\tb")),
    refused("a URL with a NUL", get(path=f"{READ}?a\x00b")),
    refused("a URL without a slash", get(path="api/v1/products")),
    refused("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32),
    refused("an address of PROXY", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    passed("an absolute URL", get(path=f"http://x{READ}?a=1"), f"{SAW_GET}?a=1"),
    passed("an absolute URL of another host", get(path=f"http://evil{READ}"), SAW_GET),
    passed("blank lines before", b"\r\n\r\n" + get(), SAW_GET),
    passed("an empty query", get(path=f"{READ}?"), f"{SAW_GET}?"),
    passed("a query with a slash", get(path=f"{READ}?a=/../b"), f"{SAW_GET}?a=/../b"),
    *(
        refused(f"the path {path}", get(path=path))
        for path in ("/api/v1/products/../orders", "/api/v1/./products", "/api/v1/%2e%2e/products")
    ),
)

PASSED = (
    passed("a GET", get(), SAW_GET),
    passed("a GET of a list", get(path=LIST), f"GET {LIST}"),
    passed("an empty host", get(host="").replace(b"\r\n", b"\r\nHost:\r\n", 1), SAW_GET),
    passed("a host with a port", get(host="x:80"), SAW_GET),
    passed("no space after the colon", get("X-A:b"), SAW_GET),
    passed("an empty value", get("X-A:"), SAW_GET),
    passed("bytes beyond ASCII in a value", get("X-A: \xe9"), SAW_GET),
    passed("many equal names", get(*["X-A: b"] * 500), SAW_GET),
    passed("a length of zero", get("Content-Length: 0"), SAW_GET),
    passed("a length with a zero before", post("Content-Length: 05", body=b"hello"), SAW_POST),
    passed("a padded length", post("Content-Length: \t5 ", body=b"hello"), SAW_POST),
    passed("a name in capitals", post("CONTENT-LENGTH: 5", body=b"hello"), SAW_POST),
    passed(
        "an underscore is another name", post("Content_Length: 9", LENGTH, body=b"hello"), SAW_POST
    ),
    passed("Connection names a field", get("Connection: X-A", "X-A: b"), SAW_GET),
    passed("keep-alive", get("Connection: keep-alive", "Keep-Alive: timeout=9"), SAW_GET),
    passed("close", get("Connection: close"), SAW_GET, kept=CLOSED),
    passed("close in a list", get("Connection: X-A, close"), SAW_GET, kept=CLOSED),
    passed("close in capitals", get("Connection: CLOSE"), SAW_GET, kept=CLOSED),
    passed(
        "close in a second line", get("Connection: X-A", "Connection: close"), SAW_GET, kept=CLOSED
    ),
    passed("HTTP/1.0", get(version="1.0"), SAW_GET, kept=CLOSED),
    passed("HTTP/1.0 without a host", get(version="1.0", host=""), SAW_GET, kept=CLOSED),
    passed(
        "HTTP/1.0, keep-alive", get("Connection: keep-alive", version="1.0"), SAW_GET, kept=CLOSED
    ),
    passed(
        "HTTP/1.0 with a body", post(LENGTH, body=b"hello", version="1.0"), SAW_POST, kept=CLOSED
    ),
    passed("an expectation without a body", get("Expect: 100-continue"), SAW_GET),
    passed("TE", get("TE: trailers", "Connection: TE"), SAW_GET),
    Case(name="OPTIONS", send=request("OPTIONS", LIST), got=("204",), kept=KEPT),
    Case(name="TRACE", send=request("TRACE", LIST), got=("405",), kept=KEPT),
    Case(name="no route", send=get(path="/nowhere"), got=("404",), kept=KEPT),
    Case(name="no token", send=get(path="/api/v1/orders"), got=("401",), kept=KEPT),
    Case(
        name="HEAD",
        send=request("HEAD", LIST),
        got=("200",),
        kept=KEPT,
        seen=(f"HEAD {LIST}",),
        heads=(0,),
    ),
    Case(
        name="HEAD without a token",
        send=request("HEAD", "/api/v1/orders"),
        got=("401",),
        kept=KEPT,
        heads=(0,),
    ),
)

OFFERS = (
    refused("an offer with length and chunked", post(*OFFER, "Content-Length: 6", CHUNKED)),
    refused("an offer with two lengths", post(*OFFER, LENGTH, "Content-Length: 6", body=b"hello")),
    refused("an offer with a folded header", post("X-A: b\r\n c", *OFFER)),
    refused("an offer with chunks in HTTP/1.0", post(*OFFER, CHUNKED, body=END, version="1.0")),
    refused(
        "an offer whose Connection names the length",
        post("Upgrade: h2c", "Connection: Upgrade, Content-Length", LENGTH, body=b"hello"),
    ),
    refused(
        "a WebSocket with a body", get(*SOCKET, LENGTH, path="/api/v1/notifications/ws") + b"hello"
    ),
    refused("a WebSocket by POST", request("POST", "/api/v1/notifications/ws", *SOCKET)),
    refused(
        "a WebSocket with chunks", get(*SOCKET, CHUNKED, path="/api/v1/notifications/ws") + END
    ),
    refused(
        "a WebSocket of another version",
        get(*SOCKET, path="/api/v1/notifications/ws").replace(b"Version: 13", b"Version: 12"),
        426,
    ),
    passed("h2c", get(*OFFER), SAW_GET),
    passed("h2c with a body", post(*OFFER, LENGTH, body=b"hello"), SAW_POST),
    passed("h2c with chunks", post(*OFFER, CHUNKED, body=b"5\r\nhello\r\n" + END), SAW_POST),
    passed("TLS within HTTP", get("Connection: Upgrade", "Upgrade: TLS/1.2"), SAW_GET),
    passed("an offer that Connection does not name", get("Upgrade: h2c"), SAW_GET),
    passed("Connection without an offer", get("Connection: Upgrade"), SAW_GET),
    passed("a WebSocket in HTTP/1.0", get(*SOCKET, version="1.0"), SAW_GET, kept=CLOSED),
)

HEADS = (*FRAMING, *LINES, *FIRST_LINES, *PASSED, *OFFERS)

"""Requests that a client sends before it has the responses: each gets its own, in their order."""

from .answers import OK, answer
from .bodies import CONTINUE, HELLO
from .cases import CHANGE, CLOSED, KEPT, LIST, READ, Case, Reply, get, post, request
from .heads import CHUNKED, END, LENGTH, OFFER, SAW_GET, SAW_POST, SECOND

POST = post(LENGTH, body=b"hello")
CHUNKS = post(CHUNKED, body=HELLO + END)
NO_TOKEN = get(path="/api/v1/orders")
BAD = post("Content-Length: x")
SAW_SECOND = f"{SAW_GET}?second"
OWN = get(path="/asyncapi.json")  # served by ASGI
TOO_LARGE = b"4001\r\n" + b"x" * 0x4001 + b"\r\n" + END  # of a registration
CUT = Reply(data=answer("Content-Length: 9", body=b"ok"), ends=True)
HELD = Reply(
    data=answer("Content-Length: 9", "Cache-Control: public, max-age=9", body=b"ok"), ends=True
)


def row(name: str, send: bytes, got: str, *seen: str, kept: bool = KEPT, **more: object) -> Case:
    """Return the case of several requests; `got` has the statuses in order."""
    return Case(name=name, send=send, got=tuple(got.split()), kept=kept, seen=seen, **more)  # type: ignore[arg-type]  # passed on


PIPELINES = (
    row("two reads", get() + SECOND, "200 200", SAW_GET, SAW_SECOND),
    row("fifty reads", get() * 50, "200 " * 50, *[SAW_GET] * 50),
    row("a read behind a body", POST + SECOND, "200 200", SAW_POST, SAW_SECOND),
    row("a read behind chunks", CHUNKS + SECOND, "200 200", SAW_POST, SAW_SECOND),
    row("a body behind a read", get() + POST, "200 200", SAW_GET, SAW_POST),
    row("chunks behind a read", get() + CHUNKS, "200 200", SAW_GET, SAW_POST),
    row("bodies behind bodies", (POST + CHUNKS) * 5, "200 " * 10, *[SAW_POST] * 10),
    row(
        "a list between",
        get() + get(path=LIST) + SECOND,
        "200 200 200",
        SAW_GET,
        f"GET {LIST}",
        SAW_SECOND,
    ),
    row("the same list twice", get(path=LIST) * 2, "200 200", f"GET {LIST}", f"GET {LIST}"),
    row("no token between", get() + NO_TOKEN + SECOND, "200 401 200", SAW_GET, SAW_SECOND),
    row("no token first", NO_TOKEN + SECOND, "401 200", SAW_SECOND),
    row(
        "no route between",
        get() + get(path="/nowhere") + SECOND,
        "200 404 200",
        SAW_GET,
        SAW_SECOND,
    ),
    row(
        "OPTIONS between",
        get() + request("OPTIONS", LIST) + SECOND,
        "200 204 200",
        SAW_GET,
        SAW_SECOND,
    ),
    row(
        "HEAD between",
        get() + request("HEAD", READ) + SECOND,
        "200 200 200",
        SAW_GET,
        f"HEAD {READ}",
        SAW_SECOND,
        heads=(1,),
    ),
    row("a path of the gateway between", get() + OWN + SECOND, "200 200 200", SAW_GET, SAW_SECOND),
    row("a path of the gateway first", OWN + get(), "200 200", SAW_GET),
    row(
        "a path of the gateway behind a body", POST + OWN + POST, "200 200 200", SAW_POST, SAW_POST
    ),
    row(
        "offers to upgrade",
        get(*OFFER) + post(*OFFER, LENGTH, body=b"hello") + SECOND,
        "200 200 200",
        SAW_GET,
        SAW_POST,
        SAW_SECOND,
    ),
    row("a bad one between", get() + BAD + SECOND, "200 400", SAW_GET, kept=CLOSED),
    row("a bad one behind a body", POST + BAD + SECOND, "200 400", SAW_POST, kept=CLOSED),
    row("a bad one behind a path of the gateway", OWN + BAD + SECOND, "200 400", kept=CLOSED),
    row(
        "ambiguous framing between",
        get() + post(LENGTH, CHUNKED, body=END) + SECOND,
        "200 400",
        SAW_GET,
        kept=CLOSED,
    ),
    row(
        "broken chunks between",
        get() + post(CHUNKED, body=b"zz\r\n") + SECOND,
        "200 400",
        SAW_GET,
        kept=CLOSED,
    ),
    row("garbage behind", get() + b"garbage\r\n\r\n", "200 400", SAW_GET, kept=CLOSED),
    row(
        "close between",
        get() + get("Connection: close") + SECOND,
        "200 200",
        SAW_GET,
        SAW_GET,
        kept=CLOSED,
        at_once=True,
    ),
    row(
        "HTTP/1.0 between",
        get() + get(version="1.0") + SECOND,
        "200 200",
        SAW_GET,
        SAW_GET,
        kept=CLOSED,
        at_once=True,
    ),
    row(
        "a bad length behind two reads",
        get() + SECOND + BAD,
        "200 200 400",
        SAW_GET,
        SAW_SECOND,
        kept=CLOSED,
    ),
    row("blank lines between", get() + b"\r\n\r\n" + SECOND, "200 200", SAW_GET, SAW_SECOND),
    row(
        "chunks that are too large between",
        get() + request("POST", "/api/v1/users", CHUNKED, body=TOO_LARGE) + SECOND,
        "200 413",
        SAW_GET,
        kept=CLOSED,
        at_once=True,
    ),
    row(
        "a body that is too large between",
        get() + request("POST", READ, "Content-Length: 99999") + SECOND,
        "200 413",
        SAW_GET,
        kept=CLOSED,
    ),
    row(
        "a URL that is too long between",
        get() + get(path="/" + "x" * 40_000) + SECOND,
        "200 414",
        SAW_GET,
        kept=CLOSED,
    ),
    row(
        "fields that are too large between",
        get() + get(*["A: b"] * 6_000) + SECOND,
        "200 431",
        SAW_GET,
        kept=CLOSED,
    ),
    row(
        "an unknown expectation between",
        get() + get("Expect: x") + SECOND,
        "200 417",
        SAW_GET,
        kept=CLOSED,
    ),
    row(
        "an expectation behind a read",
        get() + post(CONTINUE, LENGTH, body=b"hello") + SECOND,
        "200 200 200",
        SAW_GET,
        SAW_POST,
        SAW_SECOND,
    ),
    row(
        "a request within a body",
        post(f"Content-Length: {len(SECOND)}", body=SECOND) + get(),
        "200 200",
        f"POST {CHANGE} {SECOND.decode()}",
        SAW_GET,
    ),
    row(
        "a request within a chunk",
        post(CHUNKED, body=b"%x\r\n%b\r\n" % (len(SECOND), SECOND) + END),
        "200",
        f"POST {CHANGE} {SECOND.decode()}",
    ),
    row(
        "the service closes after the first",
        get() + SECOND,
        "200 200",
        SAW_GET,
        SAW_SECOND,
        replies=(Reply(data=OK, ends=True),),
        apart=True,
    ),
    row(
        "the first response ends with its connection",
        get() + SECOND,
        "200 200",
        SAW_GET,
        SAW_SECOND,
        replies=(Reply(data=answer(body=b"ok"), ends=True),),
        apart=True,
    ),
    row(
        "the first response is invalid",
        get() + SECOND,
        "502 200",
        SAW_GET,
        SAW_SECOND,
        replies=(Reply(data=b"garbage\r\n\r\n"),),
        apart=True,
    ),
    Case(
        name="the first response is cut",
        send=get() + SECOND,
        got=("200 cut",),
        kept=CLOSED,
        at_once=True,
        seen=(SAW_GET,),
        replies=(CUT,),
    ),
    row(
        "a held response is cut",
        get(path=LIST) + SECOND,
        "502 200",
        f"GET {LIST}",
        SAW_SECOND,
        replies=(HELD,),
        apart=True,
    ),
    row(
        "interim responses to each",
        get() + SECOND,
        "200 200",
        SAW_GET,
        SAW_SECOND,
        replies=(Reply(data=answer(status="103 Hints") + OK),) * 2,
    ),
    row(
        "the first response has surplus",
        POST + SECOND,
        "200 200",
        SAW_POST,
        SAW_SECOND,
        replies=(Reply(data=OK * 3),),
    ),
)

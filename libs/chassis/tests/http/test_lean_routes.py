"""A lean route does what FastAPI does with the same declaration; see also tests/architecture."""

from contextlib import suppress
from typing import Annotated, Any, cast

import pytest
from fastapi import Body, Cookie, Depends, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field
from starlette.routing import Mount, Route

from chassis.errors import Conflict
from chassis.http import Idempotent, Name, Router, Shape, UnitDep
from chassis.http.lean import LeanRoute, compiled
from chassis.http.lean.routes import table_of
from chassis.library_internals.fastapi import declared_routes
from testkit.two_forms import GOOD, Sent
from testkit.two_forms import Form as AppForm

JSON = ("content-type", "application/json")
KEY = ("idempotency-key", "k")
AUTHORIZED = ("authorization", f"Bearer {GOOD}")


class Thing(Shape):
    name: Name
    parts: list[int] = Field(default_factory=list)
    version: int = 1


class Taken(Conflict):
    """It is taken."""


router = Router(prefix="/things", tags=["things"])


async def effects_of(request: Request) -> list[str]:
    effects: list[str] = request.app.state.effects
    return effects


Effects = Annotated[list[str], Depends(effects_of)]


async def opened(effects: Effects, x_fails: Annotated[str, Header()] = "no"):
    effects.append("open")
    try:
        yield x_fails
    except Taken:
        effects.append("close after taken")
        raise
    finally:
        effects.append("close")
    if x_fails == "late":
        message = "late"
        raise Taken(message)


async def inner(effects: Effects, number: Annotated[int, Query(le=9)] = 1):
    effects.append("inner")
    return number


async def outer(effects: Effects, got: Annotated[int, Depends(inner)], response: Response):
    effects.append("outer")
    response.headers["X-Outer"] = str(got)
    return got


Opened = Annotated[str, Depends(opened, scope="function")]
Inner = Annotated[int, Depends(inner)]
Outer = Annotated[int, Depends(outer)]


@router.post("/nested", status_code=201)
async def nested(one: Inner, body: Thing, held: Opened, two: Outer, effects: Effects) -> Thing:
    effects.append(f"endpoint {one} {two} {held}")
    if held == "taken":
        message = "taken"
        raise Taken(message)
    if held == "broken":
        message = "broken"
        raise RuntimeError(message)
    return body


async def swallowing(effects: Effects):
    with suppress(Taken):
        yield
    effects.append("swallowed")


@router.get("/swallowed")
async def swallowed(_: Annotated[None, Depends(swallowing, scope="function")]) -> Thing:
    message = "taken"
    raise Taken(message)


@router.get("/status/{status}")
async def with_status(status: int, response: Response) -> Thing:
    response.status_code = status
    response.headers["X-Status"] = str(status)
    response.set_cookie("a", "b")
    return Thing(name="x")


@router.delete("/{name}", status_code=204)
async def delete(name: str, response: Response) -> None:
    response.headers["X-Name"] = name


@router.get("/shapeless", response_model=None)
async def shapeless(cookie: Annotated[str, Cookie()] = "none") -> Any:
    return {"cookie": cookie, "thing": Thing(name="x"), "set": {1}}


@router.get("/wrong")
async def wrong() -> Thing:
    return cast("Thing", {"name": ""})


@router.get("/from-attributes", response_model=Thing)
async def from_attributes() -> Any:
    class Row:
        name = "x"
        parts = (1, 2)
        version = 2

    return Row()


@router.get("/raw")
async def raw(response: Response) -> PlainTextResponse:
    response.headers["X-Lost"] = "yes"
    return PlainTextResponse("text", status_code=202)


class Refusing(Response):
    """Fails before it begins, as a stream without a place does."""

    async def __call__(self, *_):
        raise Taken


@router.get("/refusing", response_model=None)
async def refusing() -> Response:
    return Refusing()


@router.get("/lists")
async def lists(
    numbers: Annotated[list[int], Query(default_factory=list)],
    x_list: Annotated[list[str] | None, Header()] = None,
    named: Annotated[int, Query(alias="is-named")] = 0,
) -> list[str]:
    return [*map(str, numbers), *(x_list or []), str(named)]


@router.post("/once", idempotent=Idempotent.OPTIONAL, versioned=True, status_code=201)
async def once(body: Thing, unit: UnitDep, response: Response) -> Thing:
    response.headers["Location"] = f"/{type(unit).__name__}"
    return body


@router.get("/versioned", versioned=True)
async def versioned() -> Thing:
    return Thing(name="x", version=3)


@router.get("/tagged", public_for=9)
async def tagged(got: Outer) -> list[int]:
    return [got]


@router.patch("/nullable")
async def nullable(body: Annotated[Thing | None, Body()] = None) -> Thing | None:
    return body


def posted(target: str, body: bytes, *headers: tuple[str, str]) -> Sent:
    return Sent(method="POST", target=f"/things/{target}", headers=(JSON, *headers), body=body)


def got(target: str, *headers: tuple[str, str]) -> Sent:
    return Sent(method="GET", target=f"/things/{target}", headers=headers)


GOOD_BODY = b'{"name": "x", "parts": [1]}'
REQUESTS = [
    posted("nested", GOOD_BODY),
    posted("nested?number=7", GOOD_BODY),
    posted("nested?number=70", GOOD_BODY),
    posted("nested?number=x", b'{"name": 1, "parts": [""]}'),
    posted("nested", b""),
    posted("nested", GOOD_BODY, ("x-fails", "taken")),
    posted("nested", GOOD_BODY, ("x-fails", "late")),
    posted("nested", GOOD_BODY, ("x-fails", "broken")),
    posted("nested", b"[]", ("x-fails", "late")),
    posted("nested", b"{"),
    Sent(method="POST", target="/things/nested", body=GOOD_BODY),
    Sent(method="PUT", target="/things/nested", body=GOOD_BODY),
    Sent(method="OPTIONS", target="/things/nested"),
    got("swallowed"),
    *(got(f"status/{status}") for status in (200, 201, 204, 205, 299, 304, 404, 500, "x")),
    Sent(method="HEAD", target="/things/status/201"),
    Sent(method="DELETE", target="/things/a%20b"),
    got("shapeless"),
    got("shapeless", ("cookie", "cookie=a; cookie=b")),
    got("shapeless", ("cookie", "other=1"), ("cookie", "cookie=c")),
    got("wrong"),
    got("from-attributes"),
    got("raw"),
    got("refusing"),
    got("lists"),
    got("lists?numbers=1&numbers=2&is-named=4", ("x-list", "a"), ("x-list", "b, c")),
    got("lists?numbers=&named=4&is-named="),
    got("lists?numbers=x&numbers=1&numbers=y"),
    got("versioned"),
    got("versioned", ("if-none-match", '"3"')),
    got("versioned", ("if-match", '"2"')),
    *(
        got(target, *known)
        for target in ("tagged", "tagged?number=x")
        for known in ((), (("if-none-match", '"3"'),), (("if-none-match", "*"),))
    ),
    posted("once", GOOD_BODY, AUTHORIZED),
    posted("once", GOOD_BODY),
    posted("once", b'{"name": "\\ud800"}', AUTHORIZED, KEY),
    posted("once", GOOD_BODY, AUTHORIZED, ("idempotency-key", "")),
    *(
        Sent(method="PATCH", target="/things/nullable", headers=(JSON,), body=body)
        for body in (b"", b"null", b"{}", GOOD_BODY)
    ),
    got("%0A"),
    got("versioned%0A"),
    Sent(method="GET", target="/nothing"),
]


@pytest.mark.parametrize("sent", REQUESTS, ids=lambda sent: f"{sent.method} {sent.target}")
async def test_both_forms_have_the_same_outcome(sent):
    lean = await AppForm([router], lean=True).outcome(sent)
    assert lean == await AppForm([router], lean=False).outcome(sent)


async def test_what_was_opened_is_closed_before_the_response_is_sent():
    outcome = await AppForm([router], lean=True).outcome(posted("nested", GOOD_BODY))
    assert outcome.effects == (
        "inner",
        "open",
        "outer",
        "endpoint 1 1 no",
        "close",
        "http.response.start",
        "http.response.body",
    )


async def test_a_fault_after_the_endpoint_replaces_its_response():
    sent = posted("nested", GOOD_BODY, ("x-fails", "late"))
    assert (await AppForm([router], lean=True).outcome(sent)).status == 409


async def test_a_response_that_fails_before_it_begins_is_a_problem():
    assert (await AppForm([router], lean=True).outcome(got("refusing"))).status == 409


def test_all_these_routes_are_lean():
    routes = list(declared_routes(router.routes))
    assert routes
    assert [one.path_regex for one in routes if not isinstance(compiled(one), LeanRoute)] == []


async def test_an_overridden_dependency_is_used():
    form = AppForm([router], lean=True)

    async def other() -> int:
        return 5

    await form.outcome(posted("nested", GOOD_BODY))
    form.app.dependency_overrides[inner] = other
    assert "endpoint 5 5 no" in (await form.outcome(posted("nested", GOOD_BODY))).effects
    form.app.dependency_overrides.clear()
    assert "endpoint 1 1 no" in (await form.outcome(posted("nested", GOOD_BODY))).effects


async def test_the_first_route_that_matches_a_path_serves_it():
    first, second = Router(), Router()

    @first.get("/x/{name}")
    def named(name: str) -> str:
        return name

    @second.get("/x/fixed")
    async def fixed() -> str:
        return "fixed"

    sent = Sent(method="GET", target="/x/fixed")
    assert (await AppForm([first, second], lean=True).outcome(sent)).route == "/x/{name}"
    assert (await AppForm([second, first], lean=True).outcome(sent)).route == "/x/fixed"


def test_a_route_behind_a_mount_is_not_in_the_table():
    app = AppForm([], lean=True).app
    app.include_router(router)
    before = len(table_of(app)["GET"])
    app.routes.insert(0, Mount("/", routes=[Route("/x", lambda _: Response())]))
    assert before
    assert "GET" not in table_of(app)

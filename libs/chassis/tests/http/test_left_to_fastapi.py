"""Routes that the compiled form does not know are left to FastAPI, each for a reason it names."""

from typing import Annotated

import pytest
from fastapi import (
    BackgroundTasks,  # noqa: TID251 - a route that has them still works
    Depends,
    Form,
)
from fastapi.responses import PlainTextResponse, StreamingResponse

from chassis.http import Name, Router, Shape
from chassis.http.lean import FastApiServes, compiled
from chassis.library_internals.fastapi import declared_routes
from testkit.two_forms import Form as AppForm
from testkit.two_forms import Sent


class Thing(Shape):
    name: Name


async def inner() -> int:
    return 1


async def opened():
    yield "open"


others = Router(prefix="/others")


@others.post("/form")
async def form(name: Annotated[str, Form()]) -> str:
    return name


@others.post("/many")
async def many(one: Thing, two: Thing) -> Thing:
    return Thing(name=one.name + two.name)


@others.get("/stream")
async def stream():
    yield "x"


@others.get("/class", response_class=PlainTextResponse)
async def of_class() -> str:
    return "x"


@others.get("/excluding", response_model_exclude_none=True)
async def excluding() -> Thing:
    return Thing(name="x")


@others.get("/plain")
def plain() -> str:
    return "x"


def plain_dependency() -> str:
    return "x"


@others.get("/plain-dependency")
async def with_plain(got: Annotated[str, Depends(plain_dependency)]) -> str:
    return got


@others.get("/request-scope")
async def in_request(got: Annotated[str, Depends(opened)]) -> str:
    return got


@others.get("/anew")
async def anew(got: Annotated[int, Depends(inner, use_cache=False)]) -> int:
    return got


@others.get("/background")
async def background(tasks: BackgroundTasks) -> str:
    return type(tasks).__name__


@others.get("/download", response_model=None)
async def download() -> StreamingResponse:
    return StreamingResponse(iter(["x"]))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/form", "its body is a form"),
        ("/many", "its body is an object of several parameters"),
        ("/stream", "its response is a stream"),
        ("/class", "it has a response class of its own"),
        ("/excluding", "its response leaves fields out"),
        ("/plain", "its endpoint is not a coroutine function"),
        (
            "/plain-dependency",
            "plain_dependency is a plain function, which FastAPI calls in a thread",
        ),
        ("/request-scope", "opened stays open until the response is sent"),
        ("/anew", "inner limits its concurrency, or is called anew for each use"),
        ("/background", "background adds background tasks"),
    ],
)
def test_fastapi_serves_what_the_compiled_form_does_not_know(path, reason):
    [route] = [one for one in declared_routes(others.routes) if one.path == f"/others{path}"]
    assert compiled(route) == FastApiServes(reason)


async def test_fastapi_still_serves_those():
    form = AppForm([others], lean=True)
    kind = ("content-type", "application/x-www-form-urlencoded")
    sent = Sent(method="POST", target="/others/form", headers=(kind,), body=b"name=x")
    assert (await form.outcome(sent)).body == b'"x"'
    outcome = await form.outcome(Sent(method="GET", target="/others/plain-dependency"))
    assert outcome.body == b'"x"'
    assert (await form.outcome(Sent(method="GET", target="/others/download"))).body == b"x"

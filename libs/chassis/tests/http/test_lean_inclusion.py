"""The table has a route as an app includes it; it is analysed again only if that differs."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute

from chassis.http import Router
from chassis.http.lean.routes import table_of
from chassis.library_internals.fastapi import declared_routes


async def checked(x_checked: Annotated[str, Header()]) -> str:
    return x_checked


def inner_router() -> Router:
    router = Router(prefix="/inner")

    @router.get("/{name}")
    async def named(name: str) -> str:
        return name

    return router


def routes_of(app: FastAPI) -> list[Any]:
    included = [
        one for one in declared_routes(app.routes) if isinstance(one.original_route, APIRoute)
    ]
    return [one for one in included if one.path.endswith("/inner/{name}")]


def app_with(router: Router | None = None, **options: Any) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.include_router(router or inner_router(), **options)
    return app


def nested(**options: Any) -> Router:
    router = Router()
    router.include_router(inner_router(), **options)
    return router


@pytest.mark.parametrize("router", [inner_router(), nested()], ids=["included", "nested"])
def test_a_route_to_which_nothing_is_added_is_not_analysed_again(router):
    (route,) = routes_of(app_with(router))
    assert route.dependant is route.original_route.dependant


@pytest.mark.parametrize("levels", ["app", "router", "both"])
def test_a_prefix_is_part_of_the_path_at_each_level(levels):
    outer = {"prefix": "/outer"} if levels != "router" else {}
    router = nested(prefix="/between") if levels != "app" else nested()
    app = app_with(router, **outer)
    paths = {"app": "/outer/inner", "router": "/between/inner", "both": "/outer/between/inner"}
    path = f"{paths[levels]}/x"
    assert [one.endpoint.__name__ for one in table_of(app)["GET"] if one.match(path)] == ["named"]
    assert not [one for one in table_of(app)["GET"] if one.match("/inner/x")]


@pytest.mark.parametrize("level", ["app", "router"])
def test_a_dependency_is_called_before_the_endpoint(level):
    added: dict[str, Any] = {"dependencies": [Depends(checked)]}
    app = app_with(**added) if level == "app" else app_with(nested(**added))
    (route,) = routes_of(app)
    assert [one.call for one in route.dependant.dependencies] == [checked]


@pytest.mark.parametrize(
    "added",
    [
        {"default_response_class": PlainTextResponse},
        {"max_body_size": 10},
    ],
    ids=lambda added: next(iter(added)),
)
def test_what_the_compiled_form_does_not_know_leaves_a_route_to_fastapi(added):
    assert [one.app for one in table_of(app_with(**added))["GET"]] == [None]

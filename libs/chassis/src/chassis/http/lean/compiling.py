"""Compiles a route that FastAPI has analysed, or says why FastAPI must serve it."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi.datastructures import DefaultPlaceholder
from starlette.responses import JSONResponse

from chassis.http.lean.parameters import parameters_of
from chassis.http.lean.route import LeanRoute
from chassis.http.lean.steps import Step
from chassis.library_internals.fastapi import (
    DeclaredRoute,
    Dependant,
    body_is_optional,
    cache_key,
    oauth_scopes,
    takes_body,
    takes_form,
    takes_many_bodies,
)


@dataclass(frozen=True, slots=True)
class FastApiServes:
    """A route that is not compiled.

    Attributes:
        reason: what the compiled form does not know.
    """

    reason: str


class _NotLeanError(Exception):
    """The route has what the compiled form does not know."""


def compiled(route: DeclaredRoute) -> LeanRoute | FastApiServes:
    """Return the compiled form of a route, or the reason why FastAPI serves it."""
    for reason in _reasons(route):
        return FastApiServes(reason)
    try:
        steps = _steps(route.dependant)
    except _NotLeanError as error:
        return FastApiServes(str(error))
    return LeanRoute(
        steps=steps,
        reads_body=takes_body(route),
        body_is_optional=body_is_optional(route),
        status=route.status_code or 200,
        shape=route.response_field,
        name=f"{', '.join(sorted(route.methods or ()))} {route.dependant.path}",
    )


def _reasons(route: DeclaredRoute) -> Iterator[str]:
    if takes_form(route):
        yield "its body is a form"
    if takes_many_bodies(route):
        yield "its body is an object of several parameters"
    if route.is_json_stream or route.is_sse_stream or route.stream_item_field is not None:
        yield "its response is a stream"
    kind = route.response_class
    if not isinstance(kind, DefaultPlaceholder) or kind.value is not JSONResponse:
        yield "it has a response class of its own"
    excluding = (
        route.response_model_include is not None,
        route.response_model_exclude is not None,
        not route.response_model_by_alias,
        route.response_model_exclude_unset,
        route.response_model_exclude_defaults,
        route.response_model_exclude_none,
    )
    if any(excluding):
        yield "its response leaves fields out"
    if route.max_body_size is not None:
        yield "it has a body limit of FastAPI's"
    if not inspect.iscoroutinefunction(route.dependant.call):
        yield "its endpoint is not a coroutine function"


def _steps(endpoint: Dependant) -> tuple[Step, ...]:
    places: dict[object, int] = {}
    steps: list[Step] = []

    def place_of(dependant: Dependant) -> int:
        required = [(inner.name, place_of(inner)) for inner in dependant.dependencies]
        key = cache_key(dependant)
        if key not in places:
            steps.append(_step(dependant, required))
            places[key] = len(steps) - 1
        return places[key]

    place_of(endpoint)
    return tuple(steps)


def _step(dependant: Dependant, required: list[tuple[str | None, int]]) -> Step:
    call, opens = _callable_of(dependant)
    requests = (dependant.request_param_name, dependant.http_connection_param_name)
    scopes = dependant.security_scopes_param_name
    return Step(
        call=call,
        opens=opens,
        results=tuple((name, place) for name, place in required if name is not None),
        required=tuple(place for _, place in required),
        parameters=parameters_of(dependant),
        body=next(iter(dependant.body_params), None),
        requests=tuple(name for name in requests if name),
        responses=(dependant.response_param_name,) if dependant.response_param_name else (),
        scopes=((scopes, tuple(oauth_scopes(dependant))),) if scopes else (),
    )


def _callable_of(dependant: Dependant) -> tuple[Callable[..., Any], bool]:
    """Return what a step calls, and whether its result must be opened and closed."""
    call = dependant.call
    name = getattr(call, "__qualname__", repr(call))
    if call is None or dependant.concurrency is not None or not dependant.use_cache:
        message = f"{name} limits its concurrency, or is called anew for each use"
        raise _NotLeanError(message)
    if dependant.background_tasks_param_name:
        message = f"{name} adds background tasks"
        raise _NotLeanError(message)
    if inspect.isasyncgenfunction(call):
        if dependant.scope != "function":
            message = f"{name} stays open until the response is sent"
            raise _NotLeanError(message)
        return asynccontextmanager(call), True
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(_method_of(call)):
        return call, False
    message = f"{name} is a plain function, which FastAPI calls in a thread"
    raise _NotLeanError(message)


def _method_of(call: object) -> object:
    return None if inspect.isclass(call) else getattr(call, "__call__", None)  # noqa: B004 - its kind

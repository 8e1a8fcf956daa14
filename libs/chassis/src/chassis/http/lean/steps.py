"""The functions of a route: its dependencies in the order of their calls, then its endpoint."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from fastapi.security import SecurityScopes
from starlette.requests import Request
from starlette.responses import Response

from chassis.http.lean.parameters import Parameter
from chassis.library_internals.fastapi import Errors, ModelField, validated

_BODY = ("body",)
_NO_ERRORS: Errors = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One function of a route.

    Attributes:
        call: returns an awaitable, or an async context manager if the step opens something.
        opens: whether the result of `call` is opened, and closed before the response is sent.
        results: the parameters that are results of earlier steps, by their places. A function that
            FastAPI would not call again for this request is one step, even if several name it.
        required: the places of all steps whose errors are also this step's, in FastAPI's order.
        parameters: those that are read from path, query, headers and cookies.
        body: the parameter that is the body.
        requests: the names of the parameters that are the request.
        responses: the names of those that are the response object for headers and status.
        scopes: the names of those that are the required scopes, and the scopes.
        reads: whether any parameter comes from the request.
    """

    call: Callable[..., Any]
    opens: bool
    results: tuple[tuple[str, int], ...]
    required: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    body: ModelField | None
    requests: tuple[str, ...]
    responses: tuple[str, ...]
    scopes: tuple[tuple[str, tuple[str, ...]], ...]
    reads: bool = field(init=False)

    def __post_init__(self) -> None:
        from_request = (self.parameters, self.requests, self.responses, self.scopes)
        reads = self.body is not None or any(from_request)
        object.__setattr__(self, "reads", reads)  # the class is frozen

    def read(self, exchange: "Exchange", values: dict[str, Any]) -> Errors:
        """Add the parameters that come from the request to `values`; return errors."""
        errors: Errors = []
        for parameter in self.parameters:
            errors += parameter.read(exchange.request, values)
        if self.body is not None:
            value, found = validated(self.body, exchange.body, _BODY)
            values[self.body.name] = value
            errors += found
        for name in self.requests:
            values[name] = exchange.request
        for name in self.responses:
            values[name] = exchange.response
        for name, scopes in self.scopes:
            values[name] = SecurityScopes(list(scopes))
        return errors


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What the steps of one request share.

    Attributes:
        request: the request.
        body: the parsed body; ``PydanticUndefined`` if there is none.
        response: holds the headers and the status that functions of the route set.
    """

    request: Request
    body: Any
    response: Response


async def run(
    steps: Sequence[Step], exchange: Exchange, opened: AsyncExitStack | None
) -> tuple[Any, Errors]:
    """Call the steps in their order, and return the last one's result, or errors.

    After an error all other steps still run whose own parameters are valid, as FastAPI runs them:
    a missing token is then reported before a wrong body.

    Args:
        steps: the functions.
        exchange: what they share.
        opened: closes what steps open; None if none of them opens anything.
    """
    results: list[Any] = []
    failed: dict[int, Errors] = {}
    for place, step in enumerate(steps):
        values = {name: results[source] for name, source in step.results}
        errors = step.read(exchange, values) if step.reads else _NO_ERRORS
        if failed:
            errors = [*_inherited(step, failed), *errors]
        if errors:
            failed[place] = errors
            results.append(None)
        elif step.opens and opened is not None:
            results.append(await opened.enter_async_context(step.call(**values)))
        else:
            results.append(await step.call(**values))
    return results[-1], failed.get(len(steps) - 1, _NO_ERRORS)


def _inherited(step: Step, failed: Mapping[int, Errors]) -> Errors:
    return [error for place in step.required for error in failed.get(place, ())]

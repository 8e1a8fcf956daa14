"""FastAPI's routes: the kind of body that a route accepts, and its analysis of a signature.

FastAPI reads a route's signature once, as a tree of ``Dependant``. A lean route is compiled from
that tree, so that both forms of a route accept, cache and reject the same. What FastAPI decides
while it serves a request (names, aliases, cache keys, what a missing value means) has no public
function.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

from fastapi import params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant, _get_cache_key, _get_oauth_scopes
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    _validate_value_with_model_field,
    request_params_to_args,
)
from fastapi.params import Depends as DependsParameter
from fastapi.params import Security as SecurityParameter
from fastapi.routing import APIRoute, _IncludedRouter, iter_route_contexts
from starlette.routing import BaseRoute

# The classes of what the functions `fastapi.Depends()` and `fastapi.Security()` return.
__all__ = [
    "DeclaredRoute",
    "Dependant",
    "DependsParameter",
    "ModelField",
    "SecurityParameter",
    "body_is_optional",
    "cache_key",
    "declared_routes",
    "name_of_scalar",
    "oauth_scopes",
    "takes_body",
    "takes_form",
    "takes_many_bodies",
    "validated",
    "validated_parameters",
]

type Errors = list[dict[str, Any]]


class DeclaredRoute(Protocol):
    """A route with what its inclusion in an app adds to it; a part of APIRoute's attributes."""

    original_route: BaseRoute
    path: str
    path_regex: Any
    param_convertors: dict[str, Any]
    methods: set[str] | None
    endpoint: Any
    dependant: Dependant
    body_field: ModelField | None
    status_code: int | None
    response_field: ModelField | None
    response_class: Any
    response_model_include: Any
    response_model_exclude: Any
    response_model_by_alias: bool
    response_model_exclude_unset: bool
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool
    stream_item_field: ModelField | None
    is_json_stream: bool
    is_sse_stream: bool
    max_body_size: int | None
    _embed_body_fields: bool


def takes_body(route: APIRoute | DeclaredRoute) -> bool:
    """Return whether requests to `route` have a body."""
    return route.body_field is not None


def body_is_optional(route: APIRoute | DeclaredRoute) -> bool:
    """Return whether requests to `route` may have no body, although it takes one."""
    return route.body_field is not None and not route.body_field.field_info.is_required()


def takes_form(route: APIRoute | DeclaredRoute) -> bool:
    """Return whether requests to `route` have a body that is a form."""
    return route.body_field is not None and isinstance(route.body_field.field_info, params.Form)


def takes_many_bodies(route: DeclaredRoute) -> bool:
    """Return whether the body of `route` is an object of more than one parameter."""
    return route._embed_body_fields


def declared_routes(routes: Sequence[BaseRoute]) -> Iterator[DeclaredRoute]:
    """Return the routes of an app in the order in which FastAPI tries them.

    FastAPI analyses each signature again for each app that includes the route's router, which takes
    longer than all else that a start of an app does here. It is left out if nothing can differ.
    """
    for route in routes:
        if isinstance(route, _IncludedRouter) and changes_nothing(route):
            yield from declared_routes(route.original_router.routes)
        else:
            for context in iter_route_contexts([route]):
                yield cast("DeclaredRoute", context)


def changes_nothing(included: _IncludedRouter) -> bool:
    """Return whether what an app adds to its included routes is no part of `DeclaredRoute`."""
    added = included.include_context
    is_default = isinstance(added.default_response_class, DefaultPlaceholder)
    bounds = added.max_body_size is not None
    return is_default and not (added.prefix or added.dependencies or bounds)


def cache_key(dependant: Dependant) -> object:
    """Return what the results of equal dependencies of one request are stored under."""
    return _get_cache_key(dependant=dependant)


def oauth_scopes(dependant: Dependant) -> list[str]:
    """Return the scopes that a dependency gets as ``SecurityScopes``."""
    return _get_oauth_scopes(dependant=dependant)


def name_of_scalar(field: ModelField) -> str | None:
    """Return the name of a parameter that is one text in the request; None for any other."""
    aliases = _get_param_aliases(field)
    is_plain = _get_param_model(field) is None and len(aliases) == 1
    if not is_plain or field_annotation_is_sequence(field.field_info.annotation):
        return None
    return aliases[0][1]


def validated(field: ModelField, value: object, location: tuple[str, ...]) -> tuple[Any, Errors]:
    """Return the valid value and no error, or errors; ``PydanticUndefined`` is a missing value."""
    return _validate_value_with_model_field(field=field, value=value, values={}, loc=location)


def validated_parameters(field: ModelField, received: Any) -> tuple[dict[str, Any], Errors]:  # noqa: ANN401 - a mapping of the framework's
    """Return the value of a parameter by its name, and the errors; for lists and models."""
    return request_params_to_args([field], received)

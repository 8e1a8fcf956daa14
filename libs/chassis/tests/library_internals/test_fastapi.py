"""Canaries: FastAPI's routes have what `chassis.library_internals.fastapi` relies on.

Whether both forms of a route do the same is in `libs/chassis/tests/http/test_lean_routes.py` and
`tests/architecture/test_lean_routes.py`.
"""

from dataclasses import fields
from typing import Annotated, Any

import fastapi.routing
import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Query, Security, _compat
from fastapi.dependencies import models, utils
from fastapi.routing import APIRoute
from pydantic import BaseModel

from chassis.library_internals.fastapi import (
    DependsParameter,
    SecurityParameter,
    name_of_scalar,
    takes_body,
    takes_form,
)
from testkit.library_internals import PrivateName

USED_BY = "chassis.library_internals.fastapi"
FUNCTIONS = {
    (models, "_get_cache_key"): "dependant, uses_scopes_cache",
    (models, "_get_oauth_scopes"): "dependant",
    (utils, "_get_param_aliases"): "field, convert_underscores",
    (utils, "_get_param_model"): "field",
    (utils, "_validate_value_with_model_field"): "field, value, values, loc",
    (utils, "request_params_to_args"): "fields, received_params",
    (_compat, "field_annotation_is_sequence"): "annotation",
    (fastapi.routing, "iter_route_contexts"): "routes",
}
OF_AN_INCLUSION = ("prefix", "dependencies", "default_response_class", "max_body_size")
OF_A_DEPENDANT = (
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies",
    "name", "call", "request_param_name", "http_connection_param_name", "response_param_name",
    "background_tasks_param_name", "security_scopes_param_name", "use_cache", "path", "scope",
    "concurrency",
)  # fmt: skip
OF_A_ROUTE = (
    "path", "path_regex", "param_convertors", "methods", "endpoint", "dependant", "body_field",
    "status_code", "response_field", "response_class", "response_model_include",
    "response_model_exclude", "response_model_by_alias", "response_model_exclude_unset",
    "response_model_exclude_defaults", "response_model_exclude_none", "stream_item_field",
    "is_json_stream", "is_sse_stream", "max_body_size", "_embed_body_fields",
)  # fmt: skip


class Shape(BaseModel):
    name: str


async def with_nothing():
    return None


async def with_json(shape: Shape):
    return shape


async def with_form(name: Annotated[str, Form()]):
    return name


async def with_parameters(
    a: str,
    b: Annotated[int, Query(alias="b-b")],
    several: Annotated[list[int], Query()],
    shape: Annotated[Shape, Query()],
):
    return a, b, several, shape


@pytest.mark.parametrize(("place", "parameters"), FUNCTIONS.items(), ids=str)
def test_a_function_accepts_what_it_is_given(place, parameters):
    owner, name = place
    PrivateName(
        library="fastapi", owner=owner, name=name, used_by=USED_BY, parameters=parameters
    ).check()


@pytest.mark.parametrize("name", OF_A_ROUTE)
def test_a_route_has_what_its_compiled_form_needs(name):
    route = APIRoute("/", with_json, methods=["POST"])
    PrivateName(library="fastapi", owner=route, name=name, used_by=USED_BY).check()


def included() -> Any:
    app = FastAPI(openapi_url=None)
    app.include_router(APIRouter())
    return app.routes[-1]


def test_an_included_router_is_of_the_class_that_is_looked_for():
    PrivateName(
        library="fastapi", owner=fastapi.routing, name="_IncludedRouter", used_by=USED_BY
    ).check()
    assert type(included()).__name__ == "_IncludedRouter"


@pytest.mark.parametrize("name", ["original_router", "include_context"])
def test_an_included_router_says_what_it_is_made_of(name):
    PrivateName(library="fastapi", owner=included(), name=name, used_by=USED_BY).check()


@pytest.mark.parametrize("name", OF_AN_INCLUSION)
def test_an_inclusion_says_what_it_adds(name):
    added = included().include_context
    PrivateName(library="fastapi", owner=added, name=name, used_by=USED_BY).check()


def test_an_inclusion_that_adds_nothing_has_no_other_parts_that_its_routes_depend_on():
    """A part that a newer FastAPI adds must be looked at: routes may depend on it."""
    assert {one.name for one in fields(included().include_context)} == {
        *OF_AN_INCLUSION,
        "included_router", "tags", "responses", "callbacks", "deprecated", "include_in_schema",
        "generate_unique_id_function", "strict_content_type", "dependency_overrides_provider",
        "form_limits",
    }  # fmt: skip


@pytest.mark.parametrize("name", OF_A_DEPENDANT)
def test_an_analysed_function_has_what_its_compiled_form_needs(name):
    analysed = APIRoute("/", with_json, methods=["POST"]).dependant
    PrivateName(library="fastapi", owner=analysed, name=name, used_by=USED_BY).check()


def test_a_parameter_that_is_one_text_has_a_name():
    route = APIRoute("/{a}", with_parameters, methods=["GET"])
    named = [*route.dependant.path_params, *route.dependant.query_params]
    assert [name_of_scalar(field) for field in named] == ["a", "b-b", None, None]


@pytest.mark.parametrize(
    ("endpoint", "body", "form"),
    [(with_nothing, False, False), (with_json, True, False), (with_form, True, True)],
)
def test_a_route_says_which_body_it_takes(endpoint, body, form):
    route = APIRoute("/", endpoint, methods=["POST"])
    where = PrivateName(
        library="fastapi",
        owner=route,
        name="body_field",
        used_by="chassis.library_internals.fastapi",
    )
    where.check()
    found = (takes_body(route), takes_form(route))
    assert found == (body, form), where.look_at(f"is {route.body_field!r}")


def test_a_dependency_is_of_the_class_that_is_declared():
    assert type(Depends(with_nothing)) is DependsParameter
    assert type(Security(with_nothing)) is SecurityParameter

"""The documents' schemas say all that the code checks, once, in keywords that readers know."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from fastapi import FastAPI
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it has no types
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chassis.api import create_api
from chassis.http import Shape
from chassis.installed import service_names
from chassis.operations.app import Operations
from chassis.service import load_service

ROOT = Path(__file__).parents[2]
SERVICES = service_names()
_META = "https://json-schema.org/draft/2020-12/meta/"
_VOCABULARIES = ("core", "applicator", "validation", "meta-data", "content", "unevaluated")
JSON_SCHEMA = {
    keyword
    for name in [*_VOCABULARIES, "format-annotation"]
    for keyword in REGISTRY.contents(_META + name)["properties"]
}
OPENAPI = {"discriminator", "xml", "externalDocs", "example"}  # OpenAPI 3.1 §4.8.24
MAPS = {"properties", "patternProperties", "$defs", "dependentSchemas"}
LISTS = {"anyOf", "allOf", "oneOf", "prefixItems"}
SINGLE = {
    "items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
}  # fmt: skip
BOUNDS = (
    (Ge, "ge", {"minimum"}),
    (Gt, "gt", {"exclusiveMinimum"}),
    (Le, "le", {"maximum"}),
    (Lt, "lt", {"exclusiveMaximum"}),
    (MinLen, "min_length", {"minLength", "minItems", "minProperties"}),
    (MaxLen, "max_length", {"maxLength", "maxItems", "maxProperties"}),
    (MultipleOf, "multiple_of", {"multipleOf"}),
)


def app_of(name):
    service = load_service(name)
    return create_api(service, service.api.settings.model_construct())


def operations_app():
    return Operations(title="Operations", registry=CollectorRegistry()).app


def documents() -> dict[str, dict[str, Any]]:
    whole = json.loads((ROOT / "services/gateway/openapi.json").read_text(encoding="utf-8"))
    made = {service: app_of(service).openapi() for service in SERVICES}
    return made | {"gateway": whole, "operations": operations_app().openapi()}


def schemas_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return all schemas of an OpenAPI document, with their locations."""
    for name, schema in document["components"]["schemas"].items():
        yield from within(name, schema)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            place = f"{method} {path}"
            for parameter in operation.get("parameters", []):
                yield from within(f"{place} {parameter['name']}", parameter["schema"])
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies:
                for media in body.get("content", {}).values():
                    yield from within(place, media["schema"])


def within(place: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a schema and the schemas inside it."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for keyword, value in schema.items():
        if keyword in MAPS:
            for name, part in value.items():
                yield from within(f"{place}.{name}", part)
        elif keyword in LISTS:
            for part in value:
                yield from within(place, part)
        elif keyword in SINGLE:
            yield from within(f"{place}[]", value)


def test_a_schema_has_no_keyword_that_readers_do_not_know():
    """For a constraint that follows a validator, Pydantic writes its own keywords, such as `ge`."""
    unknown = {
        f"{service}: {place}: {keyword}"
        for service, document in documents().items()
        for place, schema in schemas_of(document)
        for keyword in set(schema) - JSON_SCHEMA - OPENAPI
    }
    assert not unknown


def test_an_event_has_no_keyword_that_readers_do_not_know():
    files = sorted((ROOT / "libs/contracts").rglob("schemas/*.json"))
    assert files
    for file in files:
        schema = json.loads(file.read_text(encoding="utf-8"))
        unknown = {
            f"{file.name}: {place}: {keyword}"
            for place, part in within(file.stem, schema)
            for keyword in set(part) - JSON_SCHEMA
            if not keyword.startswith("x-")
        }
        assert not unknown


def test_no_shape_is_split_in_one_that_comes_in_and_one_that_goes_out():
    """Two schemas of one title make a client's generator write one class too many."""
    for service, document in documents().items():
        schemas = document["components"]["schemas"]
        titles = Counter(schema.get("title", name) for name, schema in schemas.items())
        assert not {title for title, count in titles.items() if count > 1}, service
        assert not [name for name in schemas if name.endswith(("-Input", "-Output"))], service
        names = Counter(name.casefold().replace("_", "") for name in schemas)
        assert not {name for name, count in names.items() if count > 1}, service


def shapes() -> list[type[Shape]]:
    for service in SERVICES:
        app_of(service)  # this imports every shape
    operations_app()
    found, left = [], [Shape]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    # Leave out the tests' own shapes, and generic ones that have no arguments yet.
    own = ("chassis.", *(f"{service}." for service in SERVICES))
    return [
        kind
        for kind in found
        if kind.__module__.startswith(own) and not kind.__pydantic_generic_metadata__["parameters"]
    ]


def constraints(annotation: Any) -> Iterator[tuple[set[str], Any]]:
    """Return the keywords that may express each constraint of an annotation, and its value."""
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        yield from constraints(kind)
        for item in metadata:
            parts = item.metadata if isinstance(item, FieldInfo) else [item]
            for part in parts:
                yield from keywords_of(part)
        return
    for part in get_args(annotation):
        yield from constraints(part)


def keywords_of(part: Any) -> Iterator[tuple[set[str], Any]]:
    for kind, name, keywords in BOUNDS:
        if isinstance(part, kind):
            yield keywords, getattr(part, name)
    pattern = getattr(part, "pattern", None)
    if pattern is not None:
        yield {"pattern"}, pattern


def test_a_constraint_that_is_checked_is_in_the_schema():
    """Pydantic checks a constraint that follows a validator, but omits it from the document."""
    assert len(shapes()) > 20
    missing = []
    for shape in shapes():
        schema = shape.model_json_schema(mode="validation", by_alias=False)
        properties = schema.get("properties", {})
        hints = get_type_hints(shape, include_extras=True)
        for name, field in shape.model_fields.items():
            parts = [schema for _, schema in within(name, properties[name])]
            found_keywords = [*constraints(hints[name])]
            found_keywords += [bound for item in field.metadata for bound in keywords_of(item)]
            missing += [
                f"{shape.__name__}.{name}: {sorted(keywords)} {value}"
                for keywords, value in found_keywords
                if not any(part.get(keyword) == value for part in parts for keyword in keywords)
            ]
    assert not missing


NO_INTEGERS = ("1_0", "+1", " 1", "1 ", "\t1", "01", "1.0", "1e1", "\u0661", "")


def integers_of(app: FastAPI) -> Iterator[tuple[ModelField, str | None, bool]]:
    """Yield each integer in a path, query or header: field, name in a model, is it a list."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            for field in fields_of(route.dependant):
                yield from integers_in(field)


def fields_of(dependant: Dependant) -> Iterator[ModelField]:
    yield from dependant.path_params
    yield from dependant.query_params
    yield from dependant.header_params
    for inner in dependant.dependencies:
        yield from fields_of(inner)


def integers_in(field: ModelField) -> Iterator[tuple[ModelField, str | None, bool]]:
    annotation = field.field_info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, part in annotation.model_fields.items():
            if int in kinds(part.annotation):
                yield field, name, get_origin(part.annotation) is list
    elif int in kinds(annotation):
        yield field, None, get_origin(annotation) is list


def kinds(annotation: Any) -> set[Any]:
    parts = get_args(annotation)
    return {annotation} if not parts else set().union(*map(kinds, parts))


@pytest.mark.parametrize("service", [*SERVICES, "operations"])
def test_no_integer_parameter_takes_what_is_no_integer_of_json(service):
    app = operations_app() if service == "operations" else app_of(service)
    found = list(integers_of(app))
    assert found, "each service has a list, which has a limit"
    for field, name, is_list in found:
        for text in NO_INTEGERS:
            value = [text] if is_list else text
            _, errors = field.validate(value if name is None else {name: value}, {}, loc=())
            places = {error["loc"][0] for error in errors if error["loc"]}
            assert errors, f"{field.name} {name} takes {text!r}"
            assert name is None or name in places

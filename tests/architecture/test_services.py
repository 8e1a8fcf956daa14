"""Rules for every service's app, tables and settings."""

import importlib
import inspect
from typing import get_args

import pytest
from fastapi.routing import APIRoute
from pydantic_settings import BaseSettings
from sqlalchemy import DateTime, MetaData

from chassis.api import create_api
from chassis.audit import declare_audit_table
from chassis.http import PageQuery, Pages
from chassis.installed import service_names
from chassis.jobs import declare_job_tables
from chassis.messaging import declare_messaging_tables
from chassis.service import installed_services

SERVICES = installed_services()
EACH = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
MESSAGING = MetaData()
declare_messaging_tables(MESSAGING)
declare_job_tables(MESSAGING)
declare_audit_table(MESSAGING)
MECHANISM = {*MESSAGING.tables, "idempotency_keys"}


def app_of(service):
    return create_api(service, service.api.settings.model_construct())


def base_of(service):
    return importlib.import_module(f"{service.name}.metadata").Base


def operations_of(service):
    paths = app_of(service).openapi()["paths"]
    found = [operation for path in paths.values() for operation in path.values()]
    assert found, f"{service.name} serves nothing"
    return found


@EACH
def test_every_route_declares_the_shape_of_its_response(service):
    for operation in operations_of(service):
        for status, answer in operation["responses"].items():
            if status not in {"204", "304"}:
                schemas = [media.get("schema") for media in answer.get("content", {}).values()]
                assert schemas, f"{operation['operationId']} {status}"
                assert all(schemas), f"{operation['operationId']} {status}"


@EACH
def test_every_route_has_a_summary_and_an_operation_id_of_its_own(service):
    operations = operations_of(service)
    assert all(operation.get("summary") for operation in operations)
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))


@EACH
def test_every_list_refuses_the_cursor_of_another_list(service):
    """`Pages` compares the list that a cursor names. A list without it would show any page."""
    routes = [
        route
        for router in service.routers
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    lists = [
        route
        for route in routes
        if any(
            issubclass(one.field_info.annotation, PageQuery)
            for one in route.dependant.query_params
            if inspect.isclass(one.field_info.annotation)
        )
    ]
    assert lists, f"{service.name} has no list"
    for route in lists:
        calls = [one.call for one in route.dependant.dependencies]
        assert get_args(Pages)[1].dependency in calls, route.path


@EACH
def test_a_created_thing_says_where_it_is(service):
    for operation in operations_of(service):
        created = operation["responses"].get("201")
        if created is not None:
            assert "Location" in created.get("headers", {}), operation["operationId"]


@EACH
def test_every_text_number_and_list_that_comes_in_has_bounds(service):
    document = app_of(service).openapi()
    unbounded = []
    for operation in operations_of(service):
        parameters = operation.get("parameters", [])
        schemas = [(parameter["name"], parameter["schema"]) for parameter in parameters]
        body = operation.get("requestBody", {}).get("content", {})
        schemas += [(kind, media["schema"]) for kind, media in body.items()]
        for name, schema in schemas:
            unbounded += walk(document, f"{operation['operationId']}.{name}", schema)
    assert not unbounded


def walk(document, place, schema):
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
    found = []
    for part in [*schema.get("anyOf", []), *schema.get("allOf", [])]:
        found += walk(document, place, part)
    kind = schema.get("type")
    if kind == "string" and not {"maxLength", "format", "enum", "const", "pattern"} & set(schema):
        found.append(f"{place}: a text without maxLength")
    if kind == "integer" and not {"maximum", "exclusiveMaximum"} & set(schema):
        found.append(f"{place}: an integer without maximum")
    if kind == "array":
        if "maxItems" not in schema:
            found.append(f"{place}: a list without maxItems")
        found += walk(document, f"{place}[]", schema.get("items", {}))
    for name, part in schema.get("properties", {}).items():
        found += walk(document, f"{place}.{name}", part)
    return found


@EACH
def test_every_business_table_stores_when_its_rows_were_made_and_changed(service):
    for name, table in service.metadata.tables.items():
        if name not in MECHANISM:
            for column in ("created_at", "updated_at"):
                assert column in table.c, f"{service.name}.{name} has no {column}"
                assert isinstance(table.c[column].type, DateTime)
                assert table.c[column].server_default is not None


@EACH
def test_no_relationship_loads_by_itself(service):
    for mapper in base_of(service).registry.mappers:
        for relationship in mapper.relationships:
            assert relationship.lazy in {"raise", "raise_on_sql", "write_only"}, relationship


@pytest.mark.parametrize("service", [*service_names(), "gateway"])
def test_every_setting_says_what_it_is(service):
    module = importlib.import_module(f"{service}.settings")
    classes = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseSettings) and kind.__module__ == module.__name__
    ]
    assert classes
    for kind in classes:
        for name, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{name} has no description"

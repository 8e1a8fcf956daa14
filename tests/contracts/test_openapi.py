"""The merged OpenAPI document: its examples conform, and its names suit generated clients."""

import json
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

DOCUMENT = json.loads(
    (Path(__file__).parents[2] / "services" / "gateway" / "openapi.json").read_text("utf-8")
)
METHODS = ("get", "put", "post", "delete", "patch")
OPERATIONS = {
    item[method]["operationId"]: item[method]
    for item in DOCUMENT["paths"].values()
    for method in METHODS
    if method in item
}
EACH = pytest.mark.parametrize("name", OPERATIONS)


def bodies(operation):
    """Return each body that a caller sends or gets after a success, with its media type object."""
    found = [("request", operation.get("requestBody", {}))]
    found += [
        (status, response)
        for status, response in operation["responses"].items()
        if status.startswith("2")
    ]
    return [
        (f"{where} {kind}", media)
        for where, part in found
        for kind, media in part.get("content", {}).items()
    ]


@EACH
def test_each_body_has_an_example_that_conforms_to_its_schema(name):
    for where, media in bodies(OPERATIONS[name]):
        assert "example" in media, where
        schema = {**media["schema"], "components": DOCUMENT["components"]}
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        errors = [
            f"{error.json_path}: {error.message}"
            for error in validator.iter_errors(media["example"])
        ]
        assert errors == [], where


def test_an_operation_id_is_unique_in_languages_that_ignore_case():
    names = Counter(name.lower() for name in OPERATIONS)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name.isalnum() and name[0].islower() for name in OPERATIONS)
    operations = [
        item[method] for item in DOCUMENT["paths"].values() for method in METHODS if method in item
    ]
    assert len(operations) == len(OPERATIONS), "two operations share an id"


@EACH
def test_an_operation_says_which_token_it_needs(name):
    """A 401 of the gateway is documented exactly where a token may be refused."""
    operation = OPERATIONS[name]
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert all(set(requirement) <= set(schemes) for requirement in operation["security"])
    if any(operation["security"]):
        assert "401" in operation["responses"]


def test_every_schema_is_used_and_every_reference_leads_to_one():
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert json.dumps(f"#/components/schemas/{name}") in text, f"{name} is not used"


def test_the_server_is_the_one_that_serves_the_document():
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


def test_every_tag_is_described():
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == described

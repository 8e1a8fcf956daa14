"""Examples of an OpenAPI document: from the schemas, and from the table for what they don't say."""

import json
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from fastapi import FastAPI
from pydantic import Field

from chassis.http import Id, Page, Router, Shape
from chassis.http.documentation import Documentation, MissingExampleError
from chassis.http.openapi import describe


class Colour(StrEnum):
    RED = "red"


class Part(Shape):
    name: str
    colour: Colour


class Thing(Shape):
    id: Id
    name: str
    count: Annotated[int, Field(ge=5)]
    kind: Literal["thing"]
    part: Part | None
    labels: list[str]
    extra: dict[str, str]
    open: bool


router = Router(prefix="/things", tags=["things"])


@router.post("", operation_id="createThing", status_code=201)
async def create(body: Thing) -> Thing:
    return body


@router.get("", operation_id="listThings")
async def list_things() -> Page[Thing]:
    return Page[Thing](items=[], next_cursor=None)


@router.delete("/{thing_id}", operation_id="deleteThing", status_code=204)
async def delete(thing_id: Id) -> None:
    del thing_id


def document(examples):
    app = FastAPI()
    app.include_router(router)
    describe(app, Documentation(tags={"things": "All things."}, examples=examples))
    return app.openapi()


VALUES = {"name": "any", "Part.name": "wheel", "labels": ["a"]}


def bodies(examples, path="/things", method="post", status="201"):
    operation = document(examples)["paths"][path][method]
    sent = operation.get("requestBody", {"content": {"application/json": {}}})
    got = operation["responses"][status]
    return [part["content"]["application/json"].get("example") for part in (sent, got)]


def test_an_example_has_every_member_of_its_schema():
    sent, got = bodies(VALUES)
    assert sent == got
    assert sent == {
        "id": "01960000-0000-7000-8000-000000000001",
        "name": "any",
        "count": 5,
        "kind": "thing",
        "part": {"name": "wheel", "colour": "red"},
        "labels": ["a"],
        "extra": {},
        "open": True,
    }
    Thing.model_validate_json(json.dumps(sent))


def test_the_longer_name_of_a_value_wins_and_one_body_may_differ():
    sent, got = bodies({**VALUES, "Thing.name": "mine", "createThing.201.name": "made"})
    assert (sent["name"], got["name"]) == ("mine", "made")


def test_a_body_may_be_given_as_a_whole():
    sent, _ = bodies({**VALUES, "createThing.request": {"whole": 1}})
    assert sent == {"whole": 1}


def test_a_page_has_one_item_and_no_further_page():
    _, got = bodies(VALUES, method="get", status="200")
    assert got["next_cursor"] is None
    assert len(got["items"]) == 1


def test_a_text_without_a_value_is_named():
    with pytest.raises(MissingExampleError, match=r"'Part\.name'.*'name'"):
        document({"labels": ["a"], "Thing.name": "x"})


def test_tags_and_ids_in_paths_are_described():
    whole = document(VALUES)
    assert whole["tags"] == [{"name": "things", "description": "All things."}]
    (parameter,) = whole["paths"]["/things/{thing_id}"]["delete"]["parameters"]
    assert parameter["description"] == "The id of the thing."


def test_an_operation_without_a_token_says_so():
    assert document(VALUES)["paths"]["/things"]["get"]["security"] == []

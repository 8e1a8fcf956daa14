"""The committed AsyncAPI document is up to date, and sufficient to read our messages."""

import json
from pathlib import Path

import jsonschema
import pytest

import contracts
from chassis.database import new_id
from chassis.documents.asyncapi import facts_of
from chassis.messaging.asyncapi.document import as_text, asyncapi_document
from chassis.messaging.events import cloud_event_headers
from chassis.service import installed_services
from contracts.examples import example, example_json

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_bytes())
EACH = pytest.mark.parametrize("event", contracts.EVENTS, ids=lambda event: event.type)


def validator_of(reference):
    # AsyncAPI's schemas are JSON Schema draft 7. Their references point into the document itself.
    schema = {"$ref": reference, "components": DOCUMENT["components"]}
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def test_what_is_committed_is_fresh():
    document = asyncapi_document(facts_of(ROOT / "libs/contracts", installed_services()))
    assert (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8") == as_text(document)


@EACH
def test_our_messages_fit_what_the_document_says(event):
    message = DOCUMENT["components"]["messages"][event.type]
    assert event.type in DOCUMENT["channels"][event.topic.name]["messages"]
    validator = validator_of(message["payload"]["$ref"])
    data = json.loads(example_json(event))
    validator.validate(data)
    assert not validator.is_valid({})

    source = f"/slipway/{event.topic.producer}"
    headers = cloud_event_headers(example(event), event_id=new_id(), source=source, trace={})
    of_headers = validator_of(f"#/components/messages/{event.type}/headers")
    of_headers.validate(headers)
    for name in message["headers"]["required"]:
        less = {key: value for key, value in headers.items() if key != name}
        assert not of_headers.is_valid(less), name


def test_the_private_topic_is_said_to_be_private():
    assert DOCUMENT["channels"]["slipway.users.private"]["x-readers"] == ["notifications"]
    assert [
        name for name, channel in DOCUMENT["channels"].items() if channel["x-readers"] is not None
    ] == ["slipway.users.private"]


def test_who_reads_an_order():
    receivers = {
        name.partition(".")[0]
        for name, operation in DOCUMENT["operations"].items()
        if operation["action"] == "receive"
        and {"$ref": "#/channels/slipway.orders/messages/order.placed.v1"} in operation["messages"]
    }
    assert receivers == {"notifications"}

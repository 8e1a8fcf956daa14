"""The gateway conforms to its OpenAPI document, whatever a client sends."""

import httpx
import pytest

from testkit.conformance import conforms

from .callers import caller

STREAMS = {"streamNotifications"}


def operations_of(document):
    """Return the operationIds of a document."""
    items = document["paths"].values()
    return {operation["operationId"] for item in items for operation in item.values()}


def succeeded(statuses):
    """Return the operations with a 2xx."""
    return {name for name, seen in statuses.items() if any(200 <= one < 300 for one in seen)}


@pytest.fixture(scope="session")
async def document(system):
    async with httpx.AsyncClient(base_url=system.gateway_url, timeout=60) as http:
        answer = await http.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


async def test_the_document_names_every_public_path(document):
    for path in ("/api/v1/users", "/api/v1/auth/login", "/api/v1/products", "/api/v1/orders"):
        assert path in document["paths"]
    assert "Problem" in document["components"]["schemas"]


async def test_no_request_gets_a_5xx_or_an_undocumented_response(system, document):
    """`make conformance` sends many more, and has an administrator's token too."""
    sender = await caller(system, roles=("customer", "support"))
    statuses = await conforms(
        document,
        base_url=system.gateway_url,
        headers=sender.fields,
        known=sender.known,
        max_examples=2,
    )
    assert statuses.keys() == operations_of(document) - STREAMS
    assert len(succeeded(statuses)) >= 25, "many do their work, and do not only refuse"

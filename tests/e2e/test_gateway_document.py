"""The gateway conforms to its OpenAPI document, whatever a client sends."""

import httpx
import pytest

from testkit.conformance import conforms


@pytest.fixture(scope="session")
async def document(system):
    async with httpx.AsyncClient(base_url=system.gateway_url) as http:
        answer = await http.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


async def test_the_document_names_every_public_path(document):
    for path in ("/api/v1/users", "/api/v1/auth/login", "/api/v1/products", "/api/v1/orders"):
        assert path in document["paths"]
    assert "Problem" in document["components"]["schemas"]


async def test_no_request_gets_a_5xx_or_an_undocumented_response(system, document, customer):
    headers = {"Authorization": f"Bearer {customer.token}"}
    assert await conforms(document, base_url=system.gateway_url, headers=headers) > 10

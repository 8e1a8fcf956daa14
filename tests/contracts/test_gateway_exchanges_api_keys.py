"""The gateway imports no service, so the exchange of API keys that it calls is compared here."""

import json
from pathlib import Path

from gateway.api_keys import EXCHANGE_PATH, SERVICE
from gateway.routes import ROUTES, RouteTable

ROOT = Path(__file__).parents[2]


def test_the_gateway_calls_the_exchange_that_users_offers():
    file = ROOT / "services" / SERVICE / "openapi.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    operation = document["paths"][EXCHANGE_PATH]["post"]
    assert not operation.get("security"), "the key is in the body"
    shapes = document["components"]["schemas"]

    def shape_of(part):
        reference = part["content"]["application/json"]["schema"]["$ref"]
        return shapes[reference.rpartition("/")[2]]

    assert shape_of(operation["requestBody"])["required"] == ["api_key"]
    assert shape_of(operation["responses"]["200"])["required"] == ["access_token"]
    assert "401" in operation["responses"]


def test_no_client_reaches_the_exchange():
    table = RouteTable(ROUTES)
    assert table.find("POST", EXCHANGE_PATH) is None
    assert table.find("POST", f"/api/v1{EXCHANGE_PATH}") is None

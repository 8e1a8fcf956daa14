"""The service conforms to its OpenAPI document, whatever a client sends."""

from uuid import UUID

import pytest

from chassis.api import create_api
from chassis.auth import ApiKeyGrant, SessionGrant
from chassis.database import new_id
from testkit.clients import serving
from testkit.conformance import conforms
from testkit.documented_responses import send_examples
from users.declaration import SERVICE
from users.sessions.models import SCOPES

from .conftest import logged_in

OPERATIONS = 39


async def test_every_response_is_as_documented(settings, tokens, register):
    app = create_api(SERVICE, settings)
    user_id = UUID((await register())["id"])
    headers = tokens.headers(subject=user_id, scopes=["profile", "users:read", "users:write"])

    async with serving(app) as url:
        seen = await conforms(app.openapi(), base_url=url, headers=headers)

    assert len(seen) == OPERATIONS


async def test_without_a_token_every_response_is_as_documented(settings):
    app = create_api(SERVICE, settings)

    async with serving(app) as url:
        seen = await conforms(app.openapi(), base_url=url, max_examples=3)

    assert len(seen) == OPERATIONS


@pytest.mark.parametrize("caller", ["log-in", "old log-in", "API key", "deleted account"])
async def test_what_a_caller_is_refused_for_is_documented(
    client, register, resources, settings, caller
):
    """The client fails the test that gets an undocumented response."""
    user_id = UUID((await register())["id"])
    grant = {
        "log-in": SessionGrant(session_id=new_id()),
        "old log-in": logged_in(minutes_ago=60),
        "API key": ApiKeyGrant(api_key_id=new_id()),
        "deleted account": SessionGrant(session_id=new_id()),
    }[caller]
    token = resources.signer.sign(
        subject=new_id() if caller == "deleted account" else user_id,
        grant=grant,
        roles=list(SCOPES),
        scopes=frozenset[str]().union(*SCOPES.values()),
    )
    document = create_api(SERVICE, settings).openapi()
    headers = {"Authorization": f"Bearer {token}"}
    assert len(await send_examples(client, document, headers=headers)) == OPERATIONS


def test_the_token_endpoint_documents_rfc_6749_and_no_problems_of_its_own(settings):
    operation = create_api(SERVICE, settings).openapi()["paths"]["/api/v1/auth/token"]["post"]

    assert list(operation["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    assert list(operation["responses"]["400"]["content"]) == ["application/json"]
    assert "problem" not in operation["responses"]["400"]["description"]
    assert "malformed-request" not in operation["responses"]["400"]["description"]
    # 422 is never returned.
    assert set(operation["responses"]) == {"200", "400", "413", "415", "503"}

"""The documents by which clients find endpoints and keys, and how caches keep them."""

import pytest

from users.accounts.models import Role
from users.sessions.models import scopes_of

METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"


async def test_the_metadata_name_what_there_is(client, settings):
    metadata = (await client.get(METADATA)).json()

    issuer = settings.auth_issuer
    assert metadata == {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/api/v1/auth/token",
        "revocation_endpoint": f"{issuer}/api/v1/auth/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": sorted(scopes_of(Role)),
        "response_types_supported": [],
        "grant_types_supported": ["refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    }


async def test_every_address_in_the_metadata_is_served(client):
    metadata = (await client.get(METADATA)).json()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for name in ("token_endpoint", "revocation_endpoint"):
        assert (await client.post(metadata[name], headers=form)).json()[
            "error"
        ] == "invalid_request"
    assert (await client.get(metadata["jwks_uri"])).status_code == 200


@pytest.mark.parametrize("path", [METADATA, JWKS])
async def test_caches_keep_the_documents_and_confirm_them(client, path):
    answer = await client.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"

    same = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == answer.headers["etag"]
    assert same.headers["cache-control"] == "public, max-age=300"
    other = await client.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, answer.content)


class TestIssuerWithASlash:
    @pytest.fixture
    def more_settings(self, more_settings):
        return {**more_settings, "auth_issuer": "https://id.example.com/"}

    async def test_the_issuer_is_the_one_in_the_tokens_to_the_letter(self, client):
        metadata = (await client.get(METADATA)).json()
        assert metadata["issuer"] == "https://id.example.com/"
        assert metadata["token_endpoint"] == "https://id.example.com/api/v1/auth/token"

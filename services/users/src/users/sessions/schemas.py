"""The shapes of sessions in HTTP: log-in, and OAuth 2's token endpoint (RFC 6749)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chassis.http import Shape
from users.accounts.models import MAX_PASSWORD
from users.accounts.schemas import Email

MAX_REFRESH_TOKEN = 512

Given = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=1, max_length=MAX_PASSWORD),
    Field(repr=False, json_schema_extra={"format": "password"}),
]
"""A password as somebody types it; whether it has the right length is nobody's business here."""


class Credentials(Shape):
    """Who logs in."""

    email: Email
    password: Given


class Tokens(Shape):
    """An access token and the refresh token that renews it once (RFC 6749 §5.1)."""

    access_token: Annotated[str, Field(repr=False, description="For `Authorization: Bearer`.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's name of the type
    expires_in: int = Field(description="Seconds that the access token is good for.")
    refresh_token: Annotated[str, Field(repr=False, description="Good for one use.")]
    scope: str = Field(description="What the access token allows, separated by spaces.")


class TokenRequest(Shape):
    """The form of the token endpoint; further parameters are ignored (RFC 6749 §3.2)."""

    grant_type: Literal["refresh_token"]
    refresh_token: Annotated[str, Field(min_length=1, max_length=MAX_REFRESH_TOKEN)]


class TokenError(Shape):
    """Why there is no token (RFC 6749 §5.2)."""

    error: Literal["invalid_request", "invalid_grant", "unsupported_grant_type"]
    error_description: str = Field(description="What was wrong, for a developer.")


class JsonWebKey(Shape):
    """A public key (RFC 7517, RFC 7518 §6.2)."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


class JsonWebKeySet(Shape):
    """All keys that an access token may be signed with."""

    keys: list[JsonWebKey]

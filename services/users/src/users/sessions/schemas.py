"""The request and response bodies of OAuth 2's endpoints and of log-in sessions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from chassis.http import Id, Shape

MAX_REFRESH_TOKEN = 512
MAX_PARAMETER = 8192
"""The longest parameter of a form, in characters; access tokens are shorter."""

InBrowser = Annotated[
    bool,
    Field(
        description="Whether to put the refresh token into a cookie that scripts can't read, and "
        "not into the response. Only a page may ask for it: of the API's own origin, or of an "
        "allowed one of the same site."
    ),
]
"""The member of a log-in's body that chooses where the refresh token goes."""


def _no_token() -> None:
    return None


def _is_absent(token: str | None) -> bool:
    return token is None


class Tokens(Shape):
    """An access token and the refresh token that renews it once (RFC 6749 §5.1)."""

    access_token: Annotated[str, Field(repr=False, description="For `Authorization: Bearer`.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's name of the type
    expires_in: int = Field(description="Seconds that the access token is valid.")
    refresh_token: Annotated[
        str | None,
        # A factory, so that the OpenAPI document shows no default.
        Field(default_factory=_no_token, repr=False, exclude_if=_is_absent),
        WithJsonSchema(
            {
                "type": "string",
                "description": "Exchanged once, for its successor. Absent if it is in a cookie.",
            }
        ),
    ]
    scope: str = Field(description="The scopes of the access token, separated by spaces.")


class TokenRequest(Shape):
    """The form of the token endpoint; further parameters are ignored (RFC 6749 §3.2)."""

    grant_type: Literal["refresh_token"]
    refresh_token: Annotated[
        str,
        Field(
            default_factory=str,
            min_length=1,
            max_length=MAX_REFRESH_TOKEN,
            description="Left out if the refresh token is in a cookie.",
        ),
    ]


class RevocationRequest(Shape):
    """The form of the revocation endpoint; further parameters are ignored (RFC 7009 §2.1)."""

    token: Annotated[
        str,
        Field(
            default_factory=str,
            min_length=1,
            max_length=MAX_PARAMETER,
            description="An access token or a refresh token. Left out if the refresh token is in "
            "a cookie.",
        ),
    ]
    token_type_hint: Annotated[
        str,
        Field(
            default_factory=str,
            max_length=MAX_PARAMETER,
            description="Not needed, and ignored (RFC 7009 §2.1).",
        ),
    ]


class Revoked(Shape):
    """The token is not valid any more, or never was."""


class TokenError(Shape):
    """Why a request for or about tokens is rejected (RFC 6749 §5.2, RFC 7009 §2.2.1)."""

    error: Literal[
        "invalid_request", "invalid_grant", "unsupported_grant_type", "unsupported_token_type"
    ]
    error_description: str = Field(description="What was wrong and what to do, for a developer.")


class ExportedSession(Shape):
    """A log-in session in the export of a person's data; refresh tokens are secrets."""

    id: Id
    user_agent: str | None
    address: str | None
    methods: list[str]
    created_at: datetime
    last_used_at: datetime
    revoked_at: datetime | None


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


class ServerMetadata(Shape):
    """What an OAuth 2 client needs to know of this server (RFC 8414 §2)."""

    issuer: str = Field(description="The `iss` of access tokens.")
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    scopes_supported: list[str] = Field(description="Each is granted to the accounts of some role.")
    # RFC 8414 requires the member, and clients reject a document without it. The list is empty
    # because there is no authorization endpoint.
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]


class Session(Shape):
    """A log-in session that has neither ended nor expired."""

    id: Id = Field(description="The claim `sid` of its access tokens.")
    device: str | None = Field(
        description="A short name of the client, made of its User-Agent: `Firefox on Windows`."
    )
    user_agent: str | None = Field(description="The client's User-Agent at its last use.")
    address: str | None = Field(description="The client's network address at its last use.")
    methods: list[str] = Field(description="How the user logged in (RFC 8176): `pwd`, `otp` …")
    created_at: datetime = Field(description="When the user logged in.")
    last_used_at: datetime = Field(description="When the user logged in or refreshed last.")
    expires_at: datetime | None = Field(
        description="When the session ends unless it is refreshed; null if that is not known."
    )
    current: bool = Field(description="Whether the access token of this request belongs to it.")

"""The request and response bodies of API keys."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from chassis.http import Id, Name, Shape
from chassis.times import Moment
from users.api_keys.models import LONGEST_LIFETIME, USUAL_LIFETIME

_MAX_SCOPES = 50
_MAX_SCOPE = 100
_MAX_KEY = 256

Scope = Annotated[str, Field(min_length=1, max_length=_MAX_SCOPE)]


class NewApiKey(Shape):
    """What an owner chooses for a new key."""

    name: Name
    scopes: Annotated[
        list[Scope],
        Field(
            min_length=1,
            max_length=_MAX_SCOPES,
            description="A part of the scopes of the access token that the request is sent with.",
        ),
    ]
    expires_at: Annotated[
        Moment | None,
        Field(
            description=f"At most {LONGEST_LIFETIME.days} days from now. If it is left out, the "
            f"key expires {USUAL_LIFETIME.days} days from now."
        ),
    ] = None


class ApiKeyView(Shape):
    """An API key, without its secret."""

    id: Id
    name: str
    prefix: str = Field(description="The beginning of the key, by which it can be recognised.")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = Field(
        description="When the key was last exchanged for an access token; null: never. The gateway "
        "uses a token for some minutes, so a later use may be missing."
    )
    revoked_at: datetime | None = Field(description="When the key was revoked; null: it was not.")


class CreatedApiKey(ApiKeyView):
    """A new API key, with its secret. No other response contains it."""

    api_key: Annotated[str, Field(repr=False, description="For `Authorization: Bearer`.")]


class ApiKeyProof(Shape):
    """The key that the gateway exchanges."""

    api_key: Annotated[str, Field(min_length=1, max_length=_MAX_KEY, repr=False)]


class ApiKeyToken(Shape):
    """A short-lived access token for the owner of a key."""

    access_token: Annotated[str, Field(repr=False)]

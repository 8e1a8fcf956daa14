"""The request and response bodies of passkeys. Credentials have WebAuthn's JSON form (§5.1)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from chassis.http import Id, Name, Shape
from users.sessions.schemas import InBrowser

_Base64Url = Annotated[str, Field(min_length=1, max_length=16_384, pattern=r"^[A-Za-z0-9_-]+$")]
_CredentialId = Annotated[str, Field(min_length=1, max_length=1366, pattern=r"^[A-Za-z0-9_-]+$")]


class _FromBrowser(Shape):
    """The base of what browsers make. They may add members, so that unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore")


class AttestationResponse(_FromBrowser):
    """What an authenticator returned for a new passkey."""

    client_data_json: Annotated[_Base64Url, Field(alias="clientDataJSON")]
    attestation_object: Annotated[_Base64Url, Field(alias="attestationObject")]
    transports: Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=16)] = Field(
        default_factory=list, description="How the authenticator can be reached."
    )


class AssertionResponse(_FromBrowser):
    """What an authenticator returned for a log-in."""

    client_data_json: Annotated[_Base64Url, Field(alias="clientDataJSON")]
    authenticator_data: Annotated[_Base64Url, Field(alias="authenticatorData")]
    signature: _Base64Url
    user_handle: Annotated[_Base64Url | None, Field(alias="userHandle")] = None


class _Credential(_FromBrowser):
    id: _CredentialId
    raw_id: Annotated[_CredentialId, Field(alias="rawId")]
    type: Literal["public-key"]

    def json_form(self) -> dict[str, Any]:
        """Return the members that WebAuthn verifies, by their names there."""
        return self.model_dump(by_alias=True, exclude_none=True)


class NewCredentialJson(_Credential):
    """`RegistrationResponseJSON`: `toJSON()` of what `navigator.credentials.create()` returned."""

    response: AttestationResponse


class CredentialJson(_Credential):
    """`AuthenticationResponseJSON`: `toJSON()` of what `navigator.credentials.get()` returned."""

    response: AssertionResponse


class PasskeyOptions(Shape):
    """Options for the browser."""

    public_key: dict[str, Any] = Field(
        description="`PublicKeyCredentialCreationOptionsJSON` or "
        "`PublicKeyCredentialRequestOptionsJSON` (WebAuthn level 3), for "
        "`PublicKeyCredential.parseCreationOptionsFromJSON()` or `parseRequestOptionsFromJSON()`."
    )


class NewPasskey(Shape):
    """A passkey to add."""

    name: Name
    credential: NewCredentialJson


class PasskeyName(Shape):
    """A JSON Merge Patch (RFC 7396) of a passkey: what is left out stays."""

    # A factory, so that the OpenAPI document shows no default: an omitted member changes nothing.
    name: Name = Field(default_factory=str, description="It can't be removed: null gets 422.")


class PasskeyLogIn(Shape):
    """Who logs in."""

    credential: CredentialJson
    browser: InBrowser = False


class PasskeyView(Shape):
    """A passkey of one's own account."""

    id: Id
    name: str
    backed_up: bool = Field(description="Whether the key was copied to other devices.")
    created_at: datetime
    last_used_at: datetime | None

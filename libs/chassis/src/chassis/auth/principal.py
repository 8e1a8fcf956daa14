"""The caller, as an ``Annotated`` dependency, and the scopes that routes require."""

from dataclasses import dataclass, field
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Security
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from chassis.errors import Forbidden, Unauthenticated
from chassis.library_internals.fastapi import SecurityParameter
from chassis.telemetry.logging import note_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller, as the access token identifies them.

    Attributes:
        user_id: the claim ``sub``.
        session_id: the claim ``sid``; None if an API key was exchanged for the token.
        api_key_id: the claim ``api_key``; None if the token belongs to a log-in session.
        roles: the claim ``roles``.
        scopes: the claim ``scope``.
        expires_at: the claim ``exp``, in seconds since 1970.
        key_id: the ``kid`` of the key that signed the token.
        authenticated_at: the claim ``auth_time``, in seconds since 1970.
        methods: the claim ``amr`` (RFC 8176).
        subject: `user_id` as text. Making it costs more than a look-up of the cached token.
    """

    user_id: UUID
    session_id: UUID | None
    api_key_id: UUID | None
    roles: frozenset[str]
    scopes: frozenset[str]
    expires_at: int
    key_id: str
    authenticated_at: int
    methods: frozenset[str]
    subject: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", str(self.user_id))  # the class is frozen


class Verifier(Protocol):
    """Turns an access token into a principal."""

    def verify(self, token: str) -> Principal:
        """Return the token's principal, or raise ValueError with the reason it is not valid."""

    def check(self, principal: Principal) -> None:
        """Raise ValueError with the reason if the principal's token is no longer valid.

        It verifies no signature. Code that holds a principal for longer than a request, such as a
        WebSocket, calls this often and does not keep the token.
        """


class InsufficientScope(Forbidden):
    """The access token lacks a scope.

    The token itself is valid (RFC 6750 §3.1).
    """


NOT_AUTHENTICATED = (
    "The request has no access token, and this operation needs one. Send the header "
    "`Authorization: Bearer <access token>`."
)
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="An access token of `POST /api/v1/auth/login`, or an API key of "
    "`POST /api/v1/api-keys`, which the gateway exchanges for an access token.",
)


# Dependencies are coroutines even if they await nothing: FastAPI runs plain functions in threads,
# and the switch to a thread and back costs more than the work.


async def verifier_of(connection: HTTPConnection) -> Verifier:
    """Return the verifier that the process opened."""
    verifier: Verifier = connection.app.state.verifier
    return verifier


async def current_principal(
    required: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    verifier: Annotated[Verifier, Depends(verifier_of)],
) -> Principal:
    """Return the caller.

    Raises:
        Unauthenticated: there is no valid token (401).
        InsufficientScope: the token lacks a required scope (403).
    """
    if credentials is None:
        raise Unauthenticated(NOT_AUTHENTICATED)
    try:
        principal = verifier.verify(credentials.credentials)
    except ValueError as error:
        raise Unauthenticated(str(error)) from error
    note_user(principal.subject)
    missing = sorted(set(required.scopes) - principal.scopes)
    if missing:
        message = (
            f"The access token lacks the scope {' '.join(missing)}. Use one that has "
            f"{' '.join(required.scopes)}."
        )
        raise InsufficientScope(message, extra={"scope": " ".join(required.scopes)})
    return principal


async def optional_principal(
    required: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    verifier: Annotated[Verifier, Depends(verifier_of)],
) -> Principal | None:
    """Return the caller, or None if the request has no access token; see `current_principal`."""
    if credentials is None:
        return None
    return await current_principal(required, credentials, verifier)


CurrentPrincipal = Annotated[Principal, Security(current_principal)]


def require_scope(*scopes: str) -> SecurityParameter:
    """Return the metadata that requires scopes: ``Annotated[Principal, <this>]``."""
    parameter: SecurityParameter = Security(current_principal, scopes=list(scopes))
    return parameter


def accept_scope(*scopes: str) -> SecurityParameter:
    """Return the metadata for a route that a caller may also use by other means than a token.

    A token that is sent must be valid and have the scopes: ``Annotated[Principal | None, <this>]``.
    """
    parameter: SecurityParameter = Security(optional_principal, scopes=list(scopes))
    return parameter

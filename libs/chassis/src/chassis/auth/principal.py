"""The caller, as an ``Annotated`` dependency, and the scopes that routes ask for."""

from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Security
from fastapi.params import Security as SecurityParameter
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from chassis.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls, as the access token says."""

    user_id: UUID
    session_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str]


class Verifier(Protocol):
    """What turns a token into a principal."""

    def verify(self, token: str) -> Principal:
        """Answer who the token speaks for; ValueError says why it speaks for nobody."""


class InsufficientScope(Forbidden):
    """The token is good and lacks a scope (RFC 6750 §3.1)."""

    name = "insufficient-scope"
    title = "The access token lacks a scope."


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="An access token of `POST /api/v1/auth/login`.",
)


# Dependencies are coroutines even where they await nothing: FastAPI runs plain functions in
# threads, and a hop there and back costs more than the work.


async def verifier_of(connection: HTTPConnection) -> Verifier:
    """Find the verifier that the process opened."""
    verifier: Verifier = connection.app.state.verifier
    return verifier


async def current_principal(
    required: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    verifier: Annotated[Verifier, Depends(verifier_of)],
) -> Principal:
    """Answer the caller; 401 without a good token, 403 where it lacks a scope."""
    if credentials is None:
        message = "send the header `Authorization: Bearer <access token>`"
        raise Unauthenticated(message)
    try:
        principal = verifier.verify(credentials.credentials)
    except ValueError as error:
        raise Unauthenticated(str(error)) from error
    missing = sorted(set(required.scopes) - principal.scopes)
    if missing:
        message = f"this needs the scope {' '.join(missing)}"
        raise InsufficientScope(message, extra={"scope": " ".join(required.scopes)})
    return principal


CurrentPrincipal = Annotated[Principal, Security(current_principal)]


def require_scope(*scopes: str) -> SecurityParameter:
    """Ask for scopes in an annotation: ``Annotated[Principal, <this>]``."""
    parameter: SecurityParameter = Security(current_principal, scopes=list(scopes))
    return parameter

"""The actor or the origin of a request, for routes whose changes are recorded."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Security
from fastapi.requests import HTTPConnection

from chassis.actor import Actor, ActorKind, Origin
from chassis.auth.principal import CurrentPrincipal
from chassis.errors import LogInRequired
from chassis.http.context import request_id_of
from chassis.http.origin import client_address
from chassis.library_internals.fastapi import SecurityParameter


async def current_actor(connection: HTTPConnection, principal: CurrentPrincipal) -> Actor:
    """Return the actor of this request."""
    return Actor(
        kind=ActorKind.USER if principal.api_key_id is None else ActorKind.API_KEY,
        user_id=principal.user_id,
        session_id=principal.session_id,
        api_key_id=principal.api_key_id,
        methods=principal.methods,
        authenticated_at=datetime.fromtimestamp(principal.authenticated_at, UTC),
        expires_at=datetime.fromtimestamp(principal.expires_at, UTC),
        address=client_address(connection),
        request_id=request_id_of(connection.scope),
    )


async def current_person(actor: Annotated[Actor, Depends(current_actor)]) -> Actor:
    """Return the actor of this request, or raise LogInRequired if it is an API key."""
    if actor.session_id is None:
        message = (
            "The access token was issued for an API key, and this operation needs a log-in "
            "session. Log in, and send that access token."
        )
        raise LogInRequired(message)
    return actor


async def current_origin(connection: HTTPConnection) -> Origin:
    """Return the origin of this request, which needs no access token."""
    return Origin(address=client_address(connection), request_id=request_id_of(connection.scope))


OriginDep = Annotated[Origin, Depends(current_origin)]


def acting(*scopes: str) -> SecurityParameter:
    """Return the metadata that requires scopes and injects the actor: ``Annotated[Actor, <this>]``.

    Args:
        scopes: those that the access token must have.
    """
    parameter: SecurityParameter = Security(current_actor, scopes=list(scopes))
    return parameter


def acting_in_person(*scopes: str) -> SecurityParameter:
    """Return metadata like that of ``acting``, which also rejects API keys with LogInRequired.

    Args:
        scopes: those that the access token must have.
    """
    parameter: SecurityParameter = Security(current_person, scopes=list(scopes))
    return parameter

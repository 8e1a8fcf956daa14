"""Construct the use cases of API keys for one transaction."""

from datetime import timedelta
from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from users.accounts.repository import AccountRepository
from users.api_keys.repository import ApiKeyRepository
from users.api_keys.service import ApiKeyExchange, ApiKeyRevoker, ApiKeyService
from users.resources import Resources
from users.security_events.wiring import security_events


def revoker(resources: ServiceResources, unit: Unit, *, token_lifetime: timedelta) -> ApiKeyRevoker:
    """Return the revoker of API keys. It needs no signing key, so a worker can use it too."""
    return ApiKeyRevoker(
        keys=ApiKeyRepository(unit),
        accounts=AccountRepository(unit),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
        token_lifetime=token_lifetime,
    )


def api_keys(resources: Resources, unit: Unit) -> ApiKeyService:
    """Return the use cases of a key's owner."""
    return ApiKeyService(
        keys=ApiKeyRepository(unit),
        accounts=AccountRepository(unit),
        revoker=revoker(resources, unit, token_lifetime=resources.signer.lifetime),
        events=security_events(resources, unit),
        audit=AuditLog(unit),
    )


def exchange(resources: Resources, unit: Unit) -> ApiKeyExchange:
    """Return the exchange of keys for access tokens."""
    return ApiKeyExchange(
        keys=ApiKeyRepository(unit), accounts=AccountRepository(unit), signer=resources.signer
    )


ApiKeys = Annotated[ApiKeyService, use_case(api_keys)]
Exchange = Annotated[ApiKeyExchange, use_case(exchange)]

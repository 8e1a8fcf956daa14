"""Construct the use case that ends credentials for one transaction."""

from datetime import timedelta

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from users.api_keys.wiring import revoker as key_revoker
from users.credentials.service import CredentialEnder
from users.passkeys.repository import PasskeyRepository
from users.sessions.wiring import revoker as session_revoker
from users.totp.repository import TotpRepository


def credential_ender(
    resources: ServiceResources, unit: Unit, *, token_lifetime: timedelta
) -> CredentialEnder:
    """Return what ends credentials. It needs no signing key, so a worker can use it too."""
    return CredentialEnder(
        unit=unit,
        sessions=session_revoker(resources, unit, token_lifetime=token_lifetime),
        keys=key_revoker(resources, unit, token_lifetime=token_lifetime),
        passkeys=PasskeyRepository(unit),
        totp=TotpRepository(unit),
    )

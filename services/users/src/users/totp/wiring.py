"""Construct the use cases of TOTP for one transaction."""

from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.product import product
from chassis.wiring import use_case
from users.accounts.repository import AccountRepository
from users.resources import Resources
from users.security_events.wiring import security_events
from users.totp.repository import TotpRepository
from users.totp.service import TotpService, TotpVerifier


def totp(resources: Resources, unit: Unit) -> TotpService:
    """Return the use cases of an account's owner."""
    return TotpService(
        totp=TotpRepository(unit),
        accounts=AccountRepository(unit),
        audit=AuditLog(unit),
        events=security_events(resources, unit),
        keys=resources.totp_keys,
        issuer=product().name,
    )


def totp_verifier(resources: Resources, unit: Unit) -> TotpVerifier:
    """Return what verifies the second factor of log-ins."""
    return TotpVerifier(totp=TotpRepository(unit), keys=resources.totp_keys)


TotpDep = Annotated[TotpService, use_case(totp)]

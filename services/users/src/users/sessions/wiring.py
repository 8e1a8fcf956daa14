"""Construct the use cases of log-in sessions for one transaction."""

from datetime import timedelta
from typing import Annotated

from chassis.audit import AuditLog
from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.database.unit import Unit
from chassis.http.host_cookie import HostCookie
from chassis.wiring import ServiceResources, resource, use_case
from users.accounts.repository import AccountRepository
from users.one_time_tokens.repository import OneTimeTokenRepository
from users.resources import Resources
from users.sessions.repository import SessionRepository
from users.sessions.service import SessionRevoker, SessionService


def revoker(
    resources: ServiceResources, unit: Unit, *, token_lifetime: timedelta
) -> SessionRevoker:
    """Return the revoker of sessions. It needs no signing key, so a worker can use it too."""
    return SessionRevoker(
        sessions=SessionRepository(unit),
        tokens=OneTimeTokenRepository(unit),
        outbox=resources.outbox(unit),
        token_lifetime=token_lifetime,
    )


def sessions(resources: Resources, unit: Unit) -> SessionService:
    """Return the use cases of log-in sessions."""
    return SessionService(
        sessions=SessionRepository(unit),
        accounts=AccountRepository(unit),
        revoker=revoker(resources, unit, token_lifetime=resources.signer.lifetime),
        audit=AuditLog(unit),
        signer=resources.signer,
        limits=resources.session_limits,
    )


def _public_keys(resources: Resources) -> PublicKeys:
    return resources.public_keys


def _refresh_cookie(resources: Resources) -> HostCookie:
    return resources.refresh_cookie


def _verifier(resources: Resources) -> TokenVerifier:
    return resources.verifier


def _issuer(resources: Resources) -> str:
    return resources.issuer


Sessions = Annotated[SessionService, use_case(sessions)]
PublicKeysDep = Annotated[PublicKeys, resource(_public_keys)]
RefreshCookie = Annotated[HostCookie, resource(_refresh_cookie)]
VerifierDep = Annotated[TokenVerifier, resource(_verifier)]
Issuer = Annotated[str, resource(_issuer)]

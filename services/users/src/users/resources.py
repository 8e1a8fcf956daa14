"""The API process's resources beyond the common ones. The worker needs only the common ones."""

from dataclasses import dataclass

from chassis.auth import TokenSigner
from chassis.auth.keys import PublicKeys
from chassis.auth.passwords import Passwords
from chassis.http.host_cookie import HostCookie
from chassis.wiring import ServiceResources
from users.passkeys.models import RelyingParty
from users.sessions.models import SessionLimits
from users.throttling.models import LogInLimits, RequestLimits
from users.totp.models import SecretKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(ServiceResources):
    """The resources of the API process."""

    passwords: Passwords
    signer: TokenSigner
    public_keys: PublicKeys
    session_limits: SessionLimits
    refresh_cookie: HostCookie
    issuer: str
    log_in_limits: LogInLimits | None
    registration_limits: RequestLimits | None
    mail_limits: RequestLimits | None
    totp_keys: SecretKeys | None
    relying_party: RelyingParty

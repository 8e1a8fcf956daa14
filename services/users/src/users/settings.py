"""The settings of the users service, read at start. The worker needs only the common ones."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from chassis.addresses import checked_url
from chassis.auth.hashing import QUEUE_SECONDS
from chassis.auth.passwords import MIN_MEMORY_KIB, MIN_PASSES, HashParameters
from chassis.auth.secret_keys import checked_keys, keys_in
from chassis.auth.signing import SETTLE_SECONDS
from chassis.product import product
from chassis.settings import Environment
from chassis.wiring import ServiceSettings
from users.accounts.models import checked_email, new_password
from users.passkeys.models import RelyingParty
from users.sessions.models import SessionLimits
from users.throttling.models import LogInLimits, RequestLimits
from users.totp.models import SecretKeys


def _origins(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())
    return value


Origin = Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+$"), AfterValidator(checked_url)]


def _prepared(password: SecretStr) -> SecretStr:
    return SecretStr(new_password(password.get_secret_value()))


class UsersSettings(ServiceSettings):
    """Settings of the API process, the only holder of the private keys."""

    auth_signing_keys_file: Path = Field(
        description="The file with the private keys (a JWK set, RFC 7517), newest first. The first "
        "one whose public key has been published for long enough signs."
    )
    auth_signing_key_wait: int = Field(
        default=round(SETTLE_SECONDS),
        ge=0,
        le=24 * 3600,
        description="Seconds from the publication of a new key to its first signature. Other "
        "processes may cache the public keys for 300 s, and a mounted file reaches them after "
        "about 60 s.",
    )
    refresh_token_lifetime: int = Field(
        default=30 * 24 * 3600,
        ge=3600,
        le=365 * 24 * 3600,
        description="Seconds that a refresh token may stay unused before its log-in session ends.",
    )
    session_lifetime: int = Field(
        default=90 * 24 * 3600,
        ge=3600,
        le=5 * 365 * 24 * 3600,
        description="Seconds from a log-in to the end of its session, however much it is used.",
    )
    sessions_per_account: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Live log-in sessions of one account. A further log-in ends the oldest one.",
    )
    browser_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_origins)] = Field(
        default=(),
        description="Origins (comma-separated) whose pages may use the cookie with the refresh "
        "token, in addition to the origin of AUTH_ISSUER. They must be of the same site as the "
        "API, and the gateway must allow them: CORS_ALLOW_ORIGINS, CORS_ALLOW_CREDENTIALS.",
    )
    slipway_limits: str = Field(
        default="on",
        pattern="^(on|off)$",
        description="`off` lifts the rate limits; production rejects `off`.",
    )
    login_failure_window: int = Field(
        default=3600,
        ge=1,
        le=24 * 3600,
        description="Seconds in which LOGIN_FAILURES log-ins may fail. After that, one may fail "
        "in each `LOGIN_FAILURE_WINDOW / LOGIN_FAILURES` seconds.",
    )
    login_failures: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Log-ins to one e-mail address that may fail, from all client addresses except "
        "those from which it logged in within 30 days (NIST SP 800-63B: at most 100).",
    )
    login_failures_per_address: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Log-ins to one e-mail address that may fail from one client address.",
    )
    registration_window: int = Field(
        default=60,
        ge=1,
        le=24 * 3600,
        description="Seconds in which REGISTRATIONS_PER_* registrations are accepted.",
    )
    registrations_per_address: int = Field(
        default=50,
        ge=1,
        le=100_000,
        description="Registrations from one client address, in all processes together.",
    )
    registrations_per_email: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Registrations of one e-mail address; half of them from one client address. "
        "Those that are refused, as the address is taken, count as well.",
    )
    mail_request_window: int = Field(
        default=3600,
        ge=1,
        le=24 * 3600,
        description="Seconds in which MAIL_REQUESTS_PER_* verification mails are sent, and as many "
        "mails with a password reset.",
    )
    mail_requests_per_address: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Requests for such a mail from one client address.",
    )
    mail_requests_per_email: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Requests for such a mail to one e-mail address; half of them from one client "
        "address.",
    )
    password_memory: int = Field(
        default=MIN_MEMORY_KIB,
        ge=MIN_MEMORY_KIB,
        le=4 * 1024 * 1024,
        description="KiB of memory for one hash of a password (Argon2id). After a change, each "
        "hash is renewed at the next log-in. All processes need the same value.",
    )
    password_passes: int = Field(
        default=MIN_PASSES,
        ge=MIN_PASSES,
        le=100,
        description="Passes of Argon2id over that memory.",
    )
    password_former: str = Field(
        default="",
        max_length=200,
        pattern=r"^([1-9][0-9]{0,6}:[1-9][0-9]?( [1-9][0-9]{0,6}:[1-9][0-9]?)*)?$",
        description="Former values of PASSWORD_MEMORY and PASSWORD_PASSES, as `KiB:passes`, "
        "separated by spaces. Name them for as long as hashes with them are stored: a log-in that "
        "fails then costs a hash of each, so that its time does not reveal which accounts exist.",
    )
    password_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Passwords that are hashed at a time. By default one fewer than there are "
        "cores, which leaves one to the other requests.",
    )
    password_queue_seconds: float = Field(
        default=QUEUE_SECONDS,
        gt=0,
        le=60,
        description="Seconds that a password waits to be hashed before its request gets 503. Keep "
        "it below the time that the gateway waits for a log-in.",
    )
    first_admin_email: Annotated[str, AfterValidator(checked_email)] | None = Field(
        default=None,
        description="The e-mail address of the administrator that is created if there is none.",
    )
    first_admin_password: Annotated[SecretStr, AfterValidator(_prepared)] | None = Field(
        default=None, description="The password of that administrator."
    )

    totp_keys: Annotated[SecretStr, AfterValidator(checked_keys)] | None = Field(
        default=None,
        description="The keys that encrypt TOTP secrets: random texts of at least 32 characters, "
        "separated by spaces, the newest first. Unset: TOTP can't be set up.",
    )

    passkey_rp_id: str = Field(
        default="localhost",
        pattern=r"^([a-z0-9-]+\.)*[a-z0-9-]*[a-z][a-z0-9-]*$",
        description="The domain that passkeys are bound to (WebAuthn's RP ID): that of the front "
        "end's pages, or a parent of it. A change makes all passkeys useless.",
    )
    passkey_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_origins)] = Field(
        default=("http://localhost:8000",),
        description="Origins (comma-separated) whose pages may use passkeys: https, and of "
        "PASSKEY_RP_ID or below.",
    )

    @model_validator(mode="after")
    def _origins_of_the_domain(self) -> Self:
        for origin in self.passkey_origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            inside = f".{host}".endswith(f".{self.passkey_rp_id}")
            local = host == "localhost" or host.endswith(".localhost")
            if not inside or not (local or parts.scheme == "https"):
                message = (
                    f"{origin} in PASSKEY_ORIGINS is not an https origin of PASSKEY_RP_ID "
                    f"({self.passkey_rp_id}) or below; only localhost may use http."
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.first_admin_email is None) != (self.first_admin_password is None):
            message = (
                "Only one of FIRST_ADMIN_EMAIL and FIRST_ADMIN_PASSWORD is set. Set both, or "
                "neither."
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _limited_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.slipway_limits == "off":
            message = (
                "SLIPWAY_LIMITS=off is for development only. Remove it, or raise LOGIN_FAILURES*, "
                "REGISTRATIONS_PER_* and MAIL_REQUESTS_PER_*."
            )
            raise ValueError(message)
        return self

    @property
    def hash_parameters(self) -> HashParameters:
        """The parameters of Argon2id."""
        return HashParameters(memory_kib=self.password_memory, passes=self.password_passes)

    @property
    def former_hash_parameters(self) -> list[HashParameters]:
        """The parameters of Argon2id that stored hashes may have, too."""
        pairs = (one.split(":") for one in self.password_former.split())
        return [HashParameters(memory_kib=int(kib), passes=int(passes)) for kib, passes in pairs]

    @property
    def log_in_limits(self) -> LogInLimits | None:
        """The limits of failed log-ins; None if the limits are off."""
        if self.slipway_limits == "off":
            return None
        return LogInLimits(
            window=timedelta(seconds=self.login_failure_window),
            per_address=self.login_failures_per_address,
            per_account=self.login_failures,
        )

    @property
    def registration_limits(self) -> RequestLimits | None:
        """The limits of registrations; None if the limits are off."""
        if self.slipway_limits == "off":
            return None
        return RequestLimits(
            window=timedelta(seconds=self.registration_window),
            per_address=self.registrations_per_address,
            per_email=self.registrations_per_email,
        )

    @property
    def mail_limits(self) -> RequestLimits | None:
        """The limits of requests for a mail; None if the limits are off."""
        if self.slipway_limits == "off":
            return None
        return RequestLimits(
            window=timedelta(seconds=self.mail_request_window),
            per_address=self.mail_requests_per_address,
            per_email=self.mail_requests_per_email,
        )

    @property
    def totp_secret_keys(self) -> SecretKeys | None:
        """The keys that encrypt TOTP secrets; None if there are none."""
        keys = keys_in(self.totp_keys)
        return SecretKeys(keys) if keys else None

    @property
    def relying_party(self) -> RelyingParty:
        """The rules of WebAuthn for this system."""
        return RelyingParty(
            rp_id=self.passkey_rp_id, origins=self.passkey_origins, name=product().name
        )

    @property
    def session_limits(self) -> SessionLimits:
        """How long sessions live, and how many an account has."""
        return SessionLimits(
            idle=timedelta(seconds=self.refresh_token_lifetime),
            lifetime=timedelta(seconds=self.session_lifetime),
            per_account=self.sessions_per_account,
        )

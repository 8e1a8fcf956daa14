"""The settings of the notifications service, read at start."""

from email.utils import parseaddr
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    IPvAnyNetwork,
    SecretStr,
    model_validator,
)
from pydantic_settings import NoDecode

from chassis.addresses import checked_servers, checked_url
from chassis.auth.secret_keys import SecretKeys, checked_keys, keys_in
from chassis.settings import Environment
from chassis.wiring import ServiceSettings
from notifications.mail_servers.models import Encryption
from notifications.receivers.models import CallRules

_SECRETS_OF_WEBHOOKS = b"slipway notifications: webhook secret"


def _networks(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class NotificationsSettings(ServiceSettings):
    """The settings of both processes.

    Those named `feed_*` are for the live feed's sockets and streams, and so for the API process.
    Those named `smtp_*` and `mails_*` are for mails, and so for the worker. Those named `webhook_*`
    are for both.
    """

    feed_auth_seconds: float = Field(
        default=5,
        gt=0,
        le=60,
        description="Seconds within which a socket must send its access token.",
    )
    feed_poll_seconds: float = Field(
        default=1,
        gt=0,
        le=60,
        description="Seconds between two checks for new items whose hint was lost, and for ended "
        "tokens.",
    )
    feed_ping_seconds: float = Field(
        default=20,
        gt=0,
        le=300,
        description="Seconds between two `ping` messages on a socket, or comments in a stream.",
    )
    feed_stall_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        description="Seconds within which a socket or stream must accept a message.",
    )
    feed_sockets: int = Field(
        default=5_000,
        ge=1,
        description="Sockets and streams that one API process accepts, of about 60 KB each; a "
        "further socket is closed with 1013, a further stream gets 503.",
    )
    feed_sockets_per_user: int = Field(
        default=200,
        ge=1,
        description="Sockets and streams of one user that one API process accepts; a further "
        "socket is closed with 4429, a further stream gets 429.",
    )
    feed_reconnect_seconds: float = Field(
        default=5,
        gt=0,
        le=60,
        description="Seconds over which the clients of a process that stops spread their "
        "reconnects.",
    )
    public_url: Annotated[
        str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(checked_url)
    ] = Field(
        default="http://127.0.0.1:8000",
        description="The address of the web front end, which links in mails begin with: "
        "`https://shop.example.com`.",
    )
    smtp_server: (
        Annotated[str, Field(pattern=r"^[^\s:/@]+:[1-9]\d{0,4}$"), AfterValidator(checked_servers)]
        | None
    ) = Field(
        default=None,
        description="`host:port` of the mail server; unset: mails wait until they expire.",
    )
    smtp_tls: Encryption = Field(
        default=Encryption.STARTTLS,
        description="`starttls` (usually port 587), `tls` (465), or `none`, for a mail server on "
        "the same machine or network alone: mails contain secrets.",
    )
    smtp_ca_file: FilePath | None = Field(
        default=None,
        description="The certificates (PEM) of the authorities that sign the mail server's "
        "certificate; unset: those of the system.",
    )
    smtp_username: str | None = Field(
        default=None, description="The user of the mail server; unset: no log-in."
    )
    smtp_password: SecretStr | None = Field(
        default=None,
        description="That user's password. As a file in SECRETS_DIRECTORY it is read again for "
        "each mail.",
    )
    smtp_from: str | None = Field(
        default=None,
        description="The sender of all mails: `Slipway <no-reply@example.com>`. Its domain is also "
        "that of the Message-ID.",
    )
    smtp_timeout: float = Field(
        default=60,
        gt=0,
        le=120,
        description="Seconds that the mail server may take for one response.",
    )

    mails_per_minute: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Notifications that one user gets by mail in a minute, from all workers "
        "together; further ones are sent later. Security mails are not counted.",
    )
    unsubscribe_keys: Annotated[SecretStr, AfterValidator(checked_keys)] | None = Field(
        default=None,
        description="The keys that sign the links with which a reader switches mails off: random "
        "texts of at least 32 characters, separated by spaces, the newest first. Both processes "
        "need the same. Unset: mails have no such link.",
    )

    webhook_keys: Annotated[SecretStr, AfterValidator(checked_keys)] | None = Field(
        default=None,
        description="The keys that encrypt the secrets of webhooks: random texts of at least 32 "
        "characters, separated by spaces, the newest first. Unset: no webhook can be created.",
    )
    webhook_allowed_networks: Annotated[
        tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        default=(),
        description="Networks (comma-separated, `10.1.0.0/16`) that webhooks may call although "
        "they are not public. Every user can then send requests there.",
    )
    webhook_ca_file: FilePath | None = Field(
        default=None,
        description="The certificates (PEM) of the authorities that sign the certificates of "
        "webhooks' receivers; unset: those of the system.",
    )

    @property
    def call_rules(self) -> CallRules:
        """Which URLs and addresses webhooks may call; `http` in development alone."""
        return CallRules(
            insecure=self.environment is Environment.DEVELOPMENT,
            networks=self.webhook_allowed_networks,
        )

    @property
    def webhook_secret_keys(self) -> SecretKeys | None:
        """The keys that encrypt the secrets of webhooks; None if there are none."""
        keys = keys_in(self.webhook_keys)
        return SecretKeys(keys, purpose=_SECRETS_OF_WEBHOOKS) if keys else None

    @model_validator(mode="after")
    def _refuse_mail_settings_that_do_not_fit(self) -> Self:
        if self.smtp_server is not None and self.smtp_from is None:
            message = "SMTP_FROM is not set. SMTP_SERVER needs it."
            raise ValueError(message)
        if self.smtp_from is not None and not _is_sender(self.smtp_from):
            message = (
                "SMTP_FROM is not a sender in ASCII. Write it as `Slipway <no-reply@example.com>`, "
                "or as the address alone."
            )
            raise ValueError(message)
        if (self.smtp_username is None) != (self.smtp_password is None):
            message = "Only one of SMTP_USERNAME and SMTP_PASSWORD is set. Set both, or neither."
            raise ValueError(message)
        if self.smtp_username is not None and self.smtp_tls is Encryption.NONE:
            message = (
                "SMTP_TLS=none would send SMTP_PASSWORD unencrypted. Set SMTP_TLS to `starttls` or "
                "`tls`, or remove SMTP_USERNAME and SMTP_PASSWORD."
            )
            raise ValueError(message)
        return self


def _is_sender(text: str) -> bool:
    address = parseaddr(text)[1]
    local, _, domain = address.rpartition("@")
    return text.isascii() and text.isprintable() and bool(local and domain) and " " not in address

"""Arguments for Kafka's clients: credentials and certificates."""

import ssl
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.helpers import create_ssl_context

from chassis.settings import KafkaSecuritySettings

log = structlog.get_logger(__name__)


class KafkaFilesError(ValueError):
    """A certificate or key is not usable; the text names the setting."""


class PresentSecurity:
    """Returns the arguments for aiokafka's clients; each call reads the current secrets.

    Args:
        settings: the settings of the process.

    Raises:
        KafkaFilesError: a file is not usable at the start. If that happens in a later call, the
            call returns the previous arguments.
    """

    def __init__(self, settings: KafkaSecuritySettings) -> None:
        self._settings = settings
        self._last = security_options(settings)

    def __call__(self) -> Mapping[str, Any]:
        """Return the arguments, with the password and the certificates read again."""
        try:
            self._last = security_options(self._settings)
        except KafkaFilesError as error:
            log.warning("kafka certificates rejected, previous kept", error=str(error))
        return self._last


def security_options(settings: KafkaSecuritySettings) -> dict[str, Any]:
    """Return the arguments for aiokafka's clients, read from the files of secrets and certificates.

    Raises:
        KafkaFilesError: a file holds no certificate or key, or the two do not match.
    """
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.secret("kafka_sasl_password"),
        }
    if protocol.endswith("SSL"):
        options["ssl_context"] = _context(settings)
    return options


def _context(settings: KafkaSecuritySettings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(cafile=settings.kafka_ca_file)
    except (OSError, ssl.SSLError) as error:
        message = (
            f"KAFKA_CA_FILE={settings.kafka_ca_file} is not a file of certificates in PEM: "
            f"{error}. Name one that is."
        )
        raise KafkaFilesError(message) from error
    if settings.kafka_certificate_file is not None and settings.kafka_key_file is not None:
        files = (settings.kafka_certificate_file, settings.kafka_key_file)
        try:
            # Without this, a key with a password would block the process with a prompt.
            context.load_cert_chain(*files, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            message = (
                f"KAFKA_CERTIFICATE_FILE={files[0]} and KAFKA_KEY_FILE={files[1]} are not a "
                f"certificate and its key, in PEM without a password: {error}. Name a pair that is."
            )
            raise KafkaFilesError(message) from error
    return context


def _no_password() -> str:
    message = "the key has a password"
    raise ValueError(message)

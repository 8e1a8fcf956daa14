"""What Kafka's clients must be told so that the brokers and they trust each other."""

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from chassis.settings import KafkaSecuritySettings


class KafkaFilesError(ValueError):
    """A certificate or key that can't be used; the text names the setting."""


def security_options(settings: KafkaSecuritySettings) -> dict[str, Any]:
    """Give the arguments of aiokafka's clients; reads the files of certificates.

    Raises:
        KafkaFilesError: a file holds no certificate or key, or they do not fit each other.
    """
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL") and settings.kafka_sasl_password is not None:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    if protocol.endswith("SSL"):
        options["ssl_context"] = _context(settings)
    return options


def _context(settings: KafkaSecuritySettings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(cafile=settings.kafka_ca_file)
    except (OSError, ssl.SSLError) as error:
        message = f"KAFKA_CA_FILE {settings.kafka_ca_file} holds no certificates in PEM: {error}"
        raise KafkaFilesError(message) from error
    if settings.kafka_certificate_file is not None and settings.kafka_key_file is not None:
        files = (settings.kafka_certificate_file, settings.kafka_key_file)
        try:
            # A key with a password would stop the process with a prompt.
            context.load_cert_chain(*files, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            message = (
                f"KAFKA_CERTIFICATE_FILE {files[0]} and KAFKA_KEY_FILE {files[1]} are no "
                f"certificate and its key, in PEM without a password: {error}"
            )
            raise KafkaFilesError(message) from error
    return context


def _no_password() -> str:
    message = "the key has a password"
    raise ValueError(message)

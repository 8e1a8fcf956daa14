"""Why a receiver did not respond. No text quotes the receiver or our network."""

from enum import StrEnum


class Fault(StrEnum):
    """What went wrong with a request to a receiver."""

    TIMEOUT = "timeout"
    UNKNOWN_HOST = "unknown_host"
    ADDRESS_REFUSED = "address_refused"
    CONNECTION_FAILED = "connection_failed"
    TLS_FAILED = "tls_failed"
    INVALID_RESPONSE = "invalid_response"
    INVALID_URL = "invalid_url"


class ReceiverError(Exception):
    """The receiver gave no valid response.

    Args:
        fault: what went wrong.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class AddressRefusedError(OSError):
    """An address may not be called: it is not a public one. aiohttp passes on an OSError."""


class UnfitUrlError(ValueError):
    """A URL may not be called; the text says why."""

"""When the certificates expire whose files the settings of a process name."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry, Gauge
from pydantic import BaseModel

_ENDINGS = ("_ca_file", "_certificate_file")
_UNREADABLE = 0.0


def certificate_files(settings: BaseModel) -> dict[str, Path]:
    """Return the files of certificates that the settings name, by the setting's variable."""
    return {
        name.upper(): value
        for name, value in settings
        if name.endswith(_ENDINGS) and isinstance(value, Path)
    }


def earliest_expiry(file: Path) -> float:
    """Return when the first certificate in a file (PEM) expires, in seconds since 1970.

    Returns:
        0 if the file can't be read, or holds no certificate.
    """
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return _UNREADABLE
    return min(one.not_valid_after_utc.timestamp() for one in certificates)


def register_certificates(files: Mapping[str, Path], registry: CollectorRegistry) -> None:
    """Register when the certificates in `files` expire; the files are read at each scrape.

    A renewed file is therefore seen at once, although a process may use it later.
    """
    expiry = Gauge(
        "tls_certificate_expiry_timestamp_seconds",
        "When the first certificate in the file of a setting expires (alert); 0: the file can't be "
        "read.",
        ["setting"],
        registry=registry,
    )
    for setting, file in files.items():
        expiry.labels(setting).set_function(partial(earliest_expiry, file))

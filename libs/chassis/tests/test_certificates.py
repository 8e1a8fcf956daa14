"""When the certificates expire that a process's settings name."""

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel

from chassis.certificates import certificate_files, register_certificates
from testkit.certificates import Certificates

HOUR = 3600


class Settings(BaseModel):
    kafka_ca_file: Path | None = None
    kafka_certificate_file: Path | None = None
    kafka_key_file: Path | None = None


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """The file of a certificate that expires in an hour, with its key."""
    Certificates(tmp_path).server("127.0.0.1")
    return tmp_path / "127.0.0.1.pem"


def expiry(file: Path) -> float | None:
    registry = CollectorRegistry()
    register_certificates({"KAFKA_CA_FILE": file}, registry)
    return registry.get_sample_value(
        "tls_certificate_expiry_timestamp_seconds", {"setting": "KAFKA_CA_FILE"}
    )


def test_the_settings_with_certificates_are_found(pair: Path):
    settings = Settings(kafka_certificate_file=pair, kafka_key_file=pair)
    assert certificate_files(settings) == {"KAFKA_CERTIFICATE_FILE": pair}


def test_the_time_of_expiry_is_shown(pair: Path):
    assert expiry(pair) == pytest.approx(time.time() + HOUR, abs=60)


def test_a_renewed_file_is_seen_at_the_next_scrape(pair: Path, tmp_path: Path):
    registry = CollectorRegistry()
    file = tmp_path / "ca.pem"
    register_certificates({"KAFKA_CA_FILE": file}, registry)
    assert b'{setting="KAFKA_CA_FILE"} 0.0' in generate_latest(registry)
    file.write_bytes(pair.read_bytes())
    assert b'{setting="KAFKA_CA_FILE"} 0.0' not in generate_latest(registry)


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAA\n"])
def test_a_file_without_certificates_has_expired(tmp_path: Path, text: str):
    file = tmp_path / "ca.pem"
    file.write_text(text)
    assert expiry(file) == 0
    assert expiry(tmp_path / "missing.pem") == 0

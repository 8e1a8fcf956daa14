"""Invalid settings stop the process with their names, and never with a secret's value."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field, IPvAnyNetwork, SecretStr
from pydantic_settings import NoDecode

from chassis.database.settings import DatabaseSettings
from chassis.settings import (
    SAMPLE_SECRET,
    AuthSettings,
    Environment,
    KafkaSettings,
    ProcessSettings,
    Settings,
    load,
)
from chassis.wiring import ServiceSettings

_HIDDEN = "hunter2-hunter2"


class Listed(Settings):
    networks: Annotated[
        tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(lambda text: text.split(","))
    ] = Field(default=(), description="Networks.")


class Secretive(Settings):
    api_password: SecretStr = Field(min_length=100, description="A secret that must be long.")
    pin: SecretStr = Field(description="Another.")
    origins: list[str] = Field(default=[], description="JSON.")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_PASSWORD", "PIN", "ENVIRONMENT", "PORT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SETTINGS_FILE", str(tmp_path / ".env"))


def refused(settings: type[Settings], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load(settings)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_every_wrong_setting_is_named_and_no_secret_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("API_PASSWORD", _HIDDEN)
    text = refused(Secretive, capsys)
    assert "setting API_PASSWORD: " in text
    assert "setting PIN: Field required" in text
    assert _HIDDEN not in text


def test_a_setting_that_should_be_json_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ORIGINS", f"{_HIDDEN},*")
    text = refused(Secretive, capsys)
    assert 'error parsing value for field "origins"' in text
    assert _HIDDEN not in text


@pytest.mark.parametrize("port", ["70000", "-1", "http", "8000.5"])
def test_a_wrong_port_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
):
    monkeypatch.setenv("PORT", port)
    assert refused(ProcessSettings, capsys).startswith("setting PORT: Input should be")


def test_an_unknown_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ENVIRONMENT", "staging")
    assert "setting ENVIRONMENT: Input should be 'development' or 'production'" in refused(
        ProcessSettings, capsys
    )


@pytest.mark.parametrize(
    "value", [f"postgresql://{SAMPLE_SECRET}", f"postgresql://a:{SAMPLE_SECRET}@db/x"]
)
def test_production_refuses_the_sample_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
):
    monkeypatch.setenv("DATABASE_URL", value)
    text = refused(DatabaseSettings, capsys)
    assert "DATABASE_URL is the sample secret" in text
    assert SAMPLE_SECRET not in text


def test_development_takes_the_sample_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql://a:{SAMPLE_SECRET}@db/x")
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert load(DatabaseSettings).environment is Environment.DEVELOPMENT


def test_settings_do_not_print_their_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql://a:{_HIDDEN}@db/x")
    assert _HIDDEN not in repr(load(DatabaseSettings))


@pytest.mark.parametrize(
    "settings",
    [Settings, ProcessSettings, DatabaseSettings, KafkaSettings, AuthSettings, ServiceSettings],
)
def test_every_setting_is_described(settings: type[Settings]):
    undescribed = [name for name, field in settings.model_fields.items() if not field.description]
    assert undescribed == []


def test_which_of_several_values_is_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("NETWORKS", "10.0.0.0/8,10.0.0.0/99")
    (line,) = refused(Listed, capsys).splitlines()
    assert line.startswith("setting NETWORKS, value 2: value is not a valid IPv4 or IPv6 network")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfeP\0O\0R\0T\0", "is not UTF-8"),
        (b"PORT=\xe9", "is not UTF-8"),
        (b"# here\nPORT\n", ", line 2: not NAME=value"),
        (b"PORT: 8000\n", ", line 1: not NAME=value"),
        (f'API_PASSWORD="{_HIDDEN}\n'.encode(), ", line 1: not NAME=value"),
    ],
    ids=["UTF-16", "Latin-1", "a name alone", "a colon", "an open quotation mark"],
)
def test_a_line_of_the_env_file_that_can_not_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
):
    (tmp_path / ".env").write_bytes(content)
    text = refused(ProcessSettings, capsys)
    assert text.startswith(f"{tmp_path}/.env")
    assert told in text
    assert _HIDDEN not in text


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfPORT=81\r\n", b"export PORT = 81  # here\n", b"PORT='81'\n\n#PORT\n"],
    ids=["of Windows", "of a shell", "quoted"],
)
def test_the_env_file_may_be_written_by_any_editor(tmp_path: Path, content: bytes):
    (tmp_path / ".env").write_bytes(content)
    assert load(ProcessSettings).port == 81


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:431800"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http:///v1/metrics"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka://kafka:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:90920"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092 kafka-2:9092"),
    ],
)
def test_an_address_that_nobody_can_have_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
):
    for setting, its in {**_SERVICE, name: value}.items():
        monkeypatch.setenv(setting, its)
    (line,) = refused(ServiceSettings, capsys).splitlines()
    assert line.startswith(f"setting {name}: Value error, must be ")


@pytest.mark.parametrize(
    "value", ["kafka:9092", "kafka-1:9092, kafka-2:9093", "[::1]:9092", "10.0.0.1", "k_1.a.b:1"]
)
def test_addresses_of_brokers_are_accepted(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", value)
    assert load(KafkaSettings).kafka_bootstrap_servers == value


_SERVICE = {
    "DATABASE_URL": "postgresql://a:b@db/x",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "AUTH_JWKS_FILE": "keys.json",
}
_SASL = {"KAFKA_SASL_USERNAME": "orders", "KAFKA_SASL_PASSWORD": _HIDDEN}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME is not set"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "orders"},
            "KAFKA_SASL_PASSWORD is not set",
        ),
        (_SASL, "KAFKA_SASL_USERNAME is set, but not used with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        (
            {**_SASL, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN"},
            "KAFKA_SASL_MECHANISM=PLAIN would send the password unencrypted",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "setting KAFKA_SECURITY_PROTOCOL: "),
        ({"KAFKA_CA_FILE": __file__}, "KAFKA_CA_FILE is set, but not used"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CA_FILE": "/nowhere/ca.pem"},
            "setting KAFKA_CA_FILE: Path does not point to a file",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_KEY_FILE": __file__},
            "Only one of KAFKA_CERTIFICATE_FILE and KAFKA_KEY_FILE is set",
        ),
    ],
    ids=[
        "no user",
        "no password",
        "no sasl",
        "in the clear",
        "no such protocol",
        "no tls",
        "no such file",
        "a key alone",
    ],
)
def test_kafka_settings_that_do_not_fit_each_other_are_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    named: str,
):
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    text = refused(KafkaSettings, capsys)
    assert named in text
    assert _HIDDEN not in text

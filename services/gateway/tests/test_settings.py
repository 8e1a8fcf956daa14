from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings

NEEDED = {
    "USERS_URL": "http://users:8001",
    "ORDERS_URL": "http://orders:8002",
    "NOTIFICATIONS_URL": "http://notifications:8003",
    "VALKEY_URL": "valkey://valkey:6379/0",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "AUTH_JWKS_FILE": "/keys/jwks.json",
}


@pytest.fixture
def environment(monkeypatch):
    def read(**changes):
        for name, value in (NEEDED | changes).items():
            monkeypatch.setenv(name, value)
        return GatewaySettings(_env_file=None)

    return read


def test_lists_are_written_with_commas(environment):
    settings = environment(
        TRUSTED_PROXIES="10.0.0.0/8, fd00::/8", CORS_ALLOW_ORIGINS="https://a.example,http://b:1"
    )
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.cors_allow_origins == ("https://a.example", "http://b:1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"USERS_URL": "users:8001"},
        {"USERS_URL": "http://users:8001/path"},
        {"USERS_URL": "http://users:80010"},
        {"USERS_URL": "http://[::1"},
        {"VALKEY_URL": "http://valkey"},
        {"VALKEY_URL": "valkey:///0"},
        {"VALKEY_URL": "valkey://valkey:port/0"},
        {"LIMIT_DEFAULT": "many"},
        {"TRUSTED_PROXIES": "10.0.0.1/8"},
        {"CORS_ALLOW_ORIGINS": "https://a.example/path"},
        {"SLIPWAY_LIMITS": "maybe"},
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(environment, wrong):
    with pytest.raises(ValidationError) as refused:
        environment(**wrong)
    (name,) = wrong
    assert {error["loc"][0] for error in refused.value.errors()} == {name.lower()}


def test_a_network_that_is_none_is_one_error(environment):
    with pytest.raises(ValidationError) as refused:
        environment(TRUSTED_PROXIES="10.0.0.0/8,nonsense")
    assert [error["loc"] for error in refused.value.errors()] == [("trusted_proxies", 1)]


def test_a_password_in_the_address_of_valkey_that_can_not_be_read_is_not_shown(environment):
    with pytest.raises(ValidationError) as refused:
        environment(VALKEY_URL="valkey://:hunter2/hunter3@valkey:6379/0")
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"SLIPWAY_LIMITS": "off"},
        {"TRUST_CLIENT_TRACES": "true"},
        {"CORS_ALLOW_ORIGINS": "*", "CORS_ALLOW_CREDENTIALS": "true"},
    ],
)
def test_production_refuses_what_only_development_may_have(environment, wrong):
    with pytest.raises(ValidationError):
        environment(ENVIRONMENT="production", **wrong)
    assert environment(ENVIRONMENT="development", **wrong)

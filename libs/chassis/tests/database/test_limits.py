"""Time limits as PostgreSQL reads them. A limit of 0 is none."""

import pytest
from pydantic import SecretStr

from chassis.database import DatabaseSettings
from chassis.messaging.publishing.lane import Pace
from chassis.messaging.publishing.relay import session_settings
from chassis.settings import Environment


@pytest.mark.parametrize(
    ("seconds", "limit"), [("0.0004", "1"), ("0.001", "1"), ("1.0299", "1030"), ("600", "600000")]
)
def test_a_statement_always_has_a_limit(monkeypatch, seconds, limit):
    monkeypatch.setenv("DATABASE_STATEMENT_TIMEOUT", seconds)
    settings = DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr("postgresql://localhost/x")
    )
    assert settings.connect_options("tests")["server_settings"]["statement_timeout"] == limit


def test_a_relay_that_is_frozen_always_loses_its_session():
    settings = session_settings(Pace(frozen_seconds=0.0004))
    assert (settings["idle_session_timeout"], settings["transaction_timeout"]) == ("1", "1")

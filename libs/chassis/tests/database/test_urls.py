"""Only URLs that asyncpg understands are accepted, and no error shows a part of a password."""

import asyncpg
import pytest
from pydantic import TypeAdapter, ValidationError

from chassis.database.settings import DatabaseSettings
from chassis.database.urls import PostgresUrl, shown_address
from chassis.settings import load

URL = TypeAdapter(PostgresUrl)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://role:hun%2Fter2@db:5432/slipway",
        "postgres://role@db/slipway?sslmode=require",
        "postgresql://role:x@[::1]:5432/slipway",
        "postgresql://role:x@a:5432,b/slipway",
        "postgresql://role:x@/slipway?host=a:5432,b,[fd00::1]:5433",
        "postgresql:///slipway?host=/var/run/postgresql&user=role",
    ],
)
async def test_what_libpq_accepts_is_accepted(url):
    assert URL.validate_python(url).get_secret_value() == url
    with pytest.raises((OSError, asyncpg.ClientConfigurationError)) as error:
        await asyncpg.connect(url, timeout=0.01)
    assert "not determine" not in str(error.value), "it is parsed"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://role:hun/ter2@db:5432/slipway",
        "postgresql://role:12/ter2@db:5432/slipway",
        "postgresql://role:hun?ter2@db:5432/slipway",
        "postgresql://role:hun#ter2@db:5432/slipway",
        "postgresql://role:hun[ter2@db:5432/slipway",
        "postgresql://role:hun@ter2@db:5432/slipway",
        "postgresql://role:hunter2@db:port/slipway",
        "mysql://role:hunter2@db:5432/slipway",
        "role:hunter2@db:5432",
        "",
    ],
)
def test_no_part_of_another_is_shown(url, monkeypatch, capsys):
    with pytest.raises(ValidationError, match="must have the form postgresql://"):
        URL.validate_python(url)
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit):
        load(DatabaseSettings)
    shown = capsys.readouterr().err
    assert "DATABASE_URL" in shown
    assert "hun" not in shown
    assert "ter2" not in shown


def test_the_error_text_has_a_form_for_several_hosts_that_every_python_parses():
    with pytest.raises(ValidationError) as error:
        URL.validate_python("")
    form = "postgresql://role:password@/database?host=name:port,[address]:port"
    assert form in str(error.value)
    url = form.replace("port", "5432").replace("[address]", "[::1]")
    assert URL.validate_python(url).get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://role:x@db:5432/slipway?sslpassword=x", "role@db:5432/slipway"),
        ("postgresql://db/slipway?user=role&password=x", "role@db/slipway"),
        ("postgresql:///slipway?host=/run&password=x", "/run/slipway"),
        ("postgresql://a,b:5432/slipway", "a,b:5432/slipway"),
        ("postgresql://role:x@/slipway?host=a,[::1]:5432", "role@a,[::1]:5432/slipway"),
    ],
)
def test_an_address_is_shown_without_passwords(url, shown):
    assert shown_address(url) == shown

"""`slipway db url`: how a developer reaches the database of `slipway up`."""

import pytest
from typer.testing import CliRunner

from slipway.operate.commands.db import app
from slipway.state import SUPERUSER, StateDirectory


@pytest.fixture
def password(tmp_path):
    """Return the superuser's password of a system that was started in the state directory."""
    state = StateDirectory(tmp_path)
    state.keys.mkdir()
    return state.passwords((SUPERUSER,))[SUPERUSER]


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Run `slipway db url`; return the exit status, and what it prints."""
    monkeypatch.setenv("SLIPWAY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("POSTGRES_PORT", "5999")

    def run(*arguments):
        result = CliRunner().invoke(app, ["url", *arguments])
        return result.exit_code, result.output

    return run


def test_the_url_has_the_port_and_the_password_of_this_machines_server(password, shown):
    url = f"postgresql://postgres:{password}@127.0.0.1:5999/slipway"
    assert shown() == (0, f"{url}\n")
    assert shown("orders") == (0, f"{url}?options=-csearch_path%3Dorders\n")


def test_a_system_that_was_never_started_gets_no_password(tmp_path, shown):
    status, output = shown()
    assert status == 1
    assert "`slipway up`" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("password")
def test_a_service_that_does_not_exist_is_named(shown):
    status, output = shown("parcels")
    assert status == 1
    assert "There is no service 'parcels'" in " ".join(output.split())

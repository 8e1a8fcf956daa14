"""The command answers a stranger: help, and sentences in place of stack traces."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.state import StateDirectory

COMMANDS = (
    *("up", "demo", "status", "migrate", "mail", "migrations", "seed"),
    *("topics", "db", "keys", "secrets"),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "services").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["migrations", "new"]])
def test_everything_has_help(cli: CliRunner, command: list[str]) -> None:
    result = cli.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.usefixtures("root")
def test_status_of_nothing(cli: CliRunner) -> None:
    result = cli.invoke(app, ["status"])
    assert (result.exit_code, "slipway up" in result.output) == (1, True)
    result = cli.invoke(app, ["status", "--json"])
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert (answer["processes"], answer["servers"], answer["state"]) == ([], [], "stopped")


def test_a_second_up_is_refused(cli: CliRunner, root: Path) -> None:
    with StateDirectory(root / ".slipway").lock():
        result = cli.invoke(app, ["up"])
    assert result.exit_code == 1
    assert "slipway: a system is starting or stopping" in result.output


@pytest.mark.usefixtures("root")
def test_errors_are_sentences(cli: CliRunner) -> None:
    for command, sentence in (
        (["migrate", "gateway"], "slipway: there is no service 'gateway'"),
        (["migrations", "new", "gateway", "x"], "slipway: there is no service 'gateway'"),
        (["mail", "1"], "slipway: there is no message 1"),
    ):
        result = cli.invoke(app, command)
        assert result.exit_code == 1
        assert sentence in result.output
        assert "Traceback" not in result.output


@pytest.mark.usefixtures("root")
def test_mail_lists(cli: CliRunner) -> None:
    assert "subject" in cli.invoke(app, ["mail"]).output


@pytest.mark.usefixtures("root")
def test_a_wrong_setting_is_named(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "no port")
    result = cli.invoke(app, ["status"])
    assert result.exit_code == 2
    assert "GATEWAY_PORT" in result.output


def test_outside_a_repository(
    cli: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is in no Slipway repository" in cli.invoke(app, ["status"]).output


def test_topics_of_a_broker_that_is_away(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTUP_WAIT", "0")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = cli.invoke(app, ["topics", "apply"])
    assert (result.exit_code, "127.0.0.1:1" in result.output) == (1, True)

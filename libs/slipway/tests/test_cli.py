"""The command helps a newcomer: help texts, and error messages instead of stack traces."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from chassis.early_stop import NOT_DONE
from localservers.ports import free_port
from slipway.cli import COMMANDS, app_of, main, overview
from slipway.errors import INTERRUPTED
from slipway.guard import guard
from slipway.state import StateDirectory
from testkit.slow_import import process_while_importing


def invoke(cli: CliRunner, name: str, *arguments: str) -> Result:
    return cli.invoke(app_of(name), list(arguments))


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


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), ["migrations", "new"]])
def test_everything_has_help(cli: CliRunner, command: list[str]) -> None:
    result = invoke(cli, *command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0), (["-h"], 0)])
def test_without_a_command_all_are_listed(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == status
    assert capsys.readouterr().out == overview()
    assert all(f"  {name} " in overview() for name in COMMANDS)


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ups"])
    assert (ended.value.code, "no command 'ups'" in capsys.readouterr().err) == (2, True)


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from slipway.cli import overview; overview();"
        "print([name for name in ('typer', 'pydantic', 'rich', 'chassis') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("command", "needed", "spared"),
    [
        ("db", ["asyncpg"], ["sqlalchemy", "fastapi", "aiokafka", "httpx"]),
        ("topics", ["aiokafka"], ["sqlalchemy", "fastapi", "asyncpg", "httpx"]),
        ("secrets", ["httpx", "joserfc"], ["sqlalchemy", "fastapi", "asyncpg", "aiokafka"]),
        ("keys", ["typer"], ["sqlalchemy", "fastapi", "asyncpg", "aiokafka", "httpx"]),
    ],
)
def test_a_job_of_an_installation_imports_only_what_it_needs(
    command: str, needed: list[str], spared: list[str]
) -> None:
    code = (
        f"import sys; from slipway.cli import app_of; app_of({command!r});"
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *needed, *spared], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == needed


@pytest.mark.usefixtures("root")
def test_status_of_nothing(cli: CliRunner) -> None:
    result = invoke(cli, "status")
    assert (result.exit_code, "slipway up" in result.output) == (1, True)
    result = invoke(cli, "status", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert (answer["processes"], answer["servers"], answer["state"]) == ([], [], "stopped")


def test_a_second_up_is_refused(cli: CliRunner, root: Path) -> None:
    with StateDirectory(root / ".slipway").lock():
        result = invoke(cli, "up")
    assert result.exit_code == 1
    assert "slipway: A system is starting or stopping" in result.output


@pytest.mark.usefixtures("root")
def test_errors_are_sentences(cli: CliRunner) -> None:
    for command, sentence in (
        (["migrate", "gateway"], "slipway: No service 'gateway' has a schema"),
        (["migrations", "new", "gateway", "x"], "slipway: No service 'gateway' has a schema"),
        (["mail", "1"], "slipway: There is no message 1"),
    ):
        result = invoke(cli, *command)
        assert result.exit_code == 1
        assert sentence in result.output
        assert "Traceback" not in result.output


@pytest.mark.usefixtures("root")
def test_mail_lists(cli: CliRunner) -> None:
    assert "subject" in invoke(cli, "mail").output


@pytest.mark.usefixtures("root")
def test_a_wrong_setting_is_named(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "no port")
    result = invoke(cli, "status")
    assert result.exit_code == 2
    assert "GATEWAY_PORT" in result.output


def test_outside_a_repository(
    cli: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not in a Slipway repository" in invoke(cli, "status").output


def test_topics_of_an_unavailable_broker(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTUP_WAIT", "0")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = invoke(cli, "topics", "apply")
    assert (result.exit_code, "127.0.0.1:1" in result.output) == (1, True)


async def test_ctrl_c_during_the_imports_of_a_command_is_a_word_and_no_traceback(tmp_path: Path):
    process = await process_while_importing(tmp_path, "typer", "slipway", "up")
    process.send_signal(signal.SIGINT)
    _, told = await process.communicate()
    assert (process.returncode, told.decode()) == (INTERRUPTED, "slipway: interrupted\n")


def test_ctrl_c_during_a_command_has_its_own_exit_status():
    def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        guard(work)
    assert ended.value.exit_code == INTERRUPTED


@pytest.mark.parametrize("place", ["", "services"])
def test_the_env_file_is_that_of_the_repository_wherever_in_it_a_command_starts(
    cli: CliRunner, root: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    (root / ".env").write_text("SLIPWAY_STATE_DIR=other\n", encoding="utf-8")
    monkeypatch.delenv("SETTINGS_FILE", raising=False)
    monkeypatch.chdir(root / place)
    assert f"{root}/other" in invoke(cli, "db", "url").output


@pytest.mark.usefixtures("root")
def test_the_offset_of_ports_moves_those_of_the_topics_command_too(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
):
    port = free_port()
    monkeypatch.setenv("SLIPWAY_PORT_OFFSET", str(port - 9092))
    assert f"127.0.0.1:{port}" in invoke(cli, "topics", "diff").output


def test_a_full_disk_is_a_sentence_in_every_command(capsys: pytest.CaptureFixture[str]):
    def work() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(typer.Exit) as ended:
        guard(work)
    assert ended.value.exit_code == 1
    told = capsys.readouterr().err
    assert "slipway: [Errno 28] No space left on device. Free space, then try again." in told


async def test_sigterm_during_the_imports_of_a_command_ends_it_with_its_work_undone(tmp_path: Path):
    process = await process_while_importing(tmp_path, "typer", "slipway", "migrate")
    process.terminate()
    assert await process.wait() == NOT_DONE

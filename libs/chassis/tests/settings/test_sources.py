"""The sources of settings, and their order: environment, secret files, ``.env``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from chassis.settings import Settings, load

type Write = Callable[[str], Path]


class Sample(Settings):
    api_password: SecretStr = Field(description="A secret.")
    colour: str = Field(default="grey", description="A setting with a default.")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_PASSWORD", "COLOUR", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path / "secrets"))
    monkeypatch.setenv("SETTINGS_FILE", str(tmp_path / ".env"))


@pytest.fixture
def secret_file(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "secrets" / "api_password"
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def env_file(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / ".env"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_the_environment_wins_over_secret_files_and_env_file(
    monkeypatch: pytest.MonkeyPatch, secret_file: Write, env_file: Write
):
    monkeypatch.setenv("API_PASSWORD", "of the environment")
    secret_file("of a file")
    env_file("API_PASSWORD=of .env\n")
    assert load(Sample).api_password.get_secret_value() == "of the environment"


def test_a_secret_file_wins_over_the_env_file(secret_file: Write, env_file: Write):
    secret_file("of a file\n")
    env_file("API_PASSWORD=of .env\nCOLOUR=blue\n")
    settings = load(Sample)
    assert settings.api_password.get_secret_value() == "of a file"
    assert settings.colour == "blue"


def test_the_env_file_is_read_where_nothing_else_says(env_file: Write):
    env_file("API_PASSWORD=of .env\n")
    assert load(Sample).api_password.get_secret_value() == "of .env"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, env_file: Write):
    monkeypatch.setenv("API_PASSWORD", "")
    env_file("API_PASSWORD=of .env\nSOMEBODY_ELSES=1\n")
    assert load(Sample).api_password.get_secret_value() == "of .env"


@pytest.mark.parametrize("text", ["", "\n", " \n"])
def test_an_empty_secret_file_counts_as_unset(secret_file: Write, env_file: Write, text: str):
    secret_file(text)
    with pytest.raises(SystemExit):
        load(Sample)
    env_file("API_PASSWORD=of .env\n")
    assert load(Sample).api_password.get_secret_value() == "of .env"


def test_no_secrets_directory_is_no_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_PASSWORD", "x")
    assert load(Sample).colour == "grey"


def test_a_secret_of_a_file_is_read_again_each_time(secret_file: Write):
    file = secret_file("at the start\n")
    settings = load(Sample)
    file.write_text("changed\n", encoding="utf-8")
    assert settings.secret("api_password") == "changed"
    assert settings.api_password.get_secret_value() == "at the start"


def test_a_file_that_can_not_be_read_at_the_moment_says_what_it_said(secret_file: Write):
    file = secret_file("at the start")
    settings = load(Sample)
    file.write_text("", encoding="utf-8")  # an editor that replaces the file has just truncated it
    assert settings.secret("api_password") == "at the start"
    file.write_bytes(b"\xff\xfeU\0")  # UTF-16, as PowerShell writes it
    assert settings.secret("api_password") == "at the start"
    file.unlink()
    assert settings.secret("api_password") == "at the start"


def test_a_secret_of_the_environment_stays_whatever_a_file_says(
    monkeypatch: pytest.MonkeyPatch, secret_file: Write
):
    monkeypatch.setenv("API_PASSWORD", "of the environment")
    file = secret_file("of a file")
    settings = load(Sample)
    file.write_text("changed", encoding="utf-8")
    assert settings.secret("api_password") == "of the environment"


def test_a_secret_that_is_not_set_is_none(env_file: Write):
    class Optional(Settings):
        api_password: SecretStr | None = Field(default=None, description="A secret.")

    env_file("")
    assert load(Optional).secret("api_password") is None

"""Where settings come from, and in what order: environment, secret files, ``.env``."""

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
    monkeypatch.setenv("SLIPWAY_ENV_FILE", str(tmp_path / ".env"))


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


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, env_file: Write):
    monkeypatch.setenv("API_PASSWORD", "")
    env_file("API_PASSWORD=of .env\nSOMEBODY_ELSES=1\n")
    assert load(Sample).api_password.get_secret_value() == "of .env"


def test_no_secrets_directory_is_no_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_PASSWORD", "x")
    assert load(Sample).colour == "grey"
